/**
 * 4,096 consecutive entries of a log: when each was logged, and which profile it has. In blocks, so that one entry costs a block.
 *
 *     segment = u32 CRC-32 of the rest, time of the first entry, u16 length of each block, blocks          (numbers as in a page)
 *     block   = for each of 64 entries: time − time before, or − time of the segment's first; profile
 *     batch   = u32 CRC-32 of the rest, then for each: time, profile, number of keys, keys
 */
import { Malformed } from "../../core/formats/malformed.ts";
import { checkSeal, NumberReader, sealed, writeNumber } from "./page.ts";

/** Entries of a segment. */
export const segmentEntries = 4_096;
const blockEntries = 64;
const blocks = segmentEntries / blockEntries;
const lengthBytes = 2;

/** What is kept of an entry besides its keys. */
export interface Told {
  /** Milliseconds; never less than those of the entry before. */
  readonly atMs: number;
  readonly profile: number;
}

/** An entry of a batch. */
export interface TailEntry extends Told {
  readonly keys: readonly number[];
}

const checkLength = 4;
const longestNumber = 8;

/** See {@link Segment}. */
export function encodeSegment(entries: readonly Told[]): Uint8Array {
  if (entries.length !== segmentEntries) throw new TypeError(`${entries.length} are no segment`);
  const first = entries[0]?.atMs ?? 0;
  const bytes = new Uint8Array(checkLength + 2 * longestNumber * (1 + segmentEntries));
  const view = new DataView(bytes.buffer);
  const lengths = writeNumber(bytes, checkLength, first);
  let end = lengths + blocks * lengthBytes;
  for (let block = 0; block < blocks; block++) {
    const from = end;
    let last = first;
    for (const { atMs, profile } of entries.slice(
      block * blockEntries,
      (block + 1) * blockEntries,
    )) {
      end = writeNumber(bytes, end, atMs - last);
      end = writeNumber(bytes, end, profile);
      last = atMs;
    }
    view.setUint16(lengths + block * lengthBytes, end - from);
  }
  return sealed(bytes.slice(0, end));
}

/** A segment, of which as much is decoded as is asked for. */
export class Segment {
  readonly #bytes: Uint8Array;
  readonly #first: number;
  /** Where each block begins. */
  readonly #starts = new Uint32Array(blocks);
  /** The block that was asked for last: whoever looks at one entry after the other decodes each once. */
  #block = -1;
  readonly #times = new Float64Array(blockEntries);
  readonly #profiles = new Float64Array(blockEntries);

  /** @throws {Malformed} */
  constructor(bytes: Uint8Array) {
    checkSeal(bytes);
    const reader = new NumberReader(bytes, checkLength);
    this.#bytes = bytes;
    this.#first = reader.next();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let start = reader.at + blocks * lengthBytes;
    if (start > bytes.length) throw new Malformed("search index: a segment is cut short");
    for (let block = 0; block < blocks; block++) {
      this.#starts[block] = start;
      start += view.getUint16(reader.at + block * lengthBytes);
    }
    if (start !== bytes.length) throw new Malformed("search index: a segment is cut short");
  }

  /** When entry `at` of the segment was logged. */
  timeAt(at: number): number {
    this.#decode(Math.floor(at / blockEntries));
    return this.#times[at % blockEntries] ?? 0;
  }

  /** The profile of entry `at` of the segment. */
  profileAt(at: number): number {
    this.#decode(Math.floor(at / blockEntries));
    return this.#profiles[at % blockEntries] ?? 0;
  }

  #decode(block: number): void {
    if (block === this.#block) return;
    const reader = new NumberReader(this.#bytes, this.#starts[block] ?? 0);
    let last = this.#first;
    for (let at = 0; at < blockEntries; at++) {
      last += reader.next();
      this.#times[at] = last;
      this.#profiles[at] = reader.next();
    }
    this.#block = block;
  }
}

/** When the first entry of a segment was logged; the first 16 bytes are enough to tell. */
export function firstTimeOf(segment: Uint8Array): number {
  return new NumberReader(segment, checkLength).next();
}

/** See {@link decodeBatch}. */
export function encodeBatch(entries: readonly TailEntry[]): Uint8Array {
  const count = entries.reduce((sum, { keys }) => sum + 3 + keys.length, 0);
  const bytes = new Uint8Array(checkLength + longestNumber * count);
  let end = checkLength;
  for (const { atMs, profile, keys } of entries) {
    for (const number of [atMs, profile, keys.length, ...keys])
      end = writeNumber(bytes, end, number);
  }
  return sealed(bytes.slice(0, end));
}

/** @throws {Malformed} */
export function decodeBatch(batch: Uint8Array): readonly TailEntry[] {
  checkSeal(batch);
  const entries: TailEntry[] = [];
  const reader = new NumberReader(batch, checkLength);
  while (!reader.isDone) {
    const atMs = reader.next();
    const profile = reader.next();
    const keys = Array.from({ length: reader.next() }, () => reader.next());
    entries.push({ atMs, profile, keys });
  }
  return entries;
}
