/**
 * Entries as they are stored: consecutive ones lie together in a run, which is a row under the index of its first.
 *
 *     run    u8 1, u64 integratedAtMs of its first entry, record record …
 *     record varint ms since the entry before, varint length of entry, varint length of extraData, entry, extraData
 *
 * A varint is a number in base 128, least significant digits first, the top bit set on all but the last. The newest run is written
 * again, under the same key, with each batch that adds to it, until it is full; from then on it never changes. In a run that begins with
 * 0 an earlier release kept one entry: u64 integratedAtMs, u32 length of entry, entry, extraData.
 */
import { uintFrom } from "../../core/formats/encoding.ts";
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

/** The run that entries are added to. */
export class NewestRun {
  #first = 0n;
  #bytes = new Uint8Array((wholePages + 1) * page.whole);
  #length = 0;
  #lastMs = 0;
  #full: Write[] = [];
  #isChanged = false;

  /**
   * Goes on with what is stored, of which `end` is decided on. A row that is older, or behind the end, would have the next entries
   * stored where nobody finds them.
   *
   * @throws {Malformed} unless it ends where the log does
   */
  static of(last: Row | undefined, end: Pick<Intent, "size" | "integratedAtMs">): NewestRun {
    const run = new NewestRun();
    const newest = last === undefined ? undefined : decodeRun(last).at(-1);
    const size = newest === undefined ? 0n : newest.index + 1n;
    if (size !== end.size || (newest?.integratedAtMs ?? 0n) !== end.integratedAtMs) {
      throw new Malformed("the newest run does not end with the newest entry");
    }
    if (last === undefined || last.value[0] !== runVersion || isFull(last.value.length)) return run;
    run.#first = uintFrom(last.key);
    run.#reserve(last.value.length);
    run.#bytes.set(last.value);
    run.#length = last.value.length;
    run.#lastMs = Number(end.integratedAtMs);
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
    this.#varint(atMs - this.#lastMs);
    this.#varint(entry.length);
    this.#varint(extraData.length);
    this.#lastMs = atMs;
    this.#bytes.set(entry, this.#length);
    this.#bytes.set(extraData, this.#length + entry.length);
    this.#length += entry.length + extraData.length;
    this.#isChanged = true;
    if (!isFull(this.#length)) return;
    this.#full.push(this.#row());
    this.#length = 0;
    this.#isChanged = false;
  }

  /** Rows for everything added since the last call. */
  takeWrites(): Write[] {
    const writes = this.#isChanged ? [...this.#full, this.#row()] : this.#full;
    this.#full = [];
    this.#isChanged = false;
    return writes;
  }

  #row(): Write {
    const value = this.#bytes.slice(0, this.#length);
    return { table: tables.entries, key: numberKey(this.#first), value };
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
  const before = { to: numberKey(from + 1n), limit: 1, reverse: true };
  const [first] = await store.scan(tables.entries, before);
  const placed: Placed[] = [];
  if (first === undefined) return placed;
  const at = Number(from - uintFrom(first.key));
  placed.push(...decodeRun(first).slice(at, at + count));
  const end = numberKey(from + BigInt(count));
  while (placed.length > 0 && placed.length < count) {
    const next = from + BigInt(placed.length);
    const range = { from: numberKey(next), to: end, limit: rowsAtOnce };
    const rows = await store.scan(tables.entries, range);
    if (rows.length === 0) break;
    for (const row of rows) {
      if (uintFrom(row.key) !== from + BigInt(placed.length)) return placed;
      placed.push(...decodeRun(row).slice(0, count - placed.length));
    }
  }
  return placed;
}

/** The newest run that is stored. */
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
