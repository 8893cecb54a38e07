/**
 * A page of the index: pairs of a key and an entry's index, in order. Each number but the first is written as the difference to the one
 * before it, in as many bytes of 7 bits as it needs (LEB128), so that a key that is random costs four bytes and one that is repeated, one.
 *
 *     page = u32 CRC-32 of the rest, then for each pair: key − last key; index − last index if that was 0, else index − base
 */
import { crc32 } from "node:zlib";
import { Malformed } from "../../core/formats/malformed.ts";

/** Two of these fill a page of the file. */
export const maxPageBytes = 1_960;
const checkLength = 4;
/** Two numbers of 48 and 32 bits at their longest. */
const longestPair = 12;

/** Pairs of a key and an index, in the order of both. */
export interface Pairs {
  readonly keys: Float64Array;
  readonly indices: Float64Array;
}

/** Collects pairs, which come in order, into pages. */
export class PageWriter {
  readonly #base: number;
  readonly #bytes = new Uint8Array(maxPageBytes);
  #length = checkLength;
  #lastKey = 0;
  #lastIndex = 0;

  constructor(base: number) {
    this.#base = base;
  }

  get isEmpty(): boolean {
    return this.#length === checkLength;
  }

  /** False if the page is full: take it, and add again. */
  add(key: number, index: number): boolean {
    if (this.#length + longestPair > maxPageBytes) return false;
    const isRepeated = key === this.#lastKey && !this.isEmpty;
    this.#write(key - this.#lastKey);
    this.#write(isRepeated ? index - this.#lastIndex : index - this.#base);
    [this.#lastKey, this.#lastIndex] = [key, index];
    return true;
  }

  /** The page so far; the next one begins. */
  take(): Uint8Array {
    const page = sealed(this.#bytes.slice(0, this.#length));
    [this.#length, this.#lastKey, this.#lastIndex] = [checkLength, 0, 0];
    return page;
  }

  #write(number: number): void {
    this.#length = writeNumber(this.#bytes, this.#length, number);
  }
}

/** @throws {Malformed} if the page is not as it was written. */
export function readPage(page: Uint8Array, base: number): Pairs {
  checkSeal(page);
  // A pair has two bytes at least.
  const keys = new Float64Array(page.length >> 1);
  const indices = new Float64Array(page.length >> 1);
  const reader = new NumberReader(page, checkLength);
  let count = 0;
  let key = 0;
  let index = 0;
  while (!reader.isDone) {
    const step = reader.next();
    const isRepeated = step === 0 && count > 0;
    key += step;
    index = (isRepeated ? index : base) + reader.next();
    keys[count] = key;
    indices[count] = index;
    count++;
  }
  return { keys: keys.subarray(0, count), indices: indices.subarray(0, count) };
}

/**
 * Indices of the pairs of one key, in their order. Nothing is made of the pairs before them, and what comes after is not read: whoever
 * looks for a key looks in dozens of pages.
 *
 * @throws {Malformed} if the page is not as it was written.
 */
export function findInPage(page: Uint8Array, base: number, wanted: number): readonly number[] {
  checkSeal(page);
  const found: number[] = [];
  const reader = new NumberReader(page, checkLength);
  let key = 0;
  let index = base;
  while (!reader.isDone) {
    key += reader.next();
    if (key > wanted) break;
    if (key < wanted) {
      reader.skip();
    } else {
      // The first pair of a key says the index itself, those that follow the way from the one before.
      index += reader.next();
      found.push(index);
    }
  }
  return found;
}

/** Fills in the checksum that the first four bytes are for. */
export function sealed(bytes: Uint8Array): Uint8Array {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, crc32(bytes.subarray(checkLength)));
  return bytes;
}

/** @throws {Malformed} if the checksum is another. */
export function checkSeal(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < checkLength || view.getUint32(0) !== crc32(bytes.subarray(checkLength))) {
    throw new Malformed("search index: a page is damaged");
  }
}

/** Writes a number below 2^53 at `at` and says where it ends. */
export function writeNumber(bytes: Uint8Array, at: number, number: number): number {
  let rest = number;
  let end = at;
  while (rest >= 128) {
    bytes[end++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  bytes[end++] = rest;
  return end;
}

/** Reads what {@link writeNumber} wrote. */
export class NumberReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** Where the next number begins. */
  get at(): number {
    return this.#at;
  }

  get isDone(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Passes over a number. */
  skip(): void {
    while ((this.#bytes[this.#at] ?? 0) >= 128) this.#at++;
    if (this.isDone) throw new Malformed("search index: a page is cut short");
    this.#at++;
  }

  next(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new Malformed("search index: a page is cut short");
      if (byte < 128) return value + byte * scale;
      value += (byte - 128) * scale;
    }
  }
}
