/**
 * The PostgreSQL storage driver, for when one machine is outgrown. A commit is acknowledged when the server has it durable, on a
 * synchronous standby too where there is one. All commits called while the previous transaction was on its way become the next one.
 *
 * Three things keep writers apart. A lease says whose turn it is of several processes. Without one, a session lock refuses a second
 * writer politely. The fence is a row: opening a partition gives it a new generation, and a transaction of an older generation fails
 * whole, whatever its process believes.
 */
import { type Reader, type StorageDriver, Superseded } from "../../core/storage.ts";
import { checkPartitionName, checkShape } from "./bounds.ts";
import { ComposedPartition } from "./partition.ts";
import { createPartition, layOutDatabase, requirePartition } from "./postgres-layout.ts";
import { closeConnection } from "./postgres-query.ts";
import { PostgresLease } from "./postgres-lease.ts";
import { PostgresReader } from "./postgres-reader.ts";
import { findServer, type PostgresOptions, readonlyPool } from "./postgres-server.ts";
import { PostgresWriter } from "./postgres-writer.ts";

/** A driver on one database, which must exist; its schema `chancery` is made with the first partition. */
export function postgresDriver(options: PostgresOptions): StorageDriver {
  const open = new Set<AsyncDisposable>();
  const pool = readonlyPool(options);
  let lease: PostgresLease | null = null;

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
      const held = lease?.held ?? null;
      if (lease !== null && held === null) throw new Superseded("it is not this process's turn");
      const writer = await PostgresWriter.open(options, { name, shape, lease: held });
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
    async lease(name) {
      checkPartitionName(name);
      if (lease !== null) throw new TypeError("storage: a driver takes part in one lease");
      lease = await PostgresLease.join(options, name);
      return lease;
    },
    async [Symbol.asyncDispose]() {
      for (const opened of open) await opened[Symbol.asyncDispose]();
      open.clear();
      await pool.end();
    },
  };
}
