/**
 * The thread that writes one partition. A message is a group of commits; it becomes one transaction and one fsync, and is answered
 * only after COMMIT has returned. The first error makes the outcome unknown, and nothing is written after it.
 */
import { flushCompileCache } from "node:module";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type { PartitionShape } from "../../core/storage.ts";
import {
  unpackGroup,
  type CommitOutcome,
  type Group,
  type GroupOutcome,
  type PackedCommit,
} from "./group.ts";
import { openWriter, streamName, tableName, takeLock, walMeter } from "./sqlite-file.ts";

/** What the thread is started with. */
export interface WriterStart {
  readonly path: string;
  readonly lockPath: string;
  readonly name: string;
  readonly shape: PartitionShape;
}

/** What the thread is told: a group to write, or to close and end. */
export type WriterOrder = { readonly group: Group } | { readonly close: true };

function run(port: NonNullable<typeof parentPort>, start: WriterStart): void {
  // Opened before the answer, so that a wrong setting or a held lock fails the open and not the first commit.
  const lock = takeLock(start.lockPath, start.name);
  const writer = new Writer(openWriter(start.path, start.name, start.shape), start.shape);
  port.postMessage("open");
  // So that the next thread of this kind, in the very first run too, finds it compiled and loads no compiler.
  flushCompileCache();
  port.on("message", (order: WriterOrder) => {
    if ("group" in order) {
      port.postMessage(writer.write(order.group));
      return;
    }
    writer.close();
    lock.close();
    port.close();
  });
}

class Writer {
  readonly #database: DatabaseSync;
  readonly #gets: readonly StatementSync[];
  readonly #sets: readonly StatementSync[];
  readonly #deletes: readonly StatementSync[];
  readonly #appends: readonly StatementSync[];
  readonly #lengths: number[];
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #walBytes: () => number;
  #failed: string | null = null;

  constructor(database: DatabaseSync, { tables, streams }: PartitionShape) {
    const each = (names: readonly string[], sql: (name: string) => string) =>
      names.map((name) => database.prepare(sql(name)));
    const t = tables.map(tableName);
    const s = streams.map(streamName);
    this.#database = database;
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
  }

  write(group: Group): GroupOutcome {
    if (this.#failed !== null) return { unknown: this.#failed };
    try {
      this.#begin.run();
      const outcomes: CommitOutcome[] = [];
      for (const commit of unpackGroup(group)) outcomes.push(this.#apply(commit));
      this.#commit.run();
      return { outcomes, walBytes: this.#walBytes() };
    } catch (thrown) {
      // Never retried: after a failed fsync the kernel may have dropped the pages and call the next one a success.
      this.#failed = thrown instanceof Error ? thrown.message : String(thrown);
      return { unknown: this.#failed };
    }
  }

  close(): void {
    // A transaction left open by an error is rolled back with the connection.
    this.#database.close();
  }

  /** All expectations first, so that a conflict has nothing to undo. */
  #apply({ expect, writes, appends }: PackedCommit): CommitOutcome {
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

// Last, because the class above must exist by then.
if (parentPort !== null) run(parentPort, workerData as WriterStart); // the one who starts this thread gives exactly that
