/**
 * Writes one partition: one transaction on its way at a time, the next one gathering meanwhile. If the connection breaks while a
 * transaction is on its way, the server is asked whether it took place: a new generation first, so that the old connection's can no
 * longer, then the name of the last group.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { equalBytes } from "../../core/formats/encoding.ts";
import {
  type Commit,
  type Committed,
  Conflict,
  type PartitionShape,
  Superseded,
  UnsafeStorage,
} from "../../core/storage.ts";
import { shapeText } from "./bounds.ts";
import {
  bringUpToDate,
  fencedCode,
  type PartitionLayout,
  requirePartition,
  surprisedCode,
} from "./postgres-layout.ts";
import { cutOff, type HeldLease, nextGeneration, takeLock } from "./postgres-fence.ts";
import { type Outcome, type Plan, planGroup } from "./postgres-group.ts";
import {
  bytesOf,
  closeConnection,
  codeOf,
  isLostConnection,
  rowsOf,
  textOf,
  unlessLost,
  withoutWarnings,
} from "./postgres-query.ts";
import { findServer, type PostgresOptions } from "./postgres-server.ts";
import { beginReading, commitPlan, type Transaction } from "./postgres-transaction.ts";

/** What one transaction may carry; more waits for the next. */
const maxGroupBytes = 32 * 1024 * 1024;
/** How long a lost server is looked for before the outcome is given up as unknown. */
const findAgainMs = 30_000;
const retryMs = 100;

interface Waiting {
  readonly commit: Commit;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (reason: Error) => void;
}

/** A partition to be opened. */
export interface Opening {
  readonly name: string;
  readonly shape: PartitionShape;
  /** Whoever takes turns with others writes by its turn; whoever does not, only if nobody else does. */
  readonly lease: HeldLease | null;
}

/** The only writer of a partition, as far as it knows; the server knows better. */
export class PostgresWriter implements AsyncDisposable {
  readonly layout: PartitionLayout;
  readonly #options: PostgresOptions;
  readonly #name: string;
  readonly #lengths: Map<string, bigint>;
  readonly #isLeased: boolean;
  #client: pg.Client;
  #generation: string;
  #gathering: Waiting[] = [];
  #isRunning = false;
  #isClosed = false;
  #failed: Error | null = null;
  #idle: (() => void) | null = null;

  /**
   * Takes a new generation, which fences whoever wrote before.
   *
   * @throws {MissingPartition} @throws {Superseded} if the lease is another's by now
   * @throws without a lease if another process writes
   */
  static async open(options: PostgresOptions, opening: Opening): Promise<PostgresWriter> {
    const { name, shape, lease } = opening;
    const client = await findServer(options);
    try {
      const layout = await requirePartition(client, name);
      await bringUpToDate(client);
      if (shapeText(layout.shape) !== shapeText(shape)) {
        throw new Error(`partition "${name}" has another shape: ${shapeText(layout.shape)}`);
      }
      if (!(await takeLock(client, layout))) {
        if (lease === null) {
          throw new Error(
            `partition "${name}" is open for writing already, here or in another process; stop that one first`,
          );
        }
        await cutOff(client, layout, lease);
      }
      const generation = await nextGeneration(client, layout, lease);
      const lengths = await readLengths(client, layout);
      const isLeased = lease !== null;
      return new PostgresWriter({ options, name, client, layout, generation, lengths, isLeased });
    } catch (thrown) {
      await closeConnection(client);
      throw thrown;
    }
  }

  private constructor(opened: {
    readonly options: PostgresOptions;
    readonly name: string;
    readonly client: pg.Client;
    readonly layout: PartitionLayout;
    readonly generation: string;
    readonly lengths: Map<string, bigint>;
    readonly isLeased: boolean;
  }) {
    this.#isLeased = opened.isLeased;
    this.#options = opened.options;
    this.#name = opened.name;
    this.#client = opened.client;
    this.layout = opened.layout;
    this.#generation = opened.generation;
    this.#lengths = opened.lengths;
  }

  /** See `Partition.commit`. */
  async commit(commit: Commit): Promise<Committed> {
    if (this.#isClosed) throw new Error(`partition "${this.#name}" is closed`);
    if (this.#failed !== null) throw this.#failed;
    return await new Promise((resolve, reject) => {
      // Copied now: what the caller does with its bytes afterwards does not matter.
      this.#gathering.push({ commit: copyOf(commit), resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  /** Writes what was called, then closes the connection, which drops the lock. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#isRunning) await new Promise<void>((resolve) => (this.#idle = resolve));
    await closeConnection(this.#client);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#gathering.length > 0 && this.#failed === null) {
      const sent = this.#takeGroup();
      try {
        const outcomes = await this.#write(sent.map(({ commit }) => commit));
        for (const [at, waiting] of sent.entries()) settle(waiting, outcomes[at]);
      } catch (thrown) {
        this.#fail(thrown, sent);
      }
    }
    this.#isRunning = false;
    this.#idle?.();
  }

  #takeGroup(): readonly Waiting[] {
    let sizeBytes = 0;
    let taken = 0;
    for (const { commit } of this.#gathering) {
      sizeBytes += sizeOf(commit);
      if (taken > 0 && sizeBytes > maxGroupBytes) break;
      taken++;
    }
    return this.#gathering.splice(0, taken);
  }

  /** One transaction, begun again only when it is certain that it did not take place. */
  async #write(commits: readonly Commit[]): Promise<readonly Outcome[]> {
    const group = randomBytes(16);
    let isSurprised = false;
    for (;;) {
      let plan: Plan | null = null;
      try {
        const transaction = this.#transaction(group);
        plan = isSurprised
          ? await unlessLost(this.#client, beginReading(transaction, commits))
          : planGroup(commits, null, this.#lengths);
        await unlessLost(this.#client, commitPlan(transaction, plan, isSurprised));
        this.#grow(plan);
        return plan.outcomes;
      } catch (thrown) {
        if (codeOf(thrown) === surprisedCode && !isSurprised) {
          // Nothing has taken place. Who expected what, and was wrong, is found by reading.
          isSurprised = true;
          continue;
        }
        if (!isLostConnection(thrown)) throw thrown;
        const last = await this.#reconnect();
        if (plan !== null && equalBytes(last, group)) {
          this.#grow(plan);
          return plan.outcomes;
        }
      }
    }
  }

  #transaction(group: Uint8Array): Transaction {
    const [client, generation, lengths] = [this.#client, this.#generation, this.#lengths];
    return { client, layout: this.layout, generation, group, lengths };
  }

  #grow({ appends }: Plan): void {
    for (const [stream, values] of appends) {
      this.#lengths.set(stream, (this.#lengths.get(stream) ?? 0n) + BigInt(values.length));
    }
  }

  /** A new connection under a new generation; gives the name of the last group that took place. */
  async #reconnect(): Promise<Uint8Array> {
    await closeConnection(this.#client);
    const untilMs = performance.now() + findAgainMs;
    for (;;) {
      try {
        const client = await findServer(this.#options);
        try {
          return await unlessLost(client, this.#takeOver(client));
        } catch (thrown) {
          await closeConnection(client);
          throw thrown;
        }
      } catch (thrown) {
        const isFinal = thrown instanceof Superseded || thrown instanceof UnsafeStorage;
        if (isFinal || performance.now() > untilMs) throw thrown;
        await sleep(retryMs);
      }
    }
  }

  async #takeOver(client: pg.Client): Promise<Uint8Array> {
    if (!(await takeLock(client, this.layout)) && !this.#isLeased) {
      throw new Error("the session lock is held still");
    }
    // Waits for a transaction of the old connection that is under way, and ends every one that is not.
    const [row] = await withoutWarnings(
      client,
      async () =>
        await rowsOf(
          client,
          "UPDATE chancery.partitions SET generation = generation + 1 WHERE id = $1 AND generation = $2 RETURNING generation, last_group",
          [this.layout.id, this.#generation],
        ),
    );
    if (row === undefined) throw new Superseded("another process has opened this partition since");
    this.#client = client;
    this.#generation = String(row[0]);
    return bytesOf(row[1]);
  }

  #fail(cause: unknown, sent: readonly Waiting[]): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const said = `partition "${this.#name}": ${reason}; whether the last commits took place is unknown, restart to find out`;
    const isSuperseded = cause instanceof Superseded || codeOf(cause) === fencedCode;
    this.#failed = isSuperseded ? new Superseded(said, { cause }) : new Error(said, { cause });
    for (const { reject } of [...sent, ...this.#gathering.splice(0)]) reject(this.#failed);
  }
}

async function readLengths(
  client: pg.Client,
  { shape, stream }: PartitionLayout,
): Promise<Map<string, bigint>> {
  const lengths = new Map<string, bigint>();
  for (const name of shape.streams) {
    const sql = `SELECT coalesce(max(sequence), 0) FROM ${stream(name)}`;
    lengths.set(name, BigInt(await textOf(client, sql, [])));
  }
  return lengths;
}

function copyOf({ expect = [], writes = [], appends = [] }: Commit): Commit {
  const row = <T extends { readonly key: Uint8Array; readonly value: Uint8Array | null }>(
    of: T,
  ) => ({
    ...of,
    key: of.key.slice(),
    value: of.value?.slice() ?? null,
  });
  return {
    expect: expect.map(row),
    writes: writes.map(row),
    appends: appends.map(({ stream, value }) => ({ stream, value: value.slice() })),
  };
}

function settle({ resolve, reject }: Waiting, outcome: Outcome | undefined): void {
  if (outcome === undefined) reject(new Error("storage: a commit was not answered"));
  else if ("conflict" in outcome) reject(new Conflict(outcome.conflict));
  else resolve(outcome);
}

function sizeOf({ expect = [], writes = [], appends = [] }: Commit): number {
  let size = 0;
  for (const { key, value } of [...expect, ...writes]) size += key.length + (value?.length ?? 0);
  for (const { value } of appends) size += value.length;
  return size;
}
