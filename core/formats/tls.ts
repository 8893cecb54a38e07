/** The presentation language of TLS (RFC 8446 §3), as far as RFC 6962 uses it: unsigned integers and opaque vectors. */
import { concat, uintBytes, uintFrom } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** `opaque content<0..2^(8*width)-1>`. @throws {Malformed} if it does not fit. */
export function opaque(width: number, content: Uint8Array): Uint8Array {
  return concat(uintBytes(content.length, width), content);
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
  let at = 0;
  const bytes = (count: number): Uint8Array => {
    if (input.length - at < count) throw new Malformed(`${what}: cut off`);
    at += count;
    return input.subarray(at - count, at);
  };
  return {
    bytes,
    uint: (width) => uintFrom(bytes(width)),
    opaque: (width) => bytes(Number(uintFrom(bytes(width)))),
    isDone: () => at === input.length,
    end() {
      if (at !== input.length) throw new Malformed(`${what}: trailing bytes`);
    },
  };
}
