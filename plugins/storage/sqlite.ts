/**
 * The SQLite storage driver. A few threads write (WAL, `synchronous=FULL`), each for several partitions; all commits of a partition that
 * are called while its previous transaction was being synced become the next one. Reads run on the calling thread over a connection that
 * cannot write.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Reader, StorageDriver } from "../../core/storage.ts";
import { checkPartitionName, checkShape } from "./bounds.ts";
import { ComposedPartition } from "./partition.ts";
import { Checkpoints } from "./checkpoints.ts";
import { CommitQueue } from "./commit-queue.ts";
import { createFile, requireFile } from "./sqlite-file.ts";
import { SqliteReader } from "./sqlite-reader.ts";
import { Threads } from "./threads.ts";

/** Where the files are, and when the write-ahead log is moved and when it pushes back. */
export interface SqliteOptions {
  readonly directory: string;
  /** From here on the log is moved in the background. Default 8 MiB. */
  readonly walSoftBytes?: number;
  /** From here on commits wait until it has been moved. Default 128 MiB. */
  readonly walHardBytes?: number;
}

const mebibyte = 1024 * 1024;

/** A driver on `<directory>/<partition>.db`; the directory is made with the first partition. */
export function sqliteDriver(options: SqliteOptions): StorageDriver {
  const { directory, walSoftBytes = 8 * mebibyte, walHardBytes = 128 * mebibyte } = options;
  const threads = new Threads();
  const checkpoints = new Checkpoints(threads, { walSoftBytes, walHardBytes });
  const open = new Set<AsyncDisposable>();
  const pathOf = (name: string) => {
    checkPartitionName(name);
    return join(directory, `${name}.db`);
  };

  return {
    async create(name, shape) {
      checkShape(shape);
      const path = pathOf(name);
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      createFile(path, name, shape);
    },
    async open(name, shape) {
      const path = pathOf(name);
      checkShape(shape);
      // Here too, because an error from the writing thread loses its class on the way.
      requireFile(path, name);
      const queue = await CommitQueue.open(
        { path, lockPath: join(directory, `${name}.lock`), name, shape },
        threads,
        checkpoints,
      );
      const partition = new ComposedPartition(new SqliteReader(path, name), queue, shape);
      open.add(partition);
      return partition;
    },
    async openReader(name): Promise<Reader> {
      const reader = new SqliteReader(pathOf(name), name);
      open.add(reader);
      return reader;
    },
    async [Symbol.asyncDispose]() {
      for (const opened of open) await opened[Symbol.asyncDispose]();
      open.clear();
      await threads[Symbol.asyncDispose]();
    },
  };
}
