/**
 * How partitions lie in a database: the schema `chancery` with one row a partition, and for each of its tables and streams a table of
 * its own, named by the partition's number because SQL's names are short.
 */
import type pg from "pg";
import { parseJson } from "../../core/formats/json.ts";
import { MissingPartition, type PartitionShape, UnsafeStorage } from "../../core/storage.ts";
import { shapeText } from "./bounds.ts";
import { codeOf, rowsOf, textOf } from "./postgres-query.ts";

/** Raised by the fence, and by nothing else. */
export const fencedCode = "CH001";
/** Raised if a row is not what a transaction began with, and by nothing else. */
export const surprisedCode = "CH002";
const uniqueViolation = "23505";
/** Two starts may lay out one database at once; this number says which of their locks is meant. */
const layoutLock = 0x43484e43;

/** Where a partition is. */
export interface PartitionLayout {
  readonly id: number;
  readonly shape: PartitionShape;
  /** The SQL name of a table of the contract. */
  readonly table: (name: string) => string;
  /** The SQL name of a stream of the contract. */
  readonly stream: (name: string) => string;
  /** The name of a prepared statement that does this to a table or stream; what is done is a word of at most 10 letters. */
  readonly statement: (does: string, name: string) => string;
}

/** What each version added to the one before it. What has been released is never changed, only added to. */
const migrations: readonly string[] = [
  `
CREATE TABLE chancery.partitions (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  shape text NOT NULL,
  generation bigint NOT NULL,
  -- Which group of commits was the last: it answers whether one whose connection broke took place.
  last_group bytea NOT NULL
);
CREATE FUNCTION chancery.fence(partition integer, writer bigint, this_group bytea) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE chancery.partitions SET last_group = this_group WHERE id = partition AND generation = writer;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'another process has opened this partition since' USING ERRCODE = '${fencedCode}';
  END IF;
END $$;
`,
  `
CREATE TABLE chancery.leases (
  name text PRIMARY KEY,
  -- Grows when the lease changes hands.
  term bigint NOT NULL,
  -- Which connection of the server's the holder has; empty if it gave the lease back.
  session text NOT NULL,
  -- Grows while the holder is alive.
  beat bigint NOT NULL
);
`,
  `
-- The statements of a transaction are sent without waiting for one another. Were its BEGIN refused, each would be a transaction of its
-- own: so each demands the mark that was set with BEGIN, which ends with the transaction.
CREATE FUNCTION chancery.within(this_group bytea) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF current_setting('chancery.commits', true) IS DISTINCT FROM encode(this_group, 'hex') THEN
    RAISE EXCEPTION 'the transaction has not begun';
  END IF;
  RETURN true;
END $$;
CREATE FUNCTION chancery.enter(partition integer, writer bigint, this_group bytea) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM chancery.within(this_group);
  PERFORM chancery.fence(partition, writer, this_group);
END $$;
CREATE FUNCTION chancery.demand(holds boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT holds THEN
    RAISE EXCEPTION 'a row is not what the commit expected' USING ERRCODE = '${surprisedCode}';
  END IF;
END $$;
`,
];
/** The version that this release works with. */
export const layoutVersion = migrations.length;

/**
 * Makes the schema if it is not there, and brings that of an older release up to this one's: all or nothing, and beside processes of
 * the older release, because a version only adds to the one before it.
 *
 * @throws {UnsafeStorage} if it is a newer release's.
 */
export async function layOutDatabase(client: pg.Client): Promise<void> {
  await client.query("BEGIN");
  try {
    await client.query("SELECT pg_advisory_xact_lock($1)", [layoutLock]);
    await client.query(
      "CREATE SCHEMA IF NOT EXISTS chancery; CREATE TABLE IF NOT EXISTS chancery.layout (version integer PRIMARY KEY)",
    );
    const version = await versionOf(client);
    for (const migration of migrations.slice(version)) await client.query(migration);
    if (version < layoutVersion) {
      await client.query("DELETE FROM chancery.layout");
      await client.query("INSERT INTO chancery.layout VALUES ($1)", [layoutVersion]);
    }
    await client.query("COMMIT");
  } catch (thrown) {
    await client.query("ROLLBACK").catch(() => undefined);
    throw thrown;
  }
}

/** Brings a database of an older release up to this one's, if it is one. */
export async function bringUpToDate(client: pg.Client): Promise<void> {
  if ((await versionOf(client)) < layoutVersion) await layOutDatabase(client);
}

/** The version of the database's layout; 0 if it has none. @throws {UnsafeStorage} if this release does not know it */
async function versionOf(client: pg.Client): Promise<number> {
  const rows = await rowsOf(client, "SELECT version FROM chancery.layout");
  const versions = rows.map(([version]) => Number(version));
  const [version = 0, ...more] = versions;
  if (more.length === 0 && version <= layoutVersion) return version;
  throw new UnsafeStorage(
    `the database has storage layout ${versions.join(" and ")}, this release knows none beyond ${layoutVersion}: use the release that made it, or a later one`,
  );
}

/** Makes an empty partition, all or nothing. @throws if it exists. */
export async function createPartition(
  client: pg.Client,
  name: string,
  shape: PartitionShape,
): Promise<void> {
  await client.query("BEGIN");
  try {
    const id = await textOf(
      client,
      "INSERT INTO chancery.partitions (name, shape, generation, last_group) VALUES ($1, $2, 0, '') RETURNING id",
      [name, shapeText(shape)],
    );
    const made = layoutOf(Number(id), shape);
    for (const table of shape.tables) {
      await createTable(client, made.table(table), "key bytea PRIMARY KEY");
    }
    for (const stream of shape.streams) {
      await createTable(client, made.stream(stream), "sequence bigint PRIMARY KEY");
    }
    await client.query("COMMIT");
  } catch (thrown) {
    await client.query("ROLLBACK").catch(() => undefined);
    if (codeOf(thrown) !== uniqueViolation) throw thrown;
    throw new Error(`partition "${name}" exists already`, { cause: thrown });
  }
}

/** Values stay in the row, as they are: most are hashes and signatures, which do not compress. */
async function createTable(client: pg.Client, name: string, key: string): Promise<void> {
  await client.query(
    `CREATE TABLE ${name} (${key}, value bytea NOT NULL) WITH (toast_tuple_target = 8160); ALTER TABLE ${name} ALTER COLUMN value SET STORAGE MAIN`,
  );
}

/** Where the partition is. @throws {MissingPartition} */
export async function requirePartition(client: pg.Client, name: string): Promise<PartitionLayout> {
  const found = await findPartition(client, name);
  if (found !== null) return found;
  throw new MissingPartition(
    `partition "${name}" is missing in the database; restore it, it is never made anew by itself`,
  );
}

async function findPartition(client: pg.Client, name: string): Promise<PartitionLayout | null> {
  const schema = await textOf(client, "SELECT to_regclass('chancery.partitions') IS NULL");
  if (schema === "t") return null;
  await versionOf(client);
  const found = "SELECT id, shape FROM chancery.partitions WHERE name = $1";
  const [row] = await rowsOf(client, found, [name]);
  if (row === undefined) return null;
  const { tables, streams } = parseJson(String(row[1])) as unknown as PartitionShape; // written by createPartition
  return layoutOf(Number(row[0]), { tables, streams });
}

function layoutOf(id: number, shape: PartitionShape): PartitionLayout {
  // The names of a shape are letters and digits (bounds.ts), so quoting is all that is needed.
  return {
    id,
    shape,
    table: (name) => `chancery."t${id}_${name}"`,
    stream: (name) => `chancery."s${id}_${name}"`,
    statement: (does, name) => `${does}_${id}_${name}`,
  };
}
