/** The presentation language of TLS (RFC 8446 §3), as far as RFC 6962 uses it: unsigned integers and opaque vectors. */
import { allocate } from "./allocate.ts";
import { putUint, uintFrom } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** `opaque content<0..2^(8*width)-1>`. @throws {Malformed} if it does not fit. */
export function opaque(width: number, content: Uint8Array): Uint8Array {
  const bytes = allocate(width + content.length);
  putOpaque(bytes, 0, width, content);
  return bytes;
}

/** Writes {@link opaque} into other bytes; answers where it ends. @throws {Malformed} if it does not fit. */
export function putOpaque(
  into: Uint8Array,
  from: number,
  width: number,
  content: Uint8Array,
): number {
  const at = putUint(into, from, content.length, width);
  into.set(content, at);
  return at + content.length;
}

/** Reads a structure field by field. */
export interface TlsReader {
  /** An unsigned integer of `width` bytes. */
  uint(width: number): bigint;
  /** A fixed number of bytes. */
  bytes(count: number): Uint8Array;
  /** An opaque vector whose length takes `width` bytes. */
  opaque(width: number): Uint8Array;
  /** True if nothing is left. */
  isDone(): boolean;
  /** @throws {Malformed} if anything is left. */
  end(): void;
}

/** Starts reading; every method throws Malformed, naming `what`, when the input is too short. */
export function readTls(input: Uint8Array, what: string): TlsReader {
  return new Reader(input, what);
}

/** Lengths are counted in numbers and cut out of nothing: structures of a few fields are read by the thousand. */
class Reader implements TlsReader {
  readonly #input: Uint8Array;
  readonly #what: string;
  #at = 0;

  constructor(input: Uint8Array, what: string) {
    this.#input = input;
    this.#what = what;
  }

  uint(width: number): bigint {
    return width > exactBytes ? uintFrom(this.bytes(width)) : BigInt(this.#number(width));
  }

  bytes(count: number): Uint8Array {
    const from = this.#take(count);
    return this.#input.subarray(from, from + count);
  }

  opaque(width: number): Uint8Array {
    return this.bytes(this.#number(width));
  }

  isDone(): boolean {
    return this.#at === this.#input.length;
  }

  end(): void {
    if (!this.isDone()) throw new Malformed(`${this.#what}: trailing bytes`);
  }

  #number(width: number): number {
    const from = this.#take(width);
    let value = 0;
    for (let at = from; at < from + width; at++) value = value * 256 + (this.#input[at] ?? 0);
    return value;
  }

  #take(count: number): number {
    const from = this.#at;
    if (this.#input.length - from < count) throw new Malformed(`${this.#what}: cut off`);
    this.#at = from + count;
    return from;
  }
}

/** As many bytes as a number holds exactly. */
const exactBytes = 6;
