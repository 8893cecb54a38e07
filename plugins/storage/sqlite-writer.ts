/**
 * What writes one partition, in a thread. A group of commits becomes one transaction and one fsync, and is answered only after COMMIT has
 * returned. The first error makes the outcome unknown, and nothing is written after it.
 */
import type { StatementSync } from "node:sqlite";
import type { PartitionShape } from "../../core/storage.ts";
import type { CommitOutcome, GroupOutcome, SlateCommit } from "./slate.ts";
import { openWriter, streamName, tableName, takeLock, walMeter } from "./sqlite-file.ts";

/** The partition. */
export interface WriterStart {
  readonly path: string;
  readonly lockPath: string;
  readonly name: string;
  readonly shape: PartitionShape;
}

/** Writes one partition. */
export class SqliteWriter implements Disposable {
  /** The lock, and the connection above it. */
  readonly #held: DisposableStack;
  readonly #gets: readonly StatementSync[];
  readonly #sets: readonly StatementSync[];
  readonly #deletes: readonly StatementSync[];
  readonly #appends: readonly StatementSync[];
  readonly #lengths: number[];
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #walBytes: () => number;
  #failed: string | null = null;

  /** @throws if another writes the partition, or if the file is not what it should be. */
  constructor({ path, lockPath, name, shape }: WriterStart) {
    // Nothing of a partition that could not be opened outlives this: the thread may live on.
    using held = new DisposableStack();
    const lock = takeLock(lockPath, name);
    held.defer(() => lock.close());
    const database = openWriter(path, name, shape);
    // A transaction left open by an error is rolled back with the connection.
    held.defer(() => database.close());
    const { tables, streams } = shape;
    const each = (names: readonly string[], sql: (name: string) => string) =>
      names.map((name) => database.prepare(sql(name)));
    const t = tables.map(tableName);
    const s = streams.map(streamName);
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    const meter = walMeter(database, "NOOP");
    this.#walBytes = () => meter().bytes;
    this.#gets = each(t, (name) => `SELECT "value" FROM ${name} WHERE "key" = ?`);
    this.#sets = each(t, (name) => `INSERT OR REPLACE INTO ${name} VALUES (?, ?)`);
    this.#deletes = each(t, (name) => `DELETE FROM ${name} WHERE "key" = ?`);
    this.#appends = each(s, (name) => `INSERT INTO ${name} VALUES (?, ?)`);
    this.#lengths = each(s, (name) => `SELECT coalesce(max("sequence"), 0) AS n FROM ${name}`).map(
      (statement) => Number(statement.get()?.["n"]),
    );
    this.#held = held.move();
  }

  /** Commits a group. */
  write(commits: Iterable<SlateCommit>): GroupOutcome {
    if (this.#failed !== null) return { unknown: this.#failed };
    try {
      this.#begin.run();
      const outcomes: CommitOutcome[] = [];
      for (const commit of commits) outcomes.push(this.#apply(commit));
      this.#commit.run();
      return { outcomes, walBytes: this.#walBytes() };
    } catch (thrown) {
      // Never retried: after a failed fsync the kernel may have dropped the pages and call the next one a success.
      this.#failed = thrown instanceof Error ? thrown.message : String(thrown);
      return { unknown: this.#failed };
    }
  }

  [Symbol.dispose](): void {
    this.#held.dispose();
  }

  /** All expectations first, so that a conflict has nothing to undo. */
  #apply({ expect, writes, appends }: SlateCommit): CommitOutcome {
    const conflict = expect.findIndex(({ table, key, value }) => {
      const found = at(this.#gets, table).get(key)?.["value"] ?? null;
      return !same(found, value);
    });
    if (conflict >= 0) return { conflict };
    for (const { table, key, value } of writes) {
      if (value === null) at(this.#deletes, table).run(key);
      else at(this.#sets, table).run(key, value);
    }
    const sequences = appends.map(({ stream, value }) => {
      const sequence = (this.#lengths[stream] ?? 0) + 1;
      at(this.#appends, stream).run(sequence, value);
      this.#lengths[stream] = sequence;
      return sequence;
    });
    return { sequences };
  }
}

function at(statements: readonly StatementSync[], index: number): StatementSync {
  const statement = statements[index];
  if (statement === undefined) throw new Error(`sqlite: no table or stream ${index}`);
  return statement;
}

function same(found: unknown, expected: Uint8Array | null): boolean {
  if (found === null || expected === null) return found === expected;
  return found instanceof Uint8Array && Buffer.compare(found, expected) === 0;
}
