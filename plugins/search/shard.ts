/** The index of one log: full segments and the runs over them, and the newest entries, which are in memory and in batches. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { bytesOf, inTransaction, IndexDamaged } from "./database.ts";
import type { Dictionary } from "./dictionary.ts";
import type { Indexed } from "./indexed.ts";
import { dueForMerge, mergeSteps } from "./merge.ts";
import { type Run, Runs, type Span } from "./run.ts";
import {
  decodeBatch,
  encodeBatch,
  encodeSegment,
  firstTimeOf,
  Segment,
  segmentEntries,
  type TailEntry,
} from "./segment.ts";

/** Segments that are kept at hand, some ten kilobytes each. */
const keptSegments = 256;
/** Keys of a new run that are written at once: a millisecond or so. */
const keysAtOnce = 1_024;
const segmentsPerLog = 2 ** 32;

/** A log in the index. */
export interface LogRow {
  readonly id: number;
  readonly name: string;
  readonly logId: Uint8Array;
}

/** The index of one log. */
export class Shard {
  readonly log: LogRow;
  readonly #database: DatabaseSync;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #dictionary: Dictionary;
  readonly #runStore: Runs;
  #runs: Run[];
  /** When the first entry of each full segment was logged. */
  readonly #firstTimes: number[];
  #tail: TailEntry[] = [];
  #tailPlaces = new Map<number, number[]>();
  readonly #segments = new Map<number, Segment>();
  #lastHash: Uint8Array;

  /** @throws {IndexDamaged} if what is there is not as many entries as the row of the log says. */
  constructor(database: DatabaseSync, dictionary: Dictionary, log: LogRow) {
    this.log = log;
    this.#database = database;
    this.#dictionary = dictionary;
    this.#statements = prepare(database);
    this.#runStore = new Runs(database);
    this.#runs = this.#runStore.load(log.id);
    const segments = this.#statements.segments.all(...this.#segmentRange());
    this.#firstTimes = segments.map((row) => firstTimeOf(bytesOf(row["data"])));
    for (const row of this.#statements.batches.all(log.id)) {
      this.#remember(decodeBatch(bytesOf(row["data"])));
    }
    const row = this.#statements.log.get(log.id);
    this.#lastHash = bytesOf(row?.["lastHash"]);
    const covered = this.#runs.reduce((end, run) => (run.first === end ? run.end : -1), 0);
    if (covered !== this.#fullEntries || Number(row?.["size"]) !== this.size) {
      throw new IndexDamaged(`the index of "${log.name}" has gaps`);
    }
  }

  /** Entries in the index: 0 to here. */
  get size(): number {
    return this.#fullEntries + this.#tail.length;
  }

  /** Leaf hash of the last entry. */
  get lastHash(): Uint8Array {
    return this.#lastHash;
  }

  get #fullEntries(): number {
    return this.#firstTimes.length * segmentEntries;
  }

  /** Adds the entries that follow, in one transaction: all of them or none. `lastHash` is the leaf hash of the last one. */
  add(entries: readonly Indexed[], lastHash: Uint8Array): void {
    const { id } = this.log;
    const first = this.size;
    // What is not there after an error is read again: the engine is closed then.
    inTransaction(this.#database, () => {
      let last = this.#tail.at(-1)?.atMs ?? 0;
      const added = entries.map(({ atMs, terms, keys }) => {
        // Times never run backwards in a log; should they, the order of entries is the truth.
        last = Math.max(last, atMs);
        return { atMs: last, profile: this.#dictionary.profileOf(terms), keys };
      });
      for (let from = 0; from < added.length;) {
        // No batch is of two segments: those of a full one are dropped.
        const room = segmentEntries - (this.size % segmentEntries);
        const some = added.slice(from, from + room);
        this.#statements.addBatch.run(id, this.size, encodeBatch(some));
        this.#remember(some);
        from += some.length;
      }
      this.#statements.resize.run(first + added.length, lastHash, id);
    });
    this.#lastHash = lastHash;
  }

  /** Makes a segment and a run of the tail, in steps; null if it is not full. */
  filling(): Generator<void> | null {
    return this.#tail.length < segmentEntries ? null : this.#fill();
  }

  /** The work of merging runs that is due, in steps; null if there is none. */
  merging(): Generator<void> | null {
    const due = dueForMerge(this.#runs);
    if (due === null) return null;
    const of = { database: this.#database, runs: this.#runStore, log: this.log.id };
    return mergeSteps(of, due, (merged) => {
      const at = this.#runs.indexOf(due[0] ?? merged);
      this.#runs.splice(at, due.length, merged);
    });
  }

  /** Dying between two steps leaves an unfinished run, which the next start removes; until the last step the tail has all of it. */
  *#fill(): Generator<void> {
    const number = this.#firstTimes.length;
    const first = this.#fullEntries;
    const full = this.#tail.slice(0, segmentEntries);
    const writer = inTransaction(this.#database, () => this.#runStore.begin(this.log.id, first, 0));
    const places = placesOf(full, first);
    yield;
    const keys = Float64Array.from(places.keys()).toSorted();
    for (let from = 0; from < keys.length; from += keysAtOnce) {
      inTransaction(this.#database, () => {
        for (const key of keys.subarray(from, from + keysAtOnce)) {
          for (const index of places.get(key) ?? []) writer.add(key, index);
        }
      });
      yield;
    }
    const run = inTransaction(this.#database, () => {
      const id = this.log.id * segmentsPerLog + number;
      this.#statements.addSegment.run(id, encodeSegment(full));
      this.#statements.dropBatches.run(this.log.id, first + segmentEntries);
      return writer.end();
    });
    this.#runs.push(run);
    this.#firstTimes.push(full[0]?.atMs ?? 0);
    const rest = this.#tail.slice(segmentEntries);
    this.#tail = rest;
    this.#tailPlaces = placesOf(rest, this.#fullEntries);
  }

  /** Indices in `span` of entries with this key. */
  *find(key: number, span: Span, newestFirst: boolean): Generator<number> {
    const tail = (this.#tailPlaces.get(key) ?? []).filter(
      (index) => index >= span.low && index < span.high,
    );
    if (newestFirst) yield* tail.toReversed();
    for (const run of newestFirst ? this.#runs.toReversed() : [...this.#runs]) {
      yield* run.find(key, span, newestFirst);
    }
    if (!newestFirst) yield* tail;
  }

  /** True if the entry has this key. */
  has(key: number, index: number): boolean {
    const span = { low: index, high: index + 1 };
    return this.find(key, span, false).next().done !== true;
  }

  /** The profile of an entry. */
  profileAt(index: number): number {
    const tail = this.#tail[index - this.#fullEntries];
    if (tail !== undefined) return tail.profile;
    return this.#segment(Math.floor(index / segmentEntries)).profileAt(index % segmentEntries);
  }

  /** When an entry was logged. */
  timeAt(index: number): number {
    const tail = this.#tail[index - this.#fullEntries];
    if (tail !== undefined) return tail.atMs;
    return this.#segment(Math.floor(index / segmentEntries)).timeAt(index % segmentEntries);
  }

  /** The first entry that was logged at this time or later; `size` if there is none. */
  firstSince(atMs: number): number {
    // The segment before the first that begins so late may end so late.
    const next = this.#firstTimes.findIndex((first) => first >= atMs);
    let low = Math.max(0, (next < 0 ? this.#firstTimes.length : next) - 1) * segmentEntries;
    let high = next < 0 ? this.size : next * segmentEntries;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.timeAt(middle) < atMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #segment(number: number): Segment {
    const known = this.#segments.get(number);
    if (known !== undefined) return known;
    const row = this.#statements.segment.get(this.log.id * segmentsPerLog + number);
    if (row === undefined) throw new IndexDamaged("a segment is missing");
    const segment = new Segment(bytesOf(row["data"]));
    const [oldest] = this.#segments.keys();
    if (this.#segments.size >= keptSegments && oldest !== undefined) this.#segments.delete(oldest);
    this.#segments.set(number, segment);
    return segment;
  }

  #remember(entries: readonly TailEntry[]): void {
    for (const entry of entries) {
      addPlaces(this.#tailPlaces, entry, this.size);
      this.#tail.push(entry);
    }
  }

  #segmentRange(): readonly [number, number] {
    return [this.log.id * segmentsPerLog, (this.log.id + 1) * segmentsPerLog];
  }
}

/** Indices of the entries with each key. */
function placesOf(entries: readonly TailEntry[], first: number): Map<number, number[]> {
  const places = new Map<number, number[]>();
  for (const [at, entry] of entries.entries()) addPlaces(places, entry, first + at);
  return places;
}

function addPlaces(
  places: Map<number, number[]>,
  { profile, keys }: TailEntry,
  index: number,
): void {
  for (const key of [profile, ...keys]) {
    const known = places.get(key);
    if (known === undefined) places.set(key, [index]);
    else known.push(index);
  }
}

function prepare(database: DatabaseSync) {
  const statement = (sql: string): StatementSync => database.prepare(sql);
  return {
    log: statement("SELECT size, lastHash FROM logs WHERE id = ?"),
    resize: statement("UPDATE logs SET size = ?, lastHash = ? WHERE id = ?"),
    batches: statement("SELECT data FROM batches WHERE log = ? ORDER BY first"),
    addBatch: statement("INSERT INTO batches VALUES (?, ?, ?)"),
    dropBatches: statement("DELETE FROM batches WHERE log = ? AND first < ?"),
    segments: statement(
      "SELECT substr(data, 1, 16) AS data FROM segments WHERE id >= ? AND id < ? ORDER BY id",
    ),
    segment: statement("SELECT data FROM segments WHERE id = ?"),
    addSegment: statement("INSERT INTO segments VALUES (?, ?)"),
  };
}
