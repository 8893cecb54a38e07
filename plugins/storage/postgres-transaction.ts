/**
 * One transaction behind the fence. What the commits expect is believed at first and held against the database inside the
 * transaction, so that it goes to the server in one write and its outcome comes back in one answer, however far away the server is.
 */
import type pg from "pg";
import { encodeHex } from "../../core/formats/encoding.ts";
import type { Commit } from "../../core/storage.ts";
import {
  cellName,
  demandStatements,
  expectedCells,
  type Plan,
  planGroup,
  readStatement,
  writeStatements,
} from "./postgres-group.ts";
import type { PartitionLayout } from "./postgres-layout.ts";
import { bytesOf, rowsOf, withoutWarnings } from "./postgres-query.ts";

/** What a transaction works with. */
export interface Transaction {
  readonly client: pg.Client;
  readonly layout: PartitionLayout;
  readonly generation: string;
  /** The name by which it is found again. */
  readonly group: Uint8Array;
  readonly lengths: ReadonlyMap<string, bigint>;
}

/** Begins it, and holds the commits against the rows that it reads. */
export async function beginReading(
  transaction: Transaction,
  commits: readonly Commit[],
): Promise<Plan> {
  const { client, layout, lengths } = transaction;
  const found = new Map<string, Uint8Array>();
  const begun = begin(transaction);
  const cells = Map.groupBy(expectedCells(commits), ({ table }) => table);
  const asked = [...cells].map(async ([table, ofTable]) => {
    const keys = ofTable.map(({ key }) => key);
    for (const [key, value] of await rowsOf(client, readStatement(layout, table, keys))) {
      found.set(cellName(table, bytesOf(key)), bytesOf(value));
    }
  });
  await settled([...begun, ...asked]);
  return planGroup(commits, found, lengths);
}

/** Makes the plan true, all or nothing; begins the transaction unless it has been begun. */
export async function commitPlan(
  transaction: Transaction,
  plan: Plan,
  isBegun: boolean,
): Promise<void> {
  const { client, layout } = transaction;
  await withoutWarnings(client, async () => {
    const begun = isBegun ? [] : begin(transaction);
    const statements = [
      ...demandStatements(layout, plan),
      ...writeStatements(layout, plan, transaction),
    ];
    const done = statements.map(async (statement) => await client.query(statement));
    const committed = client.query("COMMIT");
    await settled([...begun, ...done, committed]);
    const { command } = await committed;
    // The server answers the commit of a transaction that has failed with the name of what it did instead.
    if (command !== "COMMIT") throw new Error(`the server answered COMMIT with ${command}`);
  });
}

/** Both in one message: the server stops at the first that fails, and nothing that follows does anything without the mark. */
function begin({ client, layout, generation, group }: Transaction): readonly Promise<unknown>[] {
  const mark = `BEGIN; SET LOCAL chancery.commits = '${encodeHex(group)}'`;
  const enter = "SELECT chancery.enter($1, $2, $3)";
  const values = [layout.id, generation, group];
  return [client.query(mark), client.query({ name: "enter", text: enter, values })];
}

/** Waits for all of them, then throws what the first that failed threw: a later one only says that the transaction had failed. */
async function settled(all: readonly Promise<unknown>[]): Promise<void> {
  const outcomes = await Promise.allSettled(all);
  const failed = outcomes.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}
