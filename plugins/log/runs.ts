/**
 * Entries as they are stored: consecutive ones lie together in a run, which is a row under the index of its first.
 *
 *     run    u8 1, u64 ms from which its first entry counts, record record …
 *     record varint ms since the entry before, varint length of entry, varint length of extraData, entry, extraData
 *
 * A varint is a number in base 128, least significant digits first, the top bit set on all but the last. A run grows until it is full, and
 * from then on never changes. What a batch adds to it is a row of its own, a piece, if it is small: rows of many pages are costly to write
 * for one entry. A batch that adds much, or fills the run, puts the whole of it under the key of its first entry, and its pieces go in the
 * same commit. A piece is a run like any other, and counts from the time of the entry before it. In a run that begins with 0 an earlier
 * release kept one entry: u64 integratedAtMs, u32 length of entry, entry, extraData.
 */
import { concat, uintFrom } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Reader, Row, Write } from "../../core/storage.ts";
import type { Placed } from "./format.ts";
import { decodeEntryRow, type EntryRow, type Intent, numberKey, tables } from "./rows.ts";

const runVersion = 1;
const headerLength = 9;
/** Three numbers of at most 53 bits. */
const maxRecordHeader = 24;

/**
 * What SQLite makes of a row in our pages of 16 KiB (its file format, §1.6, an index leaf): what is beyond whole pages stays beside other rows if
 * it is between `least` and `most` bytes; else `least` of it does, and the rest has a page of its own that is mostly empty. So a run ends
 * where it fills its pages and has not much more. Any other storage takes what comes.
 */
const page = { whole: 16_380, least: 2_031, most: 4_086, keyAndHeader: 13 };
/** So that it lies beside other rows, whole. */
const maxPieceBytes = page.most - page.keyAndHeader;
/** The end of a run costs some 500 bytes, and a row that is twice as long hardly more to read. */
const wholePages = 2;
/** An entry that is larger than the span between the two bounds may miss it; then a run ends here. */
const maxRunBytes = 128 * 1024;
/** Rows that are read at once. */
const rowsAtOnce = 16;

/** True if nothing is added to a run of so many bytes. */
function isFull(length: number): boolean {
  if (length >= maxRunBytes) return true;
  const beyond = length + page.keyAndHeader - page.least;
  return beyond >= wholePages * page.whole && beyond % page.whole <= page.most - page.least;
}

/** Where what is not stored begins, its first entry, and the time of the one before that. */
interface Fresh {
  readonly at: number;
  readonly index: bigint;
  readonly afterMs: number;
}

/** The run that entries are added to. */
export class NewestRun {
  #first = 0n;
  #bytes = new Uint8Array((wholePages + 1) * page.whole);
  #length = 0;
  #lastMs = 0;
  #full: Write[] = [];
  /** The rows it is stored in; that of its first entry is the first. */
  #stored: Uint8Array[] = [];
  /** What is not stored. */
  #fresh: Fresh | null = null;

  /**
   * Goes on with what is stored ({@link newestRows}), of which `end` is decided on. A row that is older, or behind the end, would have the
   * next entries stored where nobody finds them.
   *
   * @throws {Malformed} unless it ends where the log does
   */
  static of(rows: readonly Row[], end: Pick<Intent, "size" | "integratedAtMs">): NewestRun {
    const run = new NewestRun();
    const last = rows.at(-1);
    const newest = last === undefined ? undefined : decodeRun(last).at(-1);
    const size = newest === undefined ? 0n : newest.index + 1n;
    if (size !== end.size || (newest?.integratedAtMs ?? 0n) !== end.integratedAtMs) {
      throw new Malformed("the newest run does not end with the newest entry");
    }
    if (last === undefined || isClosed(last)) return run;
    const joined = joinedTo(last, rows.slice(0, -1));
    const [first = last] = joined;
    const records = joined.map(({ value }) => value.subarray(headerLength));
    const bytes = concat(first.value.subarray(0, headerLength), ...records);
    if (isFull(bytes.length)) return run;
    run.#first = uintFrom(first.key);
    run.#reserve(bytes.length);
    run.#bytes.set(bytes);
    run.#length = bytes.length;
    run.#lastMs = Number(end.integratedAtMs);
    run.#stored = joined.map(({ key }) => key);
    return run;
  }

  /** Takes the entry behind those it has. @throws {Malformed} if it is older than they are, and nothing is taken */
  append({ index, entry, extraData, integratedAtMs }: Placed): void {
    this.#reserve(headerLength + maxRecordHeader + entry.length + extraData.length);
    const atMs = Number(integratedAtMs);
    if (this.#length === 0) {
      this.#first = index;
      this.#lastMs = atMs;
      this.#bytes[0] = runVersion;
      this.#bytes.set(numberKey(integratedAtMs), 1);
      this.#length = headerLength;
    }
    const fresh = this.#fresh ?? { at: this.#length, index, afterMs: this.#lastMs };
    this.#varint(atMs - this.#lastMs);
    this.#varint(entry.length);
    this.#varint(extraData.length);
    this.#lastMs = atMs;
    this.#bytes.set(entry, this.#length);
    this.#bytes.set(extraData, this.#length + entry.length);
    this.#length += entry.length + extraData.length;
    this.#fresh = fresh;
    if (!isFull(this.#length)) return;
    this.#full.push(...this.#whole());
    this.#length = 0;
    this.#stored = [];
  }

  /** Rows for everything added since the last call. */
  takeWrites(): Write[] {
    const writes = this.#full;
    this.#full = [];
    const fresh = this.#fresh;
    if (fresh === null) return writes;
    const isPiece =
      this.#stored.length > 0 && headerLength + this.#length - fresh.at <= maxPieceBytes;
    return [...writes, ...(isPiece ? [this.#piece(fresh)] : this.#whole())];
  }

  /** All of it in one row, and no other row. */
  #whole(): Write[] {
    const value = this.#bytes.slice(0, this.#length);
    const key = numberKey(this.#first);
    const pieces = this.#stored.slice(1);
    this.#stored = [key];
    this.#fresh = null;
    return [
      { table: tables.entries, key, value },
      ...pieces.map((piece) => ({ table: tables.entries, key: piece, value: null })),
    ];
  }

  #piece({ at, index, afterMs }: Fresh): Write {
    const key = numberKey(index);
    const value = concat(
      Uint8Array.of(runVersion),
      numberKey(BigInt(afterMs)),
      this.#bytes.subarray(at, this.#length),
    );
    this.#stored.push(key);
    this.#fresh = null;
    return { table: tables.entries, key, value };
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * needed);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  #varint(value: number): void {
    // It would be written as a number that nobody reads as this one.
    if (value < 0) throw new Malformed("run: an entry is older than the one before it");
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) {
      this.#bytes[this.#length++] = (rest % 128) | 128;
    }
    this.#bytes[this.#length++] = rest;
  }
}

/** True if nothing is added to it. */
function isClosed({ value }: Row): boolean {
  return value[0] !== runVersion || isFull(value.length);
}

/** The row and those before it that are one run with it, oldest first. @throws {Malformed} if one of them cannot be read */
function joinedTo(last: Row, before: readonly Row[]): readonly Row[] {
  const joined = [last];
  let first = last;
  for (const row of before.toReversed()) {
    const end = decodeRun(row).at(-1);
    const follows =
      end?.index === uintFrom(first.key) - 1n &&
      end.integratedAtMs === uintFrom(first.value.subarray(1, headerLength));
    if (!follows) break;
    joined.unshift(row);
    first = row;
  }
  return joined;
}

/** The entries of a run. @throws {Malformed} */
export function decodeRun({ key, value }: Row): Placed[] {
  const first = uintFrom(key);
  if (value[0] === 0) return [{ index: first, ...decodeEntryRow(value) }];
  if (value[0] !== runVersion || value.length <= headerLength) throw new Malformed("run: version");
  const placed: Placed[] = [];
  const reader = { value, at: headerLength };
  let atMs = Number(uintFrom(value.subarray(1, headerLength)));
  while (reader.at < value.length) {
    atMs += varint(reader);
    const entryLength = varint(reader);
    const extraLength = varint(reader);
    const end = reader.at + entryLength;
    const row: EntryRow = {
      integratedAtMs: BigInt(atMs),
      entry: value.subarray(reader.at, end),
      extraData: value.subarray(end, end + extraLength),
    };
    reader.at = end + extraLength;
    if (reader.at > value.length) throw new Malformed("run: cut short");
    placed.push({ index: first + BigInt(placed.length), ...row });
  }
  return placed;
}

function varint(reader: { readonly value: Uint8Array; at: number }): number {
  for (let result = 0, factor = 1; ; factor *= 128) {
    const byte = reader.value[reader.at++];
    if (byte === undefined) throw new Malformed("run: cut short");
    result += (byte & 127) * factor;
    if (result > Number.MAX_SAFE_INTEGER) throw new Malformed("run: number too large");
    if (byte < 128) return result;
  }
}

/** Stored entries from `from` on, `count` of them or as many as there are before a gap. @throws {Malformed} if a run cannot be read */
export async function readPlaced(
  store: Pick<Reader, "scan">,
  from: bigint,
  count: number,
): Promise<Placed[]> {
  const placed: Placed[] = [];
  while (placed.length < count) {
    // Also looked for after a gap: what was a piece may be in a whole run by now.
    const next = from + BigInt(placed.length);
    const [row] = await store.scan(tables.entries, {
      to: numberKey(next + 1n),
      limit: 1,
      reverse: true,
    });
    const more = row === undefined ? [] : decodeRun(row).slice(Number(next - uintFrom(row.key)));
    if (more.length === 0) break;
    placed.push(...more.slice(0, count - placed.length));
    await readOn(store, placed, { from, until: from + BigInt(count) });
  }
  return placed;
}

/** Adds the rows behind those that were read, up to a gap. */
async function readOn(
  store: Pick<Reader, "scan">,
  placed: Placed[],
  { from, until }: { readonly from: bigint; readonly until: bigint },
): Promise<void> {
  const next = () => from + BigInt(placed.length);
  while (next() < until) {
    const rows = await store.scan(tables.entries, {
      from: numberKey(next()),
      to: numberKey(until),
      limit: rowsAtOnce,
    });
    if (rows.length === 0) return;
    for (const row of rows) {
      if (uintFrom(row.key) !== next()) return;
      placed.push(...decodeRun(row).slice(0, Number(until - next())));
    }
  }
}

/** The rows that the newest run may be stored in, oldest first. */
export async function newestRows(store: Pick<Reader, "scan">): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (let bytes = 0; bytes < maxRunBytes;) {
    const to = rows[0]?.key;
    const range = { ...(to !== undefined && { to }), limit: rowsAtOnce, reverse: true };
    const found = await store.scan(tables.entries, range);
    for (const row of found) {
      if (rows.length > 0 && isClosed(row)) return rows;
      rows.unshift(row);
      bytes += row.value.length;
      if (isClosed(row)) return rows;
    }
    if (found.length < rowsAtOnce) break;
  }
  return rows;
}

/** The newest row that is stored. */
export async function lastRun(store: Pick<Reader, "scan">): Promise<Row | undefined> {
  const [row] = await store.scan(tables.entries, { limit: 1, reverse: true });
  return row;
}

/** What is wrong with the newest run if it goes on behind the end of a log of `size`, or null. @throws {Malformed} */
export function entriesBeyond(last: Row | undefined, size: bigint): string | null {
  if (last === undefined) return null;
  const first = uintFrom(last.key);
  // Of one that begins there the key says enough: the rest may be anything.
  const end = first < size ? first + BigInt(decodeRun(last).length) : first + 1n;
  if (end <= size) return null;
  return `there are entries from ${first < size ? size : first} on, but the log has ${size}`;
}
