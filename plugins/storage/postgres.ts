/**
 * The PostgreSQL storage driver, for when one machine is outgrown. A commit is acknowledged when the server has it durable, on a
 * synchronous standby too where there is one. All commits called while the previous transaction was on its way become the next one.
 *
 * Two things keep writers apart. A session lock refuses a second writer politely. The fence is a row: opening a partition gives it a
 * new generation, and a transaction of an older generation fails whole, whatever its process believes.
 */
import {
  type Commit,
  type Committed,
  type Partition,
  type PartitionShape,
  type Reader,
  type StorageDriver,
} from "../../core/storage.ts";
import { checkCommit, checkPartitionName, checkShape } from "./bounds.ts";
import { createPartition, layOutDatabase, requirePartition } from "./postgres-layout.ts";
import { PostgresReader } from "./postgres-reader.ts";
import { findServer, type PostgresOptions, readonlyPool } from "./postgres-server.ts";
import { PostgresWriter } from "./postgres-writer.ts";

/** A driver on one database, which must exist; its schema `chancery` is made with the first partition. */
export function postgresDriver(options: PostgresOptions): StorageDriver {
  const open = new Set<AsyncDisposable>();
  const pool = readonlyPool(options);

  return {
    async create(name, shape) {
      checkPartitionName(name);
      checkShape(shape);
      const client = await findServer(options);
      try {
        await layOutDatabase(client);
        await createPartition(client, name, shape);
      } finally {
        await client.end();
      }
    },
    async open(name, shape) {
      checkPartitionName(name);
      checkShape(shape);
      const writer = await PostgresWriter.open(options, name, shape);
      const partition = new PostgresPartition(
        new PostgresReader(pool, writer.layout, name),
        writer,
        shape,
      );
      open.add(partition);
      return partition;
    },
    async openReader(name): Promise<Reader> {
      checkPartitionName(name);
      const layout = await pool.use(async (client) => await requirePartition(client, name));
      const reader = new PostgresReader(pool, layout, name);
      open.add(reader);
      return reader;
    },
    async [Symbol.asyncDispose]() {
      for (const opened of open) await opened[Symbol.asyncDispose]();
      open.clear();
      await pool.end();
    },
  };
}

class PostgresPartition implements Partition {
  readonly #reader: PostgresReader;
  readonly #writer: PostgresWriter;
  readonly #shape: PartitionShape;

  constructor(reader: PostgresReader, writer: PostgresWriter, shape: PartitionShape) {
    this.#reader = reader;
    this.#writer = writer;
    this.#shape = shape;
  }

  async commit(commit: Commit): Promise<Committed> {
    checkCommit(this.#shape, commit);
    return await this.#writer.commit(commit);
  }

  async get(table: string, key: Uint8Array) {
    return await this.#reader.get(table, key);
  }

  async scan(...question: Parameters<Reader["scan"]>) {
    return await this.#reader.scan(...question);
  }

  async read(...question: Parameters<Reader["read"]>) {
    return await this.#reader.read(...question);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
    await this.#writer[Symbol.asyncDispose]();
  }
}
