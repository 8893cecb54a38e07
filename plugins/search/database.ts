/**
 * The index's file. It is derived from the logs: it is never fsynced for anybody's sake, and whoever finds it damaged throws it away.
 * After a power cut SQLite gives it back as it was some commits ago, and the entries since are read from the logs again.
 *
 *     logs      a log, by number: its name and key, how many of its entries are in the index, hash of the last
 *     terms     a text under a field, by number
 *     profiles  a set of terms, by number; every entry has one
 *     holders   (term, profile) for each term of each profile
 *     batches   (log, index of the first entry) → entries since the last full segment
 *     segments  log · 2^32 + number → 4,096 entries' times and profiles
 *     runs      sorted pairs (key, index) of a range of segments of a log: where each of its pages begins
 *     pages     run · 2^24 + number → a page
 */
import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** "CHNS", in the file header. */
const applicationId = 0x43484e53;
/** Another layout, or other rules of what entries are found by, need another number: the index is then made anew. */
const layoutVersion = 2;
/** Pages of 4 KiB kept in memory, enough for all inner ones; the rest lies in the kernel's cache. */
const cachePages = 1_000;

const layout = `
  CREATE TABLE logs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, logId BLOB NOT NULL, size INTEGER NOT NULL, lastHash BLOB NOT NULL) STRICT;
  CREATE TABLE terms (id INTEGER PRIMARY KEY, field INTEGER NOT NULL, value TEXT NOT NULL) STRICT;
  CREATE UNIQUE INDEX termsByValue ON terms (field, value);
  CREATE TABLE profiles (id INTEGER PRIMARY KEY, terms BLOB NOT NULL) STRICT;
  CREATE UNIQUE INDEX profilesByTerms ON profiles (terms);
  CREATE TABLE holders (term INTEGER NOT NULL, profile INTEGER NOT NULL, PRIMARY KEY (term, profile)) STRICT, WITHOUT ROWID;
  CREATE TABLE batches (log INTEGER NOT NULL, first INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (log, first)) STRICT, WITHOUT ROWID;
  CREATE TABLE segments (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
  CREATE TABLE runs (id INTEGER PRIMARY KEY, log INTEGER NOT NULL, first INTEGER NOT NULL, level INTEGER NOT NULL, isReady INTEGER NOT NULL, directory BLOB NOT NULL) STRICT;
  CREATE TABLE pages (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
`;

/** The index cannot be read: it is made anew. */
export class IndexDamaged extends Error {
  override readonly name = "IndexDamaged";
}

/**
 * Opens the file, or makes it.
 *
 * @throws {IndexDamaged} if it is there and is not an index of this layout; whatever SQLite throws for a disk that is full or broken.
 */
export function openIndex(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(path, { allowExtension: false, timeout: 1_000 });
  try {
    database.exec(
      `PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA trusted_schema=0; PRAGMA cell_size_check=1;
       PRAGMA cache_size=${cachePages}; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=16777216`,
    );
    const id = numberOf(database, "PRAGMA application_id");
    if (id === 0 && numberOf(database, "SELECT count(*) FROM sqlite_schema") === 0)
      layOut(database);
    else if (id !== applicationId || numberOf(database, "PRAGMA user_version") !== layoutVersion) {
      throw new IndexDamaged("the file is not an index of this release");
    }
    return database;
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

/**
 * Makes this process the only one that has the index, until the lock is closed or the process ends: an exclusive transaction, held open,
 * on a file of its own.
 *
 * @throws if another has it
 */
export function lockIndex(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(`${path}.lock`, { allowExtension: false, timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (cause) {
    lock.close();
    throw new Error("another process has the index open", { cause });
  }
}

/** Opens the file for a look at it beside whoever writes it. @throws {IndexDamaged} */
export function openIndexReadOnly(path: string): DatabaseSync {
  const database = new DatabaseSync(path, {
    readOnly: true,
    allowExtension: false,
    timeout: 5_000,
  });
  if (numberOf(database, "PRAGMA application_id") === applicationId) return database;
  database.close();
  throw new IndexDamaged("the file is not an index");
}

/** Throws the index away. */
export function removeIndex(path: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
}

/** Runs `work` in one transaction. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    database.exec("COMMIT");
    return result;
  } catch (thrown) {
    // SQLite has rolled back by itself after some errors, such as a full disk.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw thrown;
  }
}

/** The bytes in a column. */
export function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new IndexDamaged("a column that holds bytes holds something else");
}

/** True if what was thrown says that the file cannot be relied on, and not that the disk is full or busy. */
export function isDamage(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  if (thrown.name === "IndexDamaged" || thrown.name === "Malformed") return true;
  const code = "errcode" in thrown ? Number(thrown.errcode) & 0xff : 0;
  return code === sqliteCorrupt || code === sqliteNotADatabase || code === sqliteConstraint;
}

const sqliteCorrupt = 11;
const sqliteConstraint = 19;
const sqliteNotADatabase = 26;

function layOut(database: DatabaseSync): void {
  inTransaction(database, () => {
    database.exec(
      `PRAGMA application_id=${applicationId}; PRAGMA user_version=${layoutVersion};${layout}`,
    );
  });
}

function numberOf(database: DatabaseSync, sql: string): number {
  const row = database.prepare(sql).get();
  return Number(Object.values(row ?? {})[0] ?? 0);
}
