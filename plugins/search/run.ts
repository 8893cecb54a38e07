/**
 * A run: the pairs (key, index) of a range of a log's entries, sorted, in pages. Runs are never changed. Sixteen of one level that lie
 * side by side become one of the next, so that the cost of an entry stays the same however long the log is, and a key is looked for in
 * few places.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { bytesOf, IndexDamaged } from "./database.ts";
import { findInPage, PageWriter, type Pairs, readPage } from "./page.ts";
import { segmentEntries } from "./segment.ts";

/** Runs that become one of the next level. */
export const fanOut = 16;
/** Runs of this level (a million entries) stay. */
export const topLevel = 2;
/** Entries of a run. */
export const entriesOf = (level: number): number => segmentEntries * fanOut ** level;

const pagesPerRun = 2 ** 24;
/** Bytes of a row of the directory: key as a double, index in the run. */
const directoryRow = 12;

/** A range of indices, from `low` inclusive to `high` exclusive. */
export interface Span {
  readonly low: number;
  readonly high: number;
}

/** Reads and writes runs. */
export class Runs {
  readonly #statements: ReturnType<typeof prepare>;

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
  }

  /** Removes what a process that died left unfinished. */
  clean(): void {
    for (const { id } of this.#statements.unfinished.all()) this.remove(Number(id));
  }

  /** The runs of a log, in the order of its entries. */
  load(log: number): Run[] {
    return this.#statements.ofLog.all(log).map((row) => {
      const [id, first, level] = [Number(row["id"]), Number(row["first"]), Number(row["level"])];
      return new Run({ id, first, level }, bytesOf(row["directory"]), this.#statements.page);
    });
  }

  /** Begins a run, which is not there until {@link RunWriter.end}. */
  begin(log: number, first: number, level: number): RunWriter {
    const id = Number(this.#statements.begin.run(log, first, level).lastInsertRowid);
    return new RunWriter({ id, first, level }, this.#statements);
  }

  /** Says that a run has been replaced; its pages are there until {@link remove}. */
  retire({ id }: Run): void {
    this.#statements.retire.run(id);
  }

  /** Removes a run that is not there any more, and its pages. */
  remove(id: number): void {
    this.#statements.removePages.run(id * pagesPerRun, (id + 1) * pagesPerRun);
    this.#statements.removeRun.run(id);
  }
}

interface Place {
  readonly id: number;
  /** Index of the first entry. */
  readonly first: number;
  readonly level: number;
}

/** Writes a run; pairs come in order. */
export class RunWriter {
  readonly #place: Place;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #page: PageWriter;
  readonly #starts: number[] = [];
  #pages = 0;

  constructor(place: Place, statements: ReturnType<typeof prepare>) {
    this.#place = place;
    this.#statements = statements;
    this.#page = new PageWriter(place.first);
  }

  add(key: number, index: number): void {
    if (this.#page.isEmpty) this.#starts.push(key, index - this.#place.first);
    if (this.#page.add(key, index)) return;
    this.#write();
    this.add(key, index);
  }

  /** The run is there from the end of the transaction on. */
  end(): Run {
    if (!this.#page.isEmpty) this.#write();
    const count = this.#starts.length / 2;
    const directory = new Uint8Array(count * directoryRow);
    const view = new DataView(directory.buffer);
    for (let at = 0; at < count; at++) {
      view.setFloat64(at * directoryRow, this.#starts[2 * at] ?? 0);
      view.setUint32(at * directoryRow + 8, this.#starts[2 * at + 1] ?? 0);
    }
    this.#statements.end.run(directory, this.#place.id);
    return new Run(this.#place, directory, this.#statements.page);
  }

  #write(): void {
    this.#statements.addPage.run(this.#place.id * pagesPerRun + this.#pages++, this.#page.take());
  }
}

/** A finished run. */
export class Run {
  readonly id: number;
  readonly first: number;
  readonly level: number;
  /** Index of the first entry behind it. */
  readonly end: number;
  readonly pageCount: number;
  readonly #keys: Float64Array;
  readonly #offsets: Uint32Array;
  readonly #read: StatementSync;

  constructor({ id, first, level }: Place, directory: Uint8Array, read: StatementSync) {
    [this.id, this.first, this.level] = [id, first, level];
    this.end = first + entriesOf(level);
    this.pageCount = directory.length / directoryRow;
    this.#keys = new Float64Array(this.pageCount);
    this.#offsets = new Uint32Array(this.pageCount);
    const view = new DataView(directory.buffer, directory.byteOffset, directory.length);
    for (let at = 0; at < this.pageCount; at++) {
      this.#keys[at] = view.getFloat64(at * directoryRow);
      this.#offsets[at] = view.getUint32(at * directoryRow + 8);
    }
    this.#read = read;
  }

  /** One page. */
  page(number: number): Pairs {
    return readPage(this.#pageBytes(number), this.first);
  }

  /** Indices in `span` with this key, in the order asked for. */
  *find(key: number, { low, high }: Span, newestFirst: boolean): Generator<number> {
    if (high <= this.first || low >= this.end) return;
    const from = this.#pageOf(key, low);
    const to = this.#pageOf(key, high - 1);
    for (let step = 0; step <= to - from; step++) {
      const page = this.#pageBytes(newestFirst ? to - step : from + step);
      const found = findInPage(page, this.first, key).filter(
        (index) => index >= low && index < high,
      );
      yield* newestFirst ? found.toReversed() : found;
    }
  }

  #pageBytes(number: number): Uint8Array {
    const row = this.#read.get(this.id * pagesPerRun + number);
    if (row === undefined) throw new IndexDamaged("a page is missing");
    return bytesOf(row["data"]);
  }

  /** The last page that begins at or before the pair. */
  #pageOf(key: number, index: number): number {
    const offset = index - this.first;
    let low = 0;
    let high = this.pageCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const there = this.#keys[middle] ?? 0;
      const isAfter = there > key || (there === key && (this.#offsets[middle] ?? 0) > offset);
      if (isAfter) high = middle;
      else low = middle + 1;
    }
    return Math.max(0, low - 1);
  }
}

function prepare(database: DatabaseSync) {
  const statement = (sql: string): StatementSync => database.prepare(sql);
  return {
    unfinished: statement("SELECT id FROM runs WHERE isReady = 0"),
    ofLog: statement("SELECT * FROM runs WHERE log = ? AND isReady = 1 ORDER BY first"),
    begin: statement(
      "INSERT INTO runs (log, first, level, isReady, directory) VALUES (?, ?, ?, 0, x'')",
    ),
    end: statement("UPDATE runs SET isReady = 1, directory = ? WHERE id = ?"),
    retire: statement("UPDATE runs SET isReady = 0, directory = x'' WHERE id = ?"),
    removeRun: statement("DELETE FROM runs WHERE id = ?"),
    addPage: statement("INSERT INTO pages VALUES (?, ?)"),
    removePages: statement("DELETE FROM pages WHERE id >= ? AND id < ?"),
    page: statement("SELECT data FROM pages WHERE id = ?"),
  };
}
