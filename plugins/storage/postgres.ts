/**
 * The PostgreSQL storage driver, for when one machine is outgrown. A commit is acknowledged when the server has it durable, on a
 * synchronous standby too where there is one. All commits called while the previous transaction was on its way become the next one.
 *
 * Two things keep writers apart. A session lock refuses a second writer politely. The fence is a row: opening a partition gives it a
 * new generation, and a transaction of an older generation fails whole, whatever its process believes.
 */
import type { Reader, StorageDriver } from "../../core/storage.ts";
import { checkPartitionName, checkShape } from "./bounds.ts";
import { ComposedPartition } from "./partition.ts";
import { createPartition, layOutDatabase, requirePartition } from "./postgres-layout.ts";
import { closeConnection } from "./postgres-query.ts";
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
        await closeConnection(client);
      }
    },
    async open(name, shape) {
      checkPartitionName(name);
      checkShape(shape);
      const writer = await PostgresWriter.open(options, name, shape);
      const partition = new ComposedPartition(
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
