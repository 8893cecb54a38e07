/** A group of commits as the statements of one transaction. */
import type pg from "pg";
import type { Commit, Committed, Expectation, Write } from "../../core/storage.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
import { byteArray } from "./postgres-bytes.ts";
import type { PartitionLayout } from "./postgres-layout.ts";

/** What became of one commit. */
export type Outcome = Committed | { readonly conflict: Expectation };

/** What a group changes, and what must be there for it. */
export interface Plan {
  readonly outcomes: readonly Outcome[];
  /** Rows as they must be before: what the plan was made by without having been read. */
  readonly assumed: readonly Expectation[];
  /** The last value of every row that is written. */
  readonly writes: readonly Write[];
  readonly appends: ReadonlyMap<string, readonly Uint8Array[]>;
}

/** Rows that have been read; those that are not among them are not there. */
export type Found = ReadonlyMap<string, Uint8Array>;

/** Every row that the group expects something of. */
export function expectedCells(commits: readonly Commit[]): readonly Expectation[] {
  const cells = new Map<string, Expectation>();
  for (const { expect = [] } of commits) {
    for (const cell of expect) cells.set(cellName(cell.table, cell.key), cell);
  }
  return [...cells.values()];
}

/**
 * Holds the commits against what is there, one after the other: each sees what those before it wrote, and one whose expectation fails
 * is as if it had not been called. With `found` null nothing has been read: of each row the first that expects something of it is
 * believed, and the transaction must hold those rows against the database before anything of the plan is true.
 */
export function planGroup(
  commits: readonly Commit[],
  found: Found | null,
  lengths: ReadonlyMap<string, bigint>,
): Plan {
  const written = new Map<string, Write>();
  const assumed = new Map<string, Expectation>();
  const appends = new Map<string, Uint8Array[]>();
  const before = (cell: Expectation): Uint8Array | null => {
    const name = cellName(cell.table, cell.key);
    const own = written.get(name);
    if (own !== undefined) return own.value;
    if (found !== null) return found.get(name) ?? null;
    const first = assumed.get(name) ?? cell;
    assumed.set(name, first);
    return first.value;
  };
  const outcomes = commits.map((commit): Outcome => {
    const conflict = commit.expect?.find((cell) => !isSame(before(cell), cell.value));
    if (conflict) return { conflict };
    for (const write of commit.writes ?? []) written.set(cellName(write.table, write.key), write);
    const sequences = (commit.appends ?? []).map(({ stream, value }) => {
      const values = appends.get(stream) ?? [];
      values.push(value);
      appends.set(stream, values);
      return (lengths.get(stream) ?? 0n) + BigInt(values.length);
    });
    return { sequences };
  });
  return { outcomes, assumed: [...assumed.values()], writes: [...written.values()], appends };
}

/** The name of a row across tables. */
export function cellName(table: string, key: Uint8Array): string {
  return `${table} ${Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1")}`;
}

/** A statement that the server keeps in its parsed form. */
export interface Statement extends pg.QueryConfig {
  readonly name: string;
}

/** The statement that finds the rows of a table with these keys; it answers key and value of each that is there. */
export function readStatement(
  layout: PartitionLayout,
  table: string,
  keys: readonly Uint8Array[],
): Statement {
  const text = `SELECT key, value FROM ${layout.table(table)} WHERE key = ANY($1::bytea[])`;
  return { name: layout.statement("find", table), text, values: [byteArray(keys)] };
}

/** The statements that end the transaction unless every row is as it was assumed to be. */
export function demandStatements(layout: PartitionLayout, { assumed }: Plan): readonly Statement[] {
  return [...Map.groupBy(assumed, ({ table }) => table)].map(([table, cells]) => ({
    name: layout.statement("demand", table),
    text: `SELECT chancery.demand(NOT EXISTS (
      SELECT FROM unnest($1::bytea[], $2::bytea[]) AS c(key, value) LEFT JOIN ${layout.table(table)} t ON t.key = c.key
      WHERE t.value IS DISTINCT FROM c.value))`,
    values: columns(cells),
  }));
}

/** The statements that make a plan true, inside the transaction that was begun with the name `group` and nowhere else. */
export function writeStatements(
  layout: PartitionLayout,
  { writes, appends }: Plan,
  { group, lengths }: { readonly group: Uint8Array; readonly lengths: ReadonlyMap<string, bigint> },
): readonly Statement[] {
  const statements: Statement[] = [];
  for (const [table, rows] of Map.groupBy(writes, (write) => write.table)) {
    const { set = [], gone = [] } = Object.groupBy(rows, ({ value }) =>
      value === null ? "gone" : "set",
    );
    if (set.length > 0) statements.push(upsert(layout, table, { rows: set, group }));
    if (gone.length > 0) statements.push(remove(layout, table, { rows: gone, group }));
  }
  for (const [stream, values] of appends) {
    const text = `INSERT INTO ${layout.stream(stream)} SELECT $1::bigint + v.n, v.value FROM unnest($2::bytea[]) WITH ORDINALITY AS v(value, n) WHERE chancery.within($3)`;
    const name = layout.statement("append", stream);
    statements.push({ name, text, values: [lengths.get(stream) ?? 0n, byteArray(values), group] });
  }
  return statements;
}

interface Change {
  readonly rows: readonly Write[];
  readonly group: Uint8Array;
}

function upsert(layout: PartitionLayout, table: string, { rows, group }: Change): Statement {
  const text = `INSERT INTO ${layout.table(table)} SELECT r.key, r.value FROM unnest($1::bytea[], $2::bytea[]) AS r(key, value) WHERE chancery.within($3) ON CONFLICT (key) DO UPDATE SET value = excluded.value`;
  return { name: layout.statement("set", table), text, values: [...columns(rows), group] };
}

function remove(layout: PartitionLayout, table: string, { rows, group }: Change): Statement {
  const text = `DELETE FROM ${layout.table(table)} WHERE key = ANY($1::bytea[]) AND chancery.within($2)`;
  const keys = byteArray(rows.map(({ key }) => key));
  return { name: layout.statement("remove", table), text, values: [keys, group] };
}

/** Keys and values of rows. */
function columns(rows: readonly (Write | Expectation)[]): Uint8Array[] {
  return [byteArray(rows.map(({ key }) => key)), byteArray(rows.map(({ value }) => value))];
}

function isSame(found: Uint8Array | null, expected: Uint8Array | null): boolean {
  if (found === null || expected === null) return found === expected;
  return equalBytes(found, expected);
}
