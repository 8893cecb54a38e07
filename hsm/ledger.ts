/**
 * The ledger: every attempt to sign is a row before it happens, every refusal is a row before it is answered, and outcomes follow
 * with the next commit. Whatever must be durable together with a row (the guard's state) is written in the same transaction.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Clock } from "../core/clock.ts";
import type { HeldState } from "./database.ts";
import { VaultRefused } from "./errors.ts";
import {
  genesisHash,
  type IntentRow,
  type LedgerRow,
  type OperationRow,
  type Outcome,
  type RefusalRow,
  rowHash,
} from "./ledger-rows.ts";
import { runsOf } from "./runs.ts";

/** SQLite's code for a full disk, which passes; every other failure of a commit ends the vault. */
const diskFull = 13;

/** How many of the newest rows are checked at each start. `fsck` checks all. */
const rowsCheckedAtStart = 1_000;

/** The state cannot be written for now; nothing was changed. */
export class StateUnavailable extends Error {
  override readonly name = "StateUnavailable";
}

/** The ledger of an open vault, its only writer. */
export class Ledger {
  readonly #database: DatabaseSync;
  readonly #sync: () => Promise<void>;
  readonly #clock: Clock;
  readonly #insert: StatementSync;
  readonly #open: StatementSync;
  readonly #close: StatementSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  /** Told, inside the transaction, that attempts have ended. */
  readonly #onOutcomes: (outcomes: readonly Outcome[]) => void;
  #head: { readonly sequence: number; readonly hash: Uint8Array };
  #pending: Noted[] = [];
  /** Intents of the transaction under way. */
  #intended: number[] = [];
  #broken = false;

  /** Reads the newest rows back. @throws {VaultRefused} if they are not a chain */
  constructor(
    { database, sync }: Pick<HeldState, "database" | "sync">,
    clock: Clock,
    onOutcomes: (outcomes: readonly Outcome[]) => void,
  ) {
    this.#database = database;
    this.#sync = sync;
    this.#clock = clock;
    this.#onOutcomes = onOutcomes;
    this.#insert = database.prepare("INSERT INTO ledger (sequence, body, hash) VALUES (?, ?, ?)");
    // Rows come and go in runs, so each run is one statement.
    this.#open = database.prepare(
      "INSERT INTO unfinished (sequence) WITH RECURSIVE run (at) AS (VALUES (?1) UNION ALL SELECT at + 1 FROM run WHERE at < ?2) SELECT at FROM run",
    );
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#close = database.prepare("DELETE FROM unfinished WHERE sequence BETWEEN ? AND ?");
    this.#head = readHead(database);
  }

  /** True once a commit has failed in a way that leaves its outcome unknown. */
  get broken(): boolean {
    return this.#broken;
  }

  /** True if there are outcomes that are not written yet. */
  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Records that the vault started, and that attempts without an outcome have an unknown one. Answers their sequence numbers. */
  async begin(serial: string): Promise<readonly number[]> {
    const unfinished = this.#database
      .prepare("SELECT sequence FROM unfinished ORDER BY sequence")
      .all()
      .map((row) => Number(row["sequence"]));
    this.#pending.push(
      ...unfinished.map((of) => ({
        outcome: { of, status: "unknown-signed" as const, made: 0 },
        isGuarded: true,
      })),
    );
    await this.transaction(() => this.#append({ type: "start", atMs: this.#now(), serial }));
    return unfinished;
  }

  /**
   * Runs `work` and commits what it wrote, with the outcomes at hand before it, before this returns; resolves when that is durable.
   * Until then nothing may happen that the rows announce. Whoever commits meanwhile shares the next fdatasync.
   *
   * @throws {StateUnavailable} if nothing could be written, and then nothing has changed; or if it could not be made durable, and then
   * the ledger is broken. Whatever `work` throws is thrown on, and changes nothing.
   */
  async transaction<Result>(work: () => Result): Promise<Result> {
    const result = this.#write(work);
    await this.#durable();
    return result;
  }

  #write<Result>(work: () => Result): Result {
    if (this.#broken) throw new StateUnavailable("the vault's state could not be written before");
    const before = this.#head;
    const outcomes = this.#pending;
    try {
      this.#begin.run();
    } catch (cause) {
      throw this.#failed(cause);
    }
    let result: Result;
    this.#intended = [];
    try {
      this.#writeOutcomes(outcomes);
      result = work();
      for (const [first, last] of runsOf(this.#intended)) this.#open.run(first, last);
    } catch (error) {
      this.#rollBack(before);
      throw isSqlite(error) ? this.#failed(error) : error;
    }
    try {
      this.#commit.run();
    } catch (cause) {
      this.#rollBack(before);
      throw this.#failed(cause);
    }
    this.#pending = [];
    return result;
  }

  async #durable(): Promise<void> {
    try {
      await this.#sync();
    } catch (cause) {
      // What follows a lost row is lost with it, so nothing is signed after this, whatever a later fdatasync says.
      this.#broken = true;
      throw new StateUnavailable("the vault's state cannot be written", { cause });
    }
  }

  /** Writes an intent; only inside {@link transaction}. Answers its sequence number. */
  intend(intent: Omit<IntentRow, "type" | "atMs">): number {
    const sequence = this.#append({ type: "intent", atMs: this.#now(), ...intent });
    this.#intended.push(sequence);
    return sequence;
  }

  /** Writes a refusal; only inside {@link transaction}. */
  refuse(refusal: Omit<RefusalRow, "type" | "atMs">): void {
    this.#append({ type: "refusal", atMs: this.#now(), ...refusal });
  }

  /** Writes what an operator has done to a key; only inside {@link transaction}. */
  operate(operation: Omit<OperationRow, "type" | "atMs">): void {
    this.#append({ type: "operation", atMs: this.#now(), ...operation });
  }

  /** The sequence number that the next row gets. */
  get next(): number {
    return this.#head.sequence + 1;
  }

  /** Keeps an outcome for the next commit; one that is not `isGuarded` means nothing to the guard, which is then not told. */
  note(outcome: Outcome, isGuarded = true): void {
    this.#pending.push({ outcome, isGuarded });
  }

  /** Commits the outcomes at hand, if any; resolves when they are durable. @throws {StateUnavailable} */
  async flush(): Promise<void> {
    if (this.hasPending) await this.transaction(() => undefined);
  }

  #writeOutcomes(noted: readonly Noted[]): void {
    if (noted.length === 0) return;
    const results = noted.map(({ outcome }) => outcome);
    this.#append({ type: "outcomes", atMs: this.#now(), results });
    for (const [first, last] of runsOf(results.map(({ of }) => of))) this.#close.run(first, last);
    const guarded = noted.filter(({ isGuarded }) => isGuarded).map(({ outcome }) => outcome);
    if (guarded.length > 0) this.#onOutcomes(guarded);
  }

  #append(row: LedgerRow): number {
    const sequence = this.next;
    const body = JSON.stringify(row);
    const hash = rowHash(this.#head.hash, sequence, body);
    this.#insert.run(sequence, body, hash);
    this.#head = { sequence, hash };
    return sequence;
  }

  #rollBack(before: { readonly sequence: number; readonly hash: Uint8Array }): void {
    this.#head = before;
    try {
      this.#database.exec("ROLLBACK");
    } catch {
      // SQLite has rolled back by itself, or cannot; either way nothing may be built on this connection.
    }
  }

  #failed(cause: unknown): StateUnavailable {
    const passes =
      cause instanceof Error && "errcode" in cause && Number(cause.errcode) % 256 === diskFull;
    // After a failed fsync nobody knows what is on the disk: only a fresh start may read it back.
    if (!passes) this.#broken = true;
    return new StateUnavailable("the vault's state cannot be written", { cause });
  }

  #now(): number {
    return this.#clock.now().getTime();
  }
}

interface Noted {
  readonly outcome: Outcome;
  readonly isGuarded: boolean;
}

function isSqlite(error: unknown): boolean {
  return error instanceof Error && "errcode" in error;
}

function readHead(database: DatabaseSync): { sequence: number; hash: Uint8Array } {
  const rows = database
    .prepare("SELECT sequence, body, hash FROM ledger ORDER BY sequence DESC LIMIT ?")
    .all(rowsCheckedAtStart)
    .toReversed();
  let head: { sequence: number; hash: Uint8Array } | null = null;
  for (const row of rows) {
    const sequence = Number(row["sequence"]);
    const stored = row["hash"] instanceof Uint8Array ? row["hash"] : new Uint8Array();
    const previous = head?.hash ?? (sequence === 1 ? genesisHash : null);
    const chained =
      previous === null ||
      Buffer.compare(rowHash(previous, sequence, String(row["body"])), stored) === 0;
    if (!chained || (head !== null && sequence !== head.sequence + 1)) {
      throw new VaultRefused(
        `row ${sequence} of the vault's ledger does not follow from the one before it; run chancery fsck`,
      );
    }
    head = { sequence, hash: stored };
  }
  return head ?? { sequence: 0, hash: genesisHash };
}
