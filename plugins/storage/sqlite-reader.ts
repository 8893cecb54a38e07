/** Reads of a partition on the calling thread. Each is one statement, so none holds back the write-ahead log. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { PartitionShape, Range, Reader, Record, Row } from "../../core/storage.ts";
import { checkLimit, checkTable } from "./bounds.ts";
import { openReading, streamName, tableName } from "./sqlite-file.ts";

/** A reader of its own connection. */
export class SqliteReader implements Reader {
  readonly #database: DatabaseSync;
  readonly #shape: PartitionShape;
  readonly #statements = new Map<string, StatementSync>();

  /** @throws {MissingPartition} */
  constructor(path: string, name: string) {
    const { database, shape } = openReading(path, name);
    this.#database = database;
    this.#shape = shape;
  }

  async get(table: string, key: Uint8Array): Promise<Uint8Array | null> {
    checkTable(this.#shape.tables, table);
    const row = this.#prepare(`SELECT "value" FROM ${tableName(table)} WHERE "key" = ?`).get(key);
    return row === undefined ? null : bytes(row["value"]);
  }

  async scan(table: string, range: Range): Promise<readonly Row[]> {
    checkTable(this.#shape.tables, table);
    checkLimit(range);
    const { from, to, limit, reverse = false } = range;
    const bounds = [
      ...(from === undefined ? [] : [{ sql: '"key" >= ?', value: from }]),
      ...(to === undefined ? [] : [{ sql: '"key" < ?', value: to }]),
    ];
    const where = bounds.length === 0 ? "" : `WHERE ${bounds.map(({ sql }) => sql).join(" AND ")}`;
    const order = reverse ? "DESC" : "ASC";
    const rows = this.#prepare(
      `SELECT "key", "value" FROM ${tableName(table)} ${where} ORDER BY "key" ${order} LIMIT ?`,
    ).all(...bounds.map(({ value }) => value), limit);
    return rows.map((row) => ({ key: bytes(row["key"]), value: bytes(row["value"]) }));
  }

  async read(stream: string, after: bigint, limit: number): Promise<readonly Record[]> {
    if (!this.#shape.streams.includes(stream)) {
      throw new TypeError(`storage: there is no stream "${stream}"`);
    }
    checkLimit({ limit });
    const rows = this.#prepare(
      `SELECT "sequence", "value" FROM ${streamName(stream)} WHERE "sequence" > ? ORDER BY "sequence" LIMIT ?`,
    ).all(after, limit);
    return rows.map((row) => ({
      sequence: BigInt(Number(row["sequence"])),
      value: bytes(row["value"]),
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }

  #prepare(sql: string): StatementSync {
    if (!this.#database.isOpen) throw new Error("the partition is closed");
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

function bytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new Error("sqlite: a column that holds bytes holds something else");
}
