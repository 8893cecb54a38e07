/** What keeps writers of one partition apart: a lock that tells them of each other, and a generation that only one of them has. */
import type pg from "pg";
import { Superseded } from "../../core/storage.ts";
import type { PartitionLayout } from "./postgres-layout.ts";
import { rowsOf, textOf, withoutWarnings } from "./postgres-query.ts";

/** First half of the key of the session lock; the second is the partition's number. */
const lockClass = 0x43484e43;

/** A lease that is this process's own, by its term. */
export interface HeldLease {
  readonly name: string;
  readonly term: string;
}

/**
 * Ends the connection of whoever wrote before, if the lease is ours: paused in the middle of a transaction it would keep its locks for
 * as long as it likes. If it is alive, it finds with its next connection that it is fenced.
 */
export async function cutOff(
  client: pg.Client,
  { id }: PartitionLayout,
  lease: HeldLease,
): Promise<void> {
  await client.query(
    `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
     WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.classid = $1 AND l.objid = $2 AND l.granted
     AND EXISTS (SELECT FROM chancery.leases WHERE name = $3 AND term = $4)`,
    [lockClass, id, lease.name, lease.term],
  );
}

/**
 * A new generation of the partition; under a lease only while it is held, which nobody can take before this is done. On the standby it
 * is durable too: so is then whatever the writer before had committed, also if its wait for the standby was cut short.
 *
 * @throws {Superseded} if the lease is another's by now
 */
export async function nextGeneration(
  client: pg.Client,
  { id }: PartitionLayout,
  lease: HeldLease | null,
): Promise<string> {
  return await withoutWarnings(client, async () => {
    await client.query("BEGIN");
    if (lease !== null && !(await holds(client, lease))) {
      throw new Superseded("another process has taken over");
    }
    const generation = await textOf(
      client,
      "UPDATE chancery.partitions SET generation = generation + 1 WHERE id = $1 RETURNING generation",
      [id],
    );
    await client.query("COMMIT");
    return generation;
  });
}

/** Whether the lease is this process's; until the transaction ends nobody can take it. */
async function holds(client: pg.Client, { name, term }: HeldLease): Promise<boolean> {
  const sql = "SELECT FROM chancery.leases WHERE name = $1 AND term = $2 FOR SHARE";
  return (await rowsOf(client, sql, [name, term])).length > 0;
}

/** The session lock of a partition, which is courtesy: it tells who writes, and keeps nobody from it who has the lease. */
export async function takeLock(client: pg.Client, { id }: PartitionLayout): Promise<boolean> {
  return (await textOf(client, "SELECT pg_try_advisory_lock($1, $2)", [lockClass, id])) === "t";
}
