/**
 * A group of commits on its way to the thread that writes: every byte in one buffer that is handed over, not copied, and every
 * position in one list of numbers.
 *
 *     layout: per commit  nExpect nWrites nAppends,
 *             per row     table, key end, value end or -1 for null      (positions in `bytes`, each starting where the last ended)
 *             per append  stream, value end
 */
import type { Commit, PartitionShape } from "../../core/storage.ts";

/** Several commits as two transferable buffers. */
export interface Group {
  readonly layout: Int32Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What became of each commit of a group, in order, or why the outcome of all is unknown. */
export type GroupOutcome =
  | { readonly outcomes: readonly CommitOutcome[]; readonly walBytes: number }
  | { readonly unknown: string };

/** Sequence numbers of the appends, or the position of the expectation that failed. */
export type CommitOutcome =
  { readonly sequences: readonly number[] } | { readonly conflict: number };

/** A row as the writing thread sees it. */
interface PackedRow {
  readonly table: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** A commit as the writing thread sees it. */
export interface PackedCommit {
  readonly expect: readonly PackedRow[];
  readonly writes: readonly PackedRow[];
  readonly appends: readonly { readonly stream: number; readonly value: Uint8Array }[];
}

/** Copies all bytes once, now: what the caller does with its own afterwards does not matter. */
export function packGroup({ tables, streams }: PartitionShape, commits: readonly Commit[]): Group {
  const layout: number[] = [];
  const parts: Uint8Array[] = [];
  let end = 0;
  const put = (part: Uint8Array) => {
    parts.push(part);
    end += part.length;
    layout.push(end);
  };
  for (const { expect = [], writes = [], appends = [] } of commits) {
    layout.push(expect.length, writes.length, appends.length);
    for (const rows of [expect, writes]) {
      for (const { table, key, value } of rows) {
        layout.push(tables.indexOf(table));
        put(key);
        if (value === null) layout.push(-1);
        else put(value);
      }
    }
    for (const { stream, value } of appends) {
      layout.push(streams.indexOf(stream));
      put(value);
    }
  }
  const bytes = new Uint8Array(end);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { layout: Int32Array.from(layout), bytes };
}

/** The commits {@link packGroup} packed. */
export function* unpackGroup({ layout, bytes }: Group): Generator<PackedCommit> {
  let next = 0;
  let at = 0;
  const number = () => layout[next++] ?? 0;
  const take = () => {
    const end = number();
    const part = bytes.subarray(at, end);
    at = end;
    return part;
  };
  const row = (): PackedRow => {
    const table = number();
    const key = take();
    if (layout[next] !== -1) return { table, key, value: take() };
    next++;
    return { table, key, value: null };
  };
  while (next < layout.length) {
    const [nExpect, nWrites, nAppends] = [number(), number(), number()];
    yield {
      expect: Array.from({ length: nExpect }, row),
      writes: Array.from({ length: nWrites }, row),
      appends: Array.from({ length: nAppends }, () => ({ stream: number(), value: take() })),
    };
  }
}
