/** A group of commits as the statements of one transaction: every byte in one parameter, every position in lists of numbers. */
import type pg from "pg";
import type { Commit, Committed, Expectation } from "../../core/storage.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
import type { PartitionLayout } from "./postgres-layout.ts";

/** A row that an expectation or a write names, once a group. */
interface Cell {
  readonly table: string;
  readonly key: Uint8Array;
}

/** What became of one commit. */
export type Outcome = Committed | { readonly conflict: Expectation };

/** What a group changes, once its expectations have been held against what is there. */
export interface Plan {
  readonly outcomes: readonly Outcome[];
  /** The last value of every row that is written. */
  readonly writes: readonly (Cell & { readonly value: Uint8Array | null })[];
  readonly appends: ReadonlyMap<string, readonly Uint8Array[]>;
}

/** Every row that the group expects something of. */
export function expectedCells(commits: readonly Commit[]): readonly Cell[] {
  const cells = new Map<string, Cell>();
  for (const { expect = [] } of commits) {
    for (const { table, key } of expect) cells.set(cellName(table, key), { table, key });
  }
  return [...cells.values()];
}

/**
 * Holds the commits against what is there, one after the other: each sees what those before it wrote, and one whose expectation fails
 * is as if it had not been called.
 */
export function planGroup(
  commits: readonly Commit[],
  found: ReadonlyMap<string, Uint8Array>,
  lengths: ReadonlyMap<string, bigint>,
): Plan {
  const written = new Map<string, Plan["writes"][number]>();
  const appends = new Map<string, Uint8Array[]>();
  const outcomes = commits.map((commit): Outcome => {
    const conflict = commit.expect?.find(({ table, key, value }) => {
      const name = cellName(table, key);
      const own = written.get(name);
      return !isSame(own ? own.value : (found.get(name) ?? null), value);
    });
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
  return { outcomes, writes: [...written.values()], appends };
}

/** The name of a row across tables. */
export function cellName(table: string, key: Uint8Array): string {
  return `${table} ${Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1")}`;
}

/** The statements that read the rows of `cells`; each answers key and value. */
export function readStatements(
  layout: PartitionLayout,
  cells: readonly Cell[],
): readonly (pg.QueryConfig & { readonly table: string })[] {
  return [...Map.groupBy(cells, ({ table }) => table)].map(([table, ofTable]) => {
    const { blob, lists } = pack(ofTable.map(({ key }) => [key]));
    const text = `SELECT t.key, t.value FROM unnest($2::int[], $3::int[]) AS k(o, l) JOIN ${layout.table(table)} t ON t.key = substr($1::bytea, k.o, k.l)`;
    return { table, text, values: [blob, ...lists] };
  });
}

/** The statements that make a plan true. */
export function writeStatements(
  layout: PartitionLayout,
  { writes, appends }: Plan,
  lengths: ReadonlyMap<string, bigint>,
): readonly pg.QueryConfig[] {
  const statements: pg.QueryConfig[] = [];
  for (const [table, rows] of Map.groupBy(writes, (write) => write.table)) {
    const set = rows.flatMap(({ key, value }) => (value === null ? [] : [[key, value]]));
    const gone = rows.flatMap(({ key, value }) => (value === null ? [[key]] : []));
    if (set.length > 0) statements.push(upsert(layout.table(table), set));
    if (gone.length > 0) statements.push(remove(layout.table(table), gone));
  }
  for (const [stream, values] of appends) {
    const { blob, lists } = pack(values.map((value) => [value]));
    const text = `INSERT INTO ${layout.stream(stream)} SELECT $4::bigint + s.n, substr($1::bytea, s.o, s.l) FROM unnest($2::int[], $3::int[]) WITH ORDINALITY AS s(o, l, n)`;
    statements.push({ text, values: [blob, ...lists, lengths.get(stream) ?? 0n] });
  }
  return statements;
}

function upsert(table: string, rows: readonly (readonly Uint8Array[])[]): pg.QueryConfig {
  const { blob, lists } = pack(rows);
  const text = `INSERT INTO ${table} SELECT substr($1::bytea, s.ko, s.kl), substr($1, s.vo, s.vl) FROM unnest($2::int[], $3::int[], $4::int[], $5::int[]) AS s(ko, kl, vo, vl) ON CONFLICT (key) DO UPDATE SET value = excluded.value`;
  return { text, values: [blob, ...lists] };
}

function remove(table: string, rows: readonly (readonly Uint8Array[])[]): pg.QueryConfig {
  const { blob, lists } = pack(rows);
  const text = `DELETE FROM ${table} t USING unnest($2::int[], $3::int[]) AS k(o, l) WHERE t.key = substr($1::bytea, k.o, k.l)`;
  return { text, values: [blob, ...lists] };
}

/** All parts in one buffer; for each column a list of where its parts begin, counted from 1 as SQL does, and one of their lengths. */
function pack(rows: readonly (readonly Uint8Array[])[]): {
  readonly blob: Buffer;
  readonly lists: readonly number[][];
} {
  const lists: number[][] = [];
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const row of rows) {
    for (const [column, part] of row.entries()) {
      (lists[column * 2] ??= []).push(end + 1);
      (lists[column * 2 + 1] ??= []).push(part.length);
      parts.push(part);
      end += part.length;
    }
  }
  return { blob: Buffer.concat(parts), lists };
}

function isSame(found: Uint8Array | null, expected: Uint8Array | null): boolean {
  if (found === null || expected === null) return found === expected;
  return equalBytes(found, expected);
}
