/** Entries that were read in the log, held against a filter: the index finds by hashes' prefixes, and those may be of something else. */
import { leafHash } from "../../core/formats/merkle.ts";
import { describeEntry, type Described } from "./describe.ts";
import type { LogEntry } from "./engine.ts";
import { type Condition, readConditions } from "./filter.ts";

/** An entry that was held against a filter. */
export interface Checked extends Described {
  readonly leafHash: Uint8Array;
}

/** What is looked at of an entry. */
export type Read = Pick<LogEntry, "entry" | "subjects">;

/** Null for each entry that the filter did not mean. */
export function checkEntries(
  conditions: readonly Condition[],
  entries: readonly Read[],
): readonly (Checked | null)[] {
  const wanted = readConditions(conditions);
  return entries.map(({ entry, subjects }) => {
    const described = describeEntry(entry, subjects);
    return wanted.isTrueOf(described) ? { ...described, leafHash: leafHash(entry) } : null;
  });
}

/** Bytes of entries that whoever answers reads by itself: some tenths of a millisecond, which is less than the way to the thread and back. */
const readHere = { entries: 4, bytes: 12_000 };

/** True for entries that are not worth the way to the thread. */
export function areFew(entries: readonly Read[]): boolean {
  if (entries.length > readHere.entries) return false;
  const bytes = entries.reduce(
    (sum, { entry, subjects }) => sum + entry.length + subjects.length,
    0,
  );
  return bytes <= readHere.bytes;
}
