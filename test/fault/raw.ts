/** What lies in a home's SQLite files, or in PostgreSQL, read without the product's code and without writing. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** A row of the vault's ledger. */
export interface LedgerRow {
  readonly sequence: number;
  readonly type: "start" | "intent" | "outcomes" | "refusal";
  readonly key?: string;
  readonly purpose?: string;
  readonly count?: number;
  readonly retryOf?: number;
  readonly binding?: {
    readonly kind: string;
    readonly size?: string;
    readonly root?: string;
    readonly serial?: string;
    readonly genTimeMs?: string;
  };
  readonly results?: readonly {
    readonly of: number;
    readonly status: "ok" | "failed" | "bad" | "unknown-signed";
    readonly made: number;
  }[];
}

/** An entry, and when it came. */
export interface RawEntry {
  readonly atMs: bigint;
  readonly entry: Uint8Array;
}

/** A log's rows. */
export interface RawLog {
  readonly entries: readonly RawEntry[];
  /** False if the indices are not 0, 1, 2, … */
  readonly contiguous: boolean;
  readonly heads: readonly {
    readonly size: number;
    readonly root: string;
    readonly timestampMs: bigint | null;
  }[];
}

/** The vault's rows. */
export interface RawVault {
  readonly rows: readonly LedgerRow[];
  /** Sequence numbers that do not follow from the row before. */
  readonly breaks: readonly number[];
  readonly heads: readonly { readonly key: string; readonly size: number; readonly root: string }[];
}

/** The issuer's rows by serial, in hex. */
export interface RawIssuer {
  readonly intents: ReadonlySet<string>;
  readonly open: ReadonlySet<string>;
  readonly outcomes: ReadonlyMap<
    string,
    { readonly outcome: string; readonly certificateSha256?: string; readonly reason?: string }
  >;
}

/** A row as it is stored. */
interface RawRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Where the services keep what they have. */
export interface RawStore {
  /** Every row of a table, in the order of their keys. */
  rows(partition: string, table: string): readonly RawRow[];
  /** How many facts a partition has, and the sequence number of the last. */
  facts(partition: string): { readonly count: number; readonly last: number };
}

/** The files in `<home>/data`. */
export function filesOf(home: string): RawStore {
  const opened = (partition: string) => open(join(home, "data", `${partition}.db`));
  return {
    rows(partition, table) {
      using database = opened(partition);
      return rowsOf(database, `table_${table}`);
    },
    facts(partition) {
      using database = opened(partition);
      const row = database
        .prepare('SELECT count(*) AS n, coalesce(max("sequence"), 0) AS last FROM "stream_facts"')
        .get();
      return { count: Number(row?.["n"]), last: Number(row?.["last"]) };
    },
  };
}

/** A database; `ask` runs one statement and gives its rows, a line each, with "|" between columns. */
export function databaseOf(ask: (sql: string) => string): RawStore {
  const lines = (sql: string): string[][] =>
    ask(sql)
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split("|"));
  const idOf = (partition: string): string => {
    const [[id] = []] = lines(`SELECT id FROM chancery.partitions WHERE name = '${partition}'`);
    if (id === undefined) throw new Error(`${partition} is missing in the database`);
    return id;
  };
  return {
    rows(partition, table) {
      const name = `chancery."t${idOf(partition)}_${table}"`;
      const sql = `SELECT encode(key, 'hex'), encode(value, 'hex') FROM ${name} ORDER BY key`;
      return lines(sql).map(([key = "", value = ""]) => ({
        key: Uint8Array.fromHex(key),
        value: Uint8Array.fromHex(value),
      }));
    },
    facts(partition) {
      const name = `chancery."s${idOf(partition)}_facts"`;
      const [row = []] = lines(`SELECT count(*), coalesce(max(sequence), 0) FROM ${name}`);
      return { count: Number(row[0]), last: Number(row[1]) };
    },
  };
}

/** Reads a log. */
export function readLog(store: RawStore, name: string): RawLog {
  let contiguous = true;
  const entries: RawEntry[] = [];
  for (const { key, value } of store.rows(`log-${name}`, "entries")) {
    contiguous &&= Number(view(key).getBigUint64(0)) === entries.length;
    entries.push(...entriesOf(value));
  }
  const heads = store.rows(`log-${name}`, "heads").map(({ key, value }) => ({
    size: Number(view(key).getBigUint64(0)),
    root: value.subarray(1, 33).toHex(),
    timestampMs: value[0] === 1 ? view(value).getBigUint64(33) : null,
  }));
  return { entries, contiguous, heads };
}

/**
 * The entries of a row, which is a byte 1, the time of the first, and for each of them three numbers in base 128 (milliseconds since the
 * one before, the length of the entry, and of what lies beside it), the entry, and what lies beside it.
 */
export function entriesOf(row: Uint8Array): readonly RawEntry[] {
  if (row[0] !== 1) throw new Error("entries: not of this layout");
  let at = 9;
  const number = (): number => {
    for (let result = 0, factor = 1; ; factor *= 128) {
      const byte = row[at++];
      if (byte === undefined) throw new Error("entries: cut short");
      result += (byte % 128) * factor;
      if (byte < 128) return result;
    }
  };
  const entries: RawEntry[] = [];
  for (let atMs = Number(view(row).getBigUint64(1)); at < row.length;) {
    atMs += number();
    const [length, beside] = [number(), number()];
    entries.push({ atMs: BigInt(atMs), entry: row.subarray(at, at + length) });
    at += length + beside;
    if (at > row.length) throw new Error("entries: cut short");
  }
  return entries;
}

/** Reads `<home>/vault/vault.db`. */
export function readVault(home: string): RawVault {
  return readVaultFile(join(home, "vault", "vault.db"));
}

/** Reads a vault's state. */
export function readVaultFile(path: string): RawVault {
  using database = open(path);
  database.exec("BEGIN");
  const rows: LedgerRow[] = [];
  const breaks: number[] = [];
  let previous: Uint8Array = new Uint8Array(32);
  const statement = database.prepare("SELECT sequence, body, hash FROM ledger ORDER BY sequence");
  for (const row of statement.iterate()) {
    const sequence = Number(row["sequence"]);
    const body = String(row["body"]);
    const number = new Uint8Array(8);
    view(number).setBigUint64(0, BigInt(sequence));
    const hash = createHash("sha256").update(previous).update(number).update(body).digest();
    const stored = row["hash"] as Uint8Array;
    if (sequence !== rows.length + 1 || Buffer.compare(hash, stored) !== 0) breaks.push(sequence);
    previous = stored;
    rows.push({ sequence, ...(JSON.parse(body) as Omit<LedgerRow, "sequence">) });
  }
  const heads = database
    .prepare("SELECT key, size, root FROM heads")
    .all()
    .map((row) => ({
      key: String(row["key"]),
      size: Number(row["size"]),
      root: (row["root"] as Uint8Array).toHex(),
    }));
  return { rows, breaks, heads };
}

/** Reads what the issuer keeps. */
export function readIssuer(store: RawStore): RawIssuer {
  const keys = (table: string) =>
    new Set(store.rows("issuer", table).map(({ key }) => key.toHex()));
  const outcomes = new Map(
    store
      .rows("issuer", "outcomes")
      .map(({ key, value }) => [
        key.toHex(),
        JSON.parse(new TextDecoder().decode(value)) as { outcome: string },
      ]),
  );
  return { intents: keys("intents"), open: keys("open"), outcomes };
}

/** How many sequence numbers are missing from a partition's stream of facts. */
export function missingFacts(store: RawStore, partition: string): number {
  const { count, last } = store.facts(partition);
  return last - count;
}

/** Signatures that the token has made, by key label, since the counter began. */
export function readTally(folder: string): ReadonlyMap<string, number> {
  const tally = new Map<string, number>();
  for (const label of readFileSync(join(folder, "tally"), "utf8").split("\n").filter(Boolean)) {
    tally.set(label, (tally.get(label) ?? 0) + 1);
  }
  return tally;
}

function open(path: string): DatabaseSync {
  if (!existsSync(path)) throw new Error(`${path} is missing`);
  return new DatabaseSync(path, { readOnly: true, timeout: 5_000 });
}

function rowsOf(database: DatabaseSync, table: string): readonly RawRow[] {
  return database
    .prepare(`SELECT "key", "value" FROM "${table}" ORDER BY "key"`)
    .all()
    .map((row) => ({ key: row["key"] as Uint8Array, value: row["value"] as Uint8Array }));
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
