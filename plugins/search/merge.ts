/** Makes one run of sixteen. In steps, so that whoever asks meanwhile is answered between two of them. */
import type { DatabaseSync } from "node:sqlite";
import { inTransaction } from "./database.ts";
import type { Pairs } from "./page.ts";
import { fanOut, type Run, type RunWriter, type Runs, topLevel } from "./run.ts";

/** Pairs of one step: a millisecond or so. Four times what comes with the entries of one call of the follower. */
const pairsAtOnce = 2_048;

/** Runs that are due to become one, the lowest level first; null if there are none. */
export function dueForMerge(runs: readonly Run[]): readonly Run[] | null {
  for (let level = 0; level < topLevel; level++) {
    const same = runs.filter((run) => run.level === level);
    if (same.length >= fanOut) return same.slice(0, fanOut);
  }
  return null;
}

/**
 * Merges. Each step is a transaction; the new run takes the place of the old ones in the last but one, and what is left of them goes
 * after that. Dying between two steps leaves an unfinished run, which the next start removes.
 *
 * @param replace Called inside the transaction's step that makes the change.
 */
export function* mergeSteps(
  of: { readonly database: DatabaseSync; readonly runs: Runs; readonly log: number },
  sources: readonly Run[],
  replace: (merged: Run) => void,
): Generator<void> {
  const { database, runs, log } = of;
  const [oldest] = sources;
  if (oldest === undefined) return;
  const writer = inTransaction(database, () => runs.begin(log, oldest.first, oldest.level + 1));
  const cursors = sources.map((run) => new RunCursor(run));
  while (inTransaction(database, () => moveSome(cursors, writer))) yield;
  const merged = inTransaction(database, () => {
    for (const run of sources) runs.retire(run);
    return writer.end();
  });
  replace(merged);
  yield;
  for (const { id } of sources) {
    inTransaction(database, () => runs.remove(id));
    yield;
  }
}

/** Moves the smallest pairs over; false if none is left. */
function moveSome(cursors: readonly RunCursor[], writer: RunWriter): boolean {
  for (let moved = 0; moved < pairsAtOnce; moved++) {
    let smallest: RunCursor | null = null;
    for (const cursor of cursors) {
      // Of equal keys the older run's come first, and they have the smaller indices.
      if (cursor.key < (smallest?.key ?? Infinity)) smallest = cursor;
    }
    if (smallest === null) return false;
    writer.add(smallest.key, smallest.index);
    smallest.advance();
  }
  return true;
}

/** Reads a run from its beginning to its end. */
class RunCursor {
  readonly #run: Run;
  #pairs: Pairs | null = null;
  #page = 0;
  #at = 0;

  constructor(run: Run) {
    this.#run = run;
    this.#load();
  }

  /** Infinity behind the end. */
  get key(): number {
    return this.#pairs?.keys[this.#at] ?? Infinity;
  }

  get index(): number {
    return this.#pairs?.indices[this.#at] ?? Infinity;
  }

  advance(): void {
    this.#at++;
    if (this.#at >= (this.#pairs?.keys.length ?? 0)) this.#load();
  }

  #load(): void {
    this.#at = 0;
    this.#pairs = this.#page < this.#run.pageCount ? this.#run.page(this.#page++) : null;
  }
}
