/** Reads of a partition in PostgreSQL, on connections that cannot write. */
import type { Range, Reader, Record, Row } from "../../core/storage.ts";
import { checkLimit, checkTable } from "./bounds.ts";
import type { PartitionLayout } from "./postgres-layout.ts";
import { Lookup } from "./postgres-lookup.ts";
import { bytesOf, rowsOf } from "./postgres-query.ts";
import type { ReadingPool } from "./postgres-server.ts";

/** A reader on the driver's connections. */
export class PostgresReader implements Reader {
  readonly #pool: ReadingPool;
  readonly #layout: PartitionLayout;
  readonly #name: string;
  readonly #lookups: ReadonlyMap<string, Lookup>;
  #isClosed = false;

  constructor(pool: ReadingPool, layout: PartitionLayout, name: string) {
    this.#pool = pool;
    this.#layout = layout;
    this.#name = name;
    this.#lookups = new Map(
      layout.shape.tables.map((table) => [table, new Lookup(pool, layout, table)]),
    );
  }

  async get(table: string, key: Uint8Array): Promise<Uint8Array | null> {
    checkTable(this.#layout.shape.tables, table);
    this.#checkOpen();
    return (await this.#lookups.get(table)?.get(key)) ?? null;
  }

  async scan(table: string, range: Range): Promise<readonly Row[]> {
    checkTable(this.#layout.shape.tables, table);
    checkLimit(range);
    const { from, to, limit, reverse = false } = range;
    const values: unknown[] = [limit];
    const bounds: string[] = [];
    let does = reverse ? "back" : "scan";
    for (const [name, operator, bound] of [
      ["From", ">=", from],
      ["To", "<", to],
    ] as const) {
      if (bound === undefined) continue;
      values.push(bound.slice());
      bounds.push(`key ${operator} $${values.length}`);
      does += name;
    }
    const where = bounds.length === 0 ? "" : `WHERE ${bounds.join(" AND ")}`;
    const order = reverse ? "DESC" : "ASC";
    const rows = await this.#query(
      this.#layout.statement(does, table),
      `SELECT key, value FROM ${this.#layout.table(table)} ${where} ORDER BY key ${order} LIMIT $1`,
      values,
    );
    return rows.map(([key, value]) => ({ key: bytesOf(key), value: bytesOf(value) }));
  }

  async read(stream: string, after: bigint, limit: number): Promise<readonly Record[]> {
    if (!this.#layout.shape.streams.includes(stream)) {
      throw new TypeError(`storage: there is no stream "${stream}"`);
    }
    checkLimit({ limit });
    const rows = await this.#query(
      this.#layout.statement("read", stream),
      `SELECT sequence, value FROM ${this.#layout.stream(stream)} WHERE sequence > $1 ORDER BY sequence LIMIT $2`,
      [after, limit],
    );
    return rows.map(([sequence, value]) => ({
      sequence: BigInt(String(sequence)),
      value: bytesOf(value),
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
  }

  async #query(name: string, text: string, values: unknown[]): Promise<unknown[][]> {
    this.#checkOpen();
    return await this.#pool.use(async (client) => await rowsOf(client, { name, text, values }));
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Error(`the partition "${this.#name}" is closed`);
  }
}
