/**
 * The vault's own state: guard and ledger in one SQLite file, so that one fdatasync covers both. Genesis creates it and nothing
 * else does: a vault whose state is missing would sign a fork. One process holds it, by an open exclusive transaction on a lock file
 * beside it, which leaves the state itself readable for `fsck`.
 *
 * SQLite syncs everything but commits (synchronous = NORMAL): the write-ahead log's header when the log begins anew, the log before a
 * checkpoint and the file after it. What FULL would do beyond that is one fdatasync of the log inside each COMMIT; here `sync` does it
 * on another thread, after the commit and before anything that the commit announces.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { VaultRefused } from "./errors.ts";
import { syncFile } from "./syncing.ts";

/** Where the parts of a vault's state are. */
function statePaths(directory: string): { readonly state: string; readonly lock: string } {
  return { state: join(directory, "vault.db"), lock: join(directory, "vault.lock") };
}

/** The version of the schema below. */
const schemaVersion = "1";

const schema = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE ledger (sequence INTEGER PRIMARY KEY, body TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
  CREATE TABLE unfinished (sequence INTEGER PRIMARY KEY) STRICT;
  CREATE TABLE heads (key TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL,
    timestampMs INTEGER NOT NULL, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE roles (key TEXT NOT NULL, type TEXT NOT NULL, version INTEGER NOT NULL, hash BLOB NOT NULL,
    sequence INTEGER NOT NULL, PRIMARY KEY (key, type)) STRICT, WITHOUT ROWID;
  CREATE TABLE stamps (key TEXT PRIMARY KEY, genTimeMs INTEGER NOT NULL, serial BLOB NOT NULL,
    sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE certificates (core BLOB PRIMARY KEY, key TEXT NOT NULL, serial BLOB NOT NULL, verdict BLOB NOT NULL UNIQUE,
    intendedAtMs INTEGER NOT NULL, precertificate INTEGER NOT NULL, signed INTEGER NOT NULL, final INTEGER,
    UNIQUE (key, serial)) STRICT;
  CREATE INDEX certificatesByIntent ON certificates (precertificate);
`;

/** What an operator's operation on a key needs to be taken up again; homes of older releases lack it until the vault starts. */
const additions = `
  CREATE TABLE IF NOT EXISTS announced (key TEXT PRIMARY KEY, id BLOB NOT NULL, hash TEXT NOT NULL) STRICT, WITHOUT ROWID;
`;

/** Makes the state of a new vault. Only genesis does this. @throws {VaultRefused} if there is one */
export function createState(directory: string, serial: string): void {
  const { state } = statePaths(directory);
  if (existsSync(state)) {
    throw new VaultRefused(`${state} exists already; a vault's state is never made twice`);
  }
  using database = new DatabaseSync(state);
  applyPragmas(database, state, "FULL");
  database.exec("BEGIN IMMEDIATE");
  database.exec(schema);
  const insert = database.prepare("INSERT INTO meta (name, value) VALUES (?, ?)");
  insert.run("schema", schemaVersion);
  insert.run("tokenSerial", serial);
  database.exec("COMMIT");
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

/** The state, held by this process alone. */
export interface HeldState extends Disposable {
  readonly database: DatabaseSync;
  /** Resolves when all that was committed before is durable. Once it has rejected, it always does. */
  readonly sync: () => Promise<void>;
}

/** Opens the state of the token with this serial number. @throws {VaultRefused} if it is missing, another's, or held already */
export function holdState(directory: string, serial: string): HeldState {
  const { state, lock } = statePaths(directory);
  requireState(state);
  const locked = takeLock(lock);
  try {
    const database = new DatabaseSync(state);
    applyPragmas(database, state, "NORMAL");
    const meta = new Map(
      database
        .prepare("SELECT name, value FROM meta")
        .all()
        .map((row) => [String(row["name"]), String(row["value"])]),
    );
    if (meta.get("schema") !== schemaVersion) {
      throw new VaultRefused(`${state} has another layout than this version reads`);
    }
    if (meta.get("tokenSerial") !== serial) {
      throw new VaultRefused(
        `${state} belongs to the token with serial number ${meta.get("tokenSerial")}, not to ${serial}`,
      );
    }
    database.exec(additions);
    // SQLite has opened its log and keeps it, the same file for as long as the database is open.
    const log = syncFile(`${state}-wal`);
    return {
      database,
      sync: log.sync,
      [Symbol.dispose]: () => {
        database.close();
        log[Symbol.dispose]();
        locked.close();
      },
    };
  } catch (error) {
    locked.close();
    throw error;
  }
}

/** Opens the state for reading, beside the vault that holds it. @throws {VaultRefused} if it is missing */
export function readState(directory: string): DatabaseSync {
  const { state } = statePaths(directory);
  requireState(state);
  return new DatabaseSync(state, { readOnly: true, timeout: 5_000 });
}

function requireState(state: string): void {
  if (existsSync(state)) return;
  throw new VaultRefused(
    `${state} is missing; without it the vault does not know what it signed and could sign a fork, so it does not start: ` +
      "restore the file from where it was moved to",
  );
}

function takeLock(path: string): DatabaseSync {
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch {
    lock.close();
    throw new VaultRefused(
      `another vault holds ${path}; exactly one vault may serve a token, so stop the other one first`,
    );
  }
}

/** As SQLite numbers them. */
const synchronisations = { NORMAL: 1, FULL: 2 } as const;

function applyPragmas(
  database: DatabaseSync,
  path: string,
  wanted: keyof typeof synchronisations,
): void {
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(`PRAGMA synchronous = ${wanted}`);
  const mode = database.prepare("PRAGMA journal_mode").get();
  const synchronous = database.prepare("PRAGMA synchronous").get();
  const isTaken = synchronous?.["synchronous"] === synchronisations[wanted];
  if (mode?.["journal_mode"] !== "wal" || !isTaken) {
    throw new VaultRefused(
      `${path} cannot be kept durably: SQLite did not take WAL with ${wanted} synchronisation`,
    );
  }
}
