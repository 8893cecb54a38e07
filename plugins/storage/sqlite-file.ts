/** SQLite files: how one is laid out, made, opened, and held to the settings that durability depends on. */
import { closeSync, existsSync, fsyncSync, linkSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { parseJson } from "../../core/formats/json.ts";
import { MissingPartition, type PartitionShape } from "../../core/storage.ts";
import { shapeText } from "./bounds.ts";

/** "CHNC", in the file header, so that `file` and we know whose it is. */
const applicationId = 0x43484e43;
const layoutVersion = 1;
const busyTimeoutMs = 5_000;
/**
 * What a connection keeps at hand, in KiB; what is more lies in the kernel's cache, once for all connections. A reader is asked for
 * rows all over a table, which no bound would hold, and forgets all of it with the next commit of another connection; a writer adds at the
 * ends mostly, and what one transaction changes should fit; moving the write-ahead log needs none. Each partition has all three.
 */
const cacheKibibytes = { writing: 1024, reading: 256, checkpointing: 64 };
/**
 * Bytes of a page. A row has to fit into a quarter of one: what is more gets pages of its own, which of an entry of a log would mostly be
 * empty. Larger pages cost where small rows are written all over a table, because a page is written whole.
 */
const pageBytes = { usual: 4096, largeValues: 16_384 };

/** The SQL name of a table of the contract. */
export const tableName = (table: string) => `"table_${table}"`;
/** The SQL name of a stream of the contract. */
export const streamName = (stream: string) => `"stream_${stream}"`;

/** Makes a partition's file, durably and all or nothing. @throws if it exists. */
export function createFile(path: string, name: string, shape: PartitionShape): void {
  const draft = `${path}.new`;
  // A draft that a crash left behind was never a partition.
  rmSync(draft, { force: true });
  if (existsSync(path)) throw new Error(`partition "${name}" exists already`);
  closeSync(openSync(draft, "wx", 0o600));
  layOut(draft, name, shape);
  sync(draft);
  // Unlike rename, link never replaces a file.
  linkSync(draft, path);
  rmSync(draft);
  sync(dirname(path));
}

/** @throws {MissingPartition} if there is no file. */
export function requireFile(path: string, name: string): void {
  if (existsSync(path)) return;
  throw new MissingPartition(
    `partition "${name}" is missing: ${path} does not exist; restore it, it is never made anew by itself`,
  );
}

/** Opens the writing connection. @throws {MissingPartition} */
export function openWriter(path: string, name: string, shape: PartitionShape): DatabaseSync {
  const database = connect(path, name, "rw");
  try {
    configure(database, writing(cacheKibibytes.writing));
    const found = checkLayout(database, name);
    if (found !== shapeText(shape)) {
      throw new Error(`partition "${name}" has another shape: ${found}`);
    }
    return database;
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

/** Opens a connection that only reads, and says what the partition is made of. @throws {MissingPartition} */
export function openReading(
  path: string,
  name: string,
): { readonly database: DatabaseSync; readonly shape: PartitionShape } {
  const database = connect(path, name, "ro");
  try {
    configure(database, {
      query_only: 1,
      busy_timeout: busyTimeoutMs,
      cache_size: -cacheKibibytes.reading,
    });
    const { tables, streams } = parseJson(checkLayout(database, name)) as unknown as PartitionShape; // written by layOut
    return { database, shape: { tables, streams } };
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

/** Opens the connection that only moves the write-ahead log into the file. @throws {MissingPartition} */
export function openCheckpointing(path: string, name: string): DatabaseSync {
  const database = connect(path, name, "rw");
  configure(database, writing(cacheKibibytes.checkpointing));
  return database;
}

/**
 * Takes the lock that makes a process the only writer: an exclusive transaction, held open, on a database of its own. The kernel
 * drops it with the process, however that ends.
 *
 * @throws if another holds it.
 */
export function takeLock(path: string, name: string): DatabaseSync {
  // Only ever made here and never opened but by SQLite: closing any other descriptor of it would drop the lock.
  if (!existsSync(path)) {
    try {
      closeSync(openSync(path, "wx", 0o600));
    } catch {
      // Another process was faster, which is as good.
    }
  }
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (cause) {
    lock.close();
    throw new Error(
      `partition "${name}" is open for writing already, here or in another process; stop that one first`,
      { cause },
    );
  }
}

/** Tells, each time it is called, the size of the write-ahead log in bytes and how much of it has not reached the file. */
export function walMeter(database: DatabaseSync, mode: "NOOP" | "PASSIVE"): () => WalState {
  const checkpoint = database.prepare(`PRAGMA wal_checkpoint(${mode})`);
  const pageSize = Number(database.prepare("PRAGMA page_size").get()?.["page_size"]);
  return () => {
    const row = checkpoint.get();
    const frames = Number(row?.["log"]);
    const copied = Number(row?.["checkpointed"]);
    return { bytes: frames * pageSize, emptied: row?.["busy"] === 0 && frames === copied };
  };
}

/** See {@link walMeter}. */
export interface WalState {
  readonly bytes: number;
  /** True if the next transaction starts the log from its beginning. */
  readonly emptied: boolean;
}

const writing = (kibibytes: number) => ({
  synchronous: 2,
  wal_autocheckpoint: 0,
  busy_timeout: busyTimeoutMs,
  // Negative: not pages.
  cache_size: -kibibytes,
});

function layOut(path: string, name: string, shape: PartitionShape): void {
  const database = new DatabaseSync(path);
  try {
    const pageSize = shape.largeValues === true ? pageBytes.largeValues : pageBytes.usual;
    // First of all: a file that has a page keeps its size.
    configure(database, { page_size: pageSize, synchronous: 2 });
    const meta = 'CREATE TABLE "meta" ("name" TEXT PRIMARY KEY, "value" TEXT NOT NULL) STRICT';
    const tables = shape.tables.map(
      (table) =>
        `CREATE TABLE ${tableName(table)} ("key" BLOB PRIMARY KEY, "value" BLOB NOT NULL) STRICT, WITHOUT ROWID`,
    );
    const streams = shape.streams.map(
      (stream) =>
        `CREATE TABLE ${streamName(stream)} ("sequence" INTEGER PRIMARY KEY, "value" BLOB NOT NULL) STRICT`,
    );
    database.exec(
      `BEGIN; PRAGMA application_id=${applicationId}; PRAGMA user_version=${layoutVersion};` +
        [meta, ...tables, ...streams].map((statement) => `${statement};`).join(""),
    );
    const insert = database.prepare('INSERT INTO "meta" VALUES (?, ?)');
    insert.run("partition", name);
    insert.run("shape", shapeText(shape));
    database.exec("COMMIT");
  } finally {
    // Closing the last connection moves the write-ahead log into the file.
    database.close();
  }
}

function connect(path: string, name: string, mode: "rw" | "ro"): DatabaseSync {
  requireFile(path, name);
  const url = pathToFileURL(path);
  // Without a mode SQLite would make a file that has gone in the meantime.
  url.searchParams.set("mode", mode);
  return new DatabaseSync(url, {
    readOnly: mode === "ro",
    allowExtension: false,
    timeout: busyTimeoutMs,
  });
}

/** Sets what every connection needs, and reads it back: SQLite ignores a pragma it does not like. */
function configure(
  database: DatabaseSync,
  pragmas: { readonly [name: string]: number | string },
): void {
  const all = { ...pragmas, trusted_schema: 0, cell_size_check: 1, mmap_size: 0 };
  for (const [pragma, value] of Object.entries(all)) {
    database.exec(`PRAGMA ${pragma}=${value}`);
    const row = database.prepare(`PRAGMA ${pragma}`).get();
    const found = Object.values(row ?? {})[0];
    if (found !== value) throw new Error(`sqlite: ${pragma} is ${String(found)}, not ${value}`);
  }
  // Kept in the file; a connection that may not write cannot set it.
  if (!("query_only" in all)) database.exec("PRAGMA journal_mode=WAL");
  const journal = database.prepare("PRAGMA journal_mode").get()?.["journal_mode"];
  if (journal !== "wal") throw new Error(`sqlite: journal_mode is ${String(journal)}, not wal`);
}

function checkLayout(database: DatabaseSync, name: string): string {
  const id = database.prepare("PRAGMA application_id").get()?.["application_id"];
  const version = database.prepare("PRAGMA user_version").get()?.["user_version"];
  if (id !== applicationId)
    throw new Error(`partition "${name}": the file is not one of Chancery's`);
  if (version !== layoutVersion) {
    throw new Error(
      `partition "${name}" has layout ${String(version)}, this is for ${layoutVersion}`,
    );
  }
  const meta = database.prepare('SELECT "value" FROM "meta" WHERE "name" = ?');
  const partition = meta.get("partition")?.["value"];
  if (partition !== name) {
    throw new Error(`the file of partition "${name}" holds partition "${String(partition)}"`);
  }
  return String(meta.get("shape")?.["value"]);
}

function sync(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
