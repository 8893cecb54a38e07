/**
 * How partitions lie in a database: the schema `chancery` with one row a partition, and for each of its tables and streams a table of
 * its own, named by the partition's number because SQL's names are short.
 */
import type pg from "pg";
import { parseJson } from "../../core/formats/json.ts";
import { MissingPartition, type PartitionShape } from "../../core/storage.ts";
import { shapeText } from "./bounds.ts";
import { codeOf, rowsOf, textOf } from "./postgres-query.ts";

/** Raised by the fence, and by nothing else. */
export const fencedCode = "CH001";
const uniqueViolation = "23505";
const layoutVersion = 1;
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
}

const layout = `
CREATE SCHEMA IF NOT EXISTS chancery;
CREATE TABLE IF NOT EXISTS chancery.layout (version integer PRIMARY KEY);
CREATE TABLE IF NOT EXISTS chancery.partitions (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  shape text NOT NULL,
  generation bigint NOT NULL,
  -- Which group of commits was the last: it answers whether one whose connection broke took place.
  last_group bytea NOT NULL
);
CREATE OR REPLACE FUNCTION chancery.fence(partition integer, writer bigint, this_group bytea) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE chancery.partitions SET last_group = this_group WHERE id = partition AND generation = writer;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'another process has opened this partition since' USING ERRCODE = '${fencedCode}';
  END IF;
END $$;
INSERT INTO chancery.layout VALUES (${layoutVersion}) ON CONFLICT DO NOTHING;
`;

/** Makes the schema if it is not there. @throws if it is another release's. */
export async function layOutDatabase(client: pg.Client): Promise<void> {
  await client.query(`BEGIN; SELECT pg_advisory_xact_lock(${layoutLock}); ${layout} COMMIT`);
  const rows = await rowsOf(client, "SELECT version FROM chancery.layout");
  const versions = rows.map(([version]) => String(version));
  if (versions.length === 1 && versions[0] === String(layoutVersion)) return;
  throw new Error(
    `the database has storage layout ${versions.join(" and ")}, this is for ${layoutVersion}`,
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
  };
}
