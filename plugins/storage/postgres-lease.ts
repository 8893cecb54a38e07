/**
 * Whose turn it is, of several processes on one database: a row that its holder touches twice a second. Whoever waits takes it when it
 * was given back, when the holder's connection has been gone for a second, or when the row has not changed for five. All times are
 * the waiter's own, measured on its steady clock from what it has seen itself: clocks of machines are never compared.
 *
 * Taking it is a compare-and-swap with a new term. It is no fence and need not be: the new holder opens the partitions anew, and their
 * generation is.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { type Lease, Superseded } from "../../core/storage.ts";
import type { HeldLease } from "./postgres-fence.ts";
import { LeaseWatch, type SeenLease } from "./lease-watch.ts";
import { layOutDatabase } from "./postgres-layout.ts";
import { closeConnection, rowsOf, unlessLost } from "./postgres-query.ts";
import { findServer, type PostgresOptions } from "./postgres-server.ts";

const beatMs = 500;
const lookMs = 250;
/** A holder that reaches no server for so long ends, as its writers do. */
const blindMs = 30_000;
/** What the row of a lease says of a session that nobody can have. */
const nobody = "";

/** The name of our own connection. */
const ownSession =
  "(SELECT a.pid || ' ' || extract(epoch FROM a.backend_start) FROM pg_stat_activity a WHERE a.pid = pg_backend_pid())";

/** One process's part in a lease. */
export class PostgresLease implements Lease {
  readonly lost: Promise<never>;
  readonly #options: PostgresOptions;
  readonly #name: string;
  readonly #end = new AbortController();
  readonly #lose: (why: Error) => void;
  #client: pg.Client | null;
  #held: HeldLease | null = null;
  #beating: Promise<void> = Promise.resolve();

  /** Connects, and lays the database out for leases if an older release made it. @throws if no server can be used now */
  static async join(options: PostgresOptions, name: string): Promise<PostgresLease> {
    const client = await findServer(options);
    try {
      await unlessLost(client, layOutDatabase(client));
      await client.query(
        "INSERT INTO chancery.leases VALUES ($1, 0, '', 0) ON CONFLICT DO NOTHING",
        [name],
      );
      return new PostgresLease(options, name, client);
    } catch (thrown) {
      await closeConnection(client);
      throw thrown;
    }
  }

  private constructor(options: PostgresOptions, name: string, client: pg.Client) {
    this.#options = options;
    this.#name = name;
    this.#client = client;
    const { promise, reject } = Promise.withResolvers<never>();
    this.lost = promise;
    this.#lose = reject;
    // Whoever waits for it sees it; nobody has to.
    promise.catch(() => undefined);
  }

  /** The lease if it is ours, as far as we know. */
  get held(): HeldLease | null {
    return this.#held;
  }

  async taken(signal: AbortSignal): Promise<boolean> {
    const ended = AbortSignal.any([signal, this.#end.signal]);
    const watch = new LeaseWatch();
    while (!ended.aborted) {
      try {
        const seen = await this.#look();
        if (watch.isDue(seen, performance.now()) && (await this.#take(seen))) {
          this.#beating = this.#beat();
          return true;
        }
      } catch {
        // What was seen before the server was lost says nothing about the time since.
        watch.forget();
        await this.#disconnect();
      }
      await sleep(lookMs, undefined, { signal: ended }).catch(() => undefined);
    }
    return false;
  }

  /** Gives the lease back, so that nobody has to wait for it. By then nothing is written any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#beating;
    const held = this.#held;
    this.#held = null;
    if (held !== null && this.#client !== null) {
      const client = this.#client;
      const sql = "UPDATE chancery.leases SET session = $3 WHERE name = $1 AND term = $2";
      const given = client.query(sql, [held.name, held.term, nobody]);
      // Whoever waits takes it a little later then.
      await unlessLost(client, given).catch(() => undefined);
    }
    await this.#disconnect();
  }

  async #look(): Promise<SeenLease> {
    const client = await this.#connected();
    const sql = `SELECT l.term, l.beat, l.session = $2, EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid || ' ' || extract(epoch FROM a.backend_start) = l.session) FROM chancery.leases l WHERE l.name = $1`;
    const [row] = await unlessLost(client, rowsOf(client, sql, [this.#name, nobody]));
    if (row === undefined) throw new Error(`the lease "${this.#name}" is missing`);
    const [term, beat, isFree, isConnected] = row.map(String);
    if (term === undefined || beat === undefined) throw new Error("a lease without term or beat");
    return { term, beat, isFree: isFree === "t", isConnected: isConnected === "t" };
  }

  /** False if somebody else took it, or its holder has moved, since it was seen. */
  async #take({ term, beat }: SeenLease): Promise<boolean> {
    const client = await this.#connected();
    const sql = `UPDATE chancery.leases SET term = term + 1, beat = 0, session = ${ownSession} WHERE name = $1 AND term = $2 AND beat = $3 RETURNING term`;
    const taken = rowsOf(client, sql, [this.#name, term, beat]);
    const [row] = await unlessLost(client, taken);
    if (row === undefined) return false;
    this.#held = { name: this.#name, term: String(row[0]) };
    return true;
  }

  /** Touches the row until it is another's. */
  async #beat(): Promise<void> {
    const held = this.#held;
    let heardAtMs = performance.now();
    while (held !== null && !this.#end.signal.aborted) {
      await sleep(beatMs, undefined, { signal: this.#end.signal }).catch(() => undefined);
      if (this.#end.signal.aborted) return;
      try {
        if (!(await this.#touch(held))) {
          this.#held = null;
          this.#lose(new Superseded(`another process has taken over as "${this.#name}"`));
          return;
        }
        heardAtMs = performance.now();
      } catch (thrown) {
        await this.#disconnect();
        if (performance.now() - heardAtMs < blindMs) continue;
        const reason = thrown instanceof Error ? thrown.message : String(thrown);
        this.#held = null;
        this.#lose(new Superseded(`nobody could say who is "${this.#name}" any more: ${reason}`));
        return;
      }
    }
  }

  /** Losing a beat in a crash of the server costs nothing, so it waits for no disk and no standby. */
  async #touch({ name, term }: HeldLease): Promise<boolean> {
    const client = await this.#connected();
    const sql = `UPDATE chancery.leases SET beat = beat + 1, session = ${ownSession} WHERE name = $1 AND term = $2 RETURNING term`;
    const touched = (async () => {
      await client.query("SET synchronous_commit = off");
      return await rowsOf(client, sql, [name, term]);
    })();
    return (await unlessLost(client, touched)).length > 0;
  }

  async #connected(): Promise<pg.Client> {
    this.#client ??= await findServer(this.#options);
    return this.#client;
  }

  async #disconnect(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    if (client !== null) await closeConnection(client);
  }
}
