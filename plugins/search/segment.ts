/**
 * 4,096 consecutive entries of a log, told one after the other: when each was logged, and which profile it has.
 *
 *     segment = u32 CRC-32 of the rest, time of the first, then for each: time − time before, profile        (numbers as in a page)
 *     batch   = u32 CRC-32 of the rest, then for each: time, profile, number of keys, keys
 */
import { checkSeal, NumberReader, sealed, writeNumber } from "./page.ts";

/** Entries of a segment. */
export const segmentEntries = 4_096;

/** What is kept of entries besides their keys. */
export interface Columns {
  /** Milliseconds; never less than the one before. */
  readonly times: Float64Array;
  readonly profiles: Float64Array;
}

/** An entry of a batch. */
export interface TailEntry {
  readonly atMs: number;
  readonly profile: number;
  readonly keys: readonly number[];
}

const checkLength = 4;
const longestNumber = 8;

/** See {@link decodeSegment}. */
export function encodeSegment(entries: readonly TailEntry[]): Uint8Array {
  const bytes = new Uint8Array(checkLength + longestNumber * (1 + 2 * entries.length));
  let last = entries[0]?.atMs ?? 0;
  let end = writeNumber(bytes, checkLength, last);
  for (const { atMs, profile } of entries) {
    end = writeNumber(bytes, end, atMs - last);
    end = writeNumber(bytes, end, profile);
    last = atMs;
  }
  return sealed(bytes.slice(0, end));
}

/** @throws {Malformed} */
export function decodeSegment(segment: Uint8Array): Columns {
  checkSeal(segment);
  const times = new Float64Array(segmentEntries);
  const profiles = new Float64Array(segmentEntries);
  const reader = new NumberReader(segment, checkLength);
  let last = reader.next();
  for (let at = 0; at < segmentEntries; at++) {
    last += reader.next();
    times[at] = last;
    profiles[at] = reader.next();
  }
  return { times, profiles };
}

/** When the first entry of a segment was logged. */
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
