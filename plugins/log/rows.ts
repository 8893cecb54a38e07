/**
 * The rows of a log's partition. Keys that are numbers are 8 bytes, big-endian, so that they order as numbers.
 *
 *     entries   index of first   → a run of consecutive entries (`runs.ts`)
 *     leaves    nothing; an earlier release kept leaf hashes here
 *     antispam  index of first   → the first 6 bytes of the identities of a stretch, in order; only complete ones, and only in a CT log:
 *                                  in a Rekor log the leaf hash is the identity
 *     tiles     u8 level, index  → 256 hashes; of level 0, where the index is even, 512: two tiles. Only what is full
 *     promises  index of first   → opaque promise<1..2^16-1>, one after the other, for consecutive entries
 *     heads     size             → u8 has tree head, root, u64 time and opaque signature<0..2^16-1> if so, checkpoint
 *     state     "layout"         → u8 2: what is written here; absent in a log without intent, and in one of an earlier release
 *               "intent"         → u64 size, root, u64 integratedAtMs of the newest entry
 *               "frozen"         → u64 size, root, u64 time after which nothing is integrated; absent while the log takes entries
 *               "retired"        → u64 time, opaque origin<0..2^16-1>, opaque note name<0..2^16-1>, SubjectPublicKeyInfo; absent
 *                                  while the log's key may be needed
 */
import {
  concat,
  decodeUtf8,
  encodeUtf8,
  uintBytes,
  uintFrom,
} from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { hashLength } from "../../core/formats/merkle.ts";
import type { Head } from "../../events/log.ts";

/** The tables of a log's partition. */
export const tables = {
  entries: "entries",
  leaves: "leaves",
  antispam: "antispam",
  tiles: "tiles",
  promises: "promises",
  heads: "heads",
  state: "state",
} as const;

/** Consecutive entries whose hashes are stored together once all are there: two tiles, which fill a page of SQLite's and not a half. */
export const stretch = 512;

/** Key and value of the row of `state` that says how the rest is to be read. */
export const layoutKey = encodeUtf8("layout");
/** See {@link layoutKey}. */
export const layout = Uint8Array.of(2);

/** Key of the row of `state` that holds the newest tree. */
export const intentKey = encodeUtf8("intent");

/** Key of the row of `state` that says that the log is frozen, and with which tree. */
export const frozenKey = encodeUtf8("frozen");

/** Key of the row of `state` that says that the log is retired, and whose it was. */
export const retiredKey = encodeUtf8("retired");

/** Key of a row that is found by a number. */
export const numberKey = (number: bigint) => uintBytes(number, 8);

/** Key of a tile. */
export const tileKey = (level: number, index: bigint) =>
  concat(Uint8Array.of(level), numberKey(index));

/** What is stored of an entry. */
export interface EntryRow {
  readonly entry: Uint8Array;
  readonly extraData: Uint8Array;
  readonly integratedAtMs: bigint;
}

/** What the log has decided on: the only tree of this size that may ever be signed. */
export interface Intent {
  readonly size: bigint;
  readonly root: Uint8Array;
  /** Of the newest entry; 0 in an empty log. */
  readonly integratedAtMs: bigint;
}

/** A row of an earlier release. @throws {Malformed} */
export function decodeEntryRow(row: Uint8Array): EntryRow {
  const length = Number(uintFrom(row.subarray(8, 12)));
  if (row.length < 12 + length) throw new Malformed("entry row: cut short");
  return {
    integratedAtMs: uintFrom(row.subarray(0, 8)),
    entry: row.subarray(12, 12 + length),
    extraData: row.subarray(12 + length),
  };
}

/** See {@link decodeIntent}. */
export function encodeIntent({ size, root, integratedAtMs }: Intent): Uint8Array {
  return concat(uintBytes(size, 8), root, uintBytes(integratedAtMs, 8));
}

/** @throws {Malformed} */
export function decodeIntent(row: Uint8Array): Intent {
  if (row.length !== 16 + hashLength) throw new Malformed("intent row: length");
  return {
    size: uintFrom(row.subarray(0, 8)),
    root: row.subarray(8, 8 + hashLength),
    integratedAtMs: uintFrom(row.subarray(8 + hashLength)),
  };
}

/** What a retired log needs to know of its key. */
export interface Retirement {
  readonly atMs: bigint;
  readonly origin: string;
  readonly noteName: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
}

/** See {@link decodeRetirement}. */
export function encodeRetirement({ atMs, origin, noteName, publicKey }: Retirement): Uint8Array {
  const named = [origin, noteName].flatMap((text) => {
    const bytes = encodeUtf8(text);
    return [uintBytes(bytes.length, 2), bytes];
  });
  return concat(uintBytes(atMs, 8), ...named, publicKey);
}

/** @throws {Malformed} */
export function decodeRetirement(row: Uint8Array): Retirement {
  let at = 8;
  const text = (): string => {
    const end = at + 2 + Number(uintFrom(row.subarray(at, at + 2)));
    if (row.length < end) throw new Malformed("retired row: cut short");
    const read = decodeUtf8(row.subarray(at + 2, end));
    at = end;
    return read;
  };
  if (row.length < at + 4) throw new Malformed("retired row: cut short");
  const [origin, noteName] = [text(), text()];
  return { atMs: uintFrom(row.subarray(0, 8)), origin, noteName, publicKey: row.slice(at) };
}

/** See {@link decodeHeadRow}; the size is the key. */
export function encodeHeadRow({ root, checkpoint, treeHead }: Head): Uint8Array {
  const timed = treeHead
    ? [
        uintBytes(treeHead.timestampMs, 8),
        uintBytes(treeHead.signature.length, 2),
        treeHead.signature,
      ]
    : [];
  return concat(Uint8Array.of(treeHead ? 1 : 0), root, ...timed, encodeUtf8(checkpoint));
}

/** @throws {Malformed} */
export function decodeHeadRow(size: bigint, row: Uint8Array): Head {
  const root = row.slice(1, 1 + hashLength);
  const rest = row.subarray(1 + hashLength);
  if (row[0] === 0) return { size, root, checkpoint: decodeUtf8(rest) };
  const end = 10 + Number(uintFrom(rest.subarray(8, 10)));
  if (row[0] !== 1 || rest.length < end) throw new Malformed("head row: cut short");
  const treeHead = { timestampMs: uintFrom(rest.subarray(0, 8)), signature: rest.slice(10, end) };
  return { size, root, checkpoint: decodeUtf8(rest.subarray(end)), treeHead };
}

/** See {@link decodePromises}. */
export function encodePromises(promises: readonly Uint8Array[]): Uint8Array {
  return concat(...promises.flatMap((promise) => [uintBytes(promise.length, 2), promise]));
}

/** @throws {Malformed} */
export function decodePromises(row: Uint8Array): Uint8Array[] {
  const promises: Uint8Array[] = [];
  for (let at = 0; at < row.length;) {
    const end = at + 2 + (row[at] ?? 0) * 256 + (row[at + 1] ?? 0);
    if (end > row.length || end === at + 2) throw new Malformed("promises row: cut short");
    promises.push(row.subarray(at + 2, end));
    at = end;
  }
  return promises;
}
