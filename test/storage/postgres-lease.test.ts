/** Turns of several processes on one database, what keeps the one before from writing, and databases of other releases. */
import pg from "pg";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { encodeUtf8, uintBytes } from "../../core/formats/encoding.ts";
import { type Lease, type StorageDriver, Superseded, UnsafeStorage } from "../../core/storage.ts";
import { LeaseWatch, sessionGoneMs, silentMs } from "../../plugins/storage/lease-watch.ts";
import { layoutVersion } from "../../plugins/storage/postgres-layout.ts";
import { postgresDriver } from "../../plugins/storage/postgres.ts";
import type { PostgresOptions } from "../../plugins/storage/postgres-server.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { shape } from "./contract-shape.ts";

let server: TestPostgres;
let databases = 0;

beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(async () => await server?.[Symbol.asyncDispose]());

function fresh(): PostgresOptions {
  const database = `leased${++databases}`;
  server.sql(`CREATE DATABASE ${database}`);
  return { servers: [{ host: server.host, port: server.port }], database, user: "postgres" };
}

/** One process: a driver that has joined the lease. */
interface Member extends AsyncDisposable {
  readonly driver: StorageDriver;
  readonly lease: Lease;
}

async function member(options: PostgresOptions): Promise<Member> {
  const driver = postgresDriver(options);
  const lease = await driver.lease?.("services");
  if (lease === undefined) throw new Error("the driver has no leases");
  return {
    driver,
    lease,
    async [Symbol.asyncDispose]() {
      await lease[Symbol.asyncDispose]();
      await driver[Symbol.asyncDispose]();
    },
  };
}

/** A database with an empty partition. */
async function made(): Promise<PostgresOptions> {
  const options = fresh();
  await using driver = postgresDriver(options);
  await driver.create("room", shape);
  return options;
}

const ever = new AbortController().signal;
const row = (n: number) => ({
  writes: [{ table: "alpha", key: encodeUtf8("n"), value: uintBytes(n, 8) }],
});

test("of many that wait, each has its turn alone, and nobody opens a partition without it", async () => {
  const options = await made();
  const members = await Promise.all(Array.from({ length: 4 }, async () => await member(options)));
  let busy = 0;
  const turns = members.map(async (one) => {
    if (!(await one.lease.taken(ever))) throw new Error("the turn never came");
    expect(++busy).toBe(1);
    const waiting = members.filter((other) => other !== one);
    const before = await Promise.allSettled(
      waiting.map(async ({ driver }) => await (await driver.open("room", shape)).commit(row(0))),
    );
    // Those that had their turn have closed their drivers by now; nobody gets to write.
    expect(before.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    const partition = await one.driver.open("room", shape);
    await partition.commit(row(1));
    await partition[Symbol.asyncDispose]();
    busy--;
    await one[Symbol.asyncDispose]();
  });
  await Promise.all(turns);
  expect(server.sql("SELECT term FROM chancery.leases", options.database)).toBe("4");
}, 30_000);

test("who stops waiting is told so", async () => {
  const options = await made();
  await using holder = await member(options);
  await using waiting = await member(options);
  expect(await holder.lease.taken(ever)).toBe(true);
  const stop = new AbortController();
  const taken = waiting.lease.taken(stop.signal);
  stop.abort();
  expect(await taken).toBe(false);
});

test("a holder whose turn was taken is told, writes nothing more and opens nothing", async () => {
  const options = await made();
  await using old = await member(options);
  await old.lease.taken(ever);
  const partition = await old.driver.open("room", shape);
  await partition.commit(row(1));
  server.sql("UPDATE chancery.leases SET term = term + 1", options.database);
  // It cannot know yet, and is held to it by the database.
  const generation = "SELECT generation FROM chancery.partitions";
  const before = server.sql(generation, options.database);
  await partition[Symbol.asyncDispose]();
  await expect(old.driver.open("room", shape)).rejects.toThrow(Superseded);
  expect(server.sql(generation, options.database)).toBe(before);
  await expect(old.lease.lost).rejects.toThrow(Superseded);
  await expect(old.driver.open("room", shape)).rejects.toThrow("not this process's turn");
});

test("a holder that lost its turn in the middle of a transaction is cut off, and fenced when it comes back", async () => {
  const options = await made();
  await using old = await member(options);
  await old.lease.taken(ever);
  await using partition = await old.driver.open("room", shape);
  await partition.commit(row(1));
  // Another connection that stands where the old writer's would stand if its process were paused after BEGIN.
  const stuck = new pg.Client({
    host: server.host,
    port: server.port,
    user: "postgres",
    database: options.database,
  });
  stuck.on("error", () => undefined);
  onTestFinished(async () => await stuck.end().catch(() => undefined));
  await stuck.connect();
  const ended = new Promise((resolve) => stuck.once("end", resolve));
  const lock =
    "SELECT pg_terminate_backend(pid), classid, objid FROM pg_locks WHERE locktype = 'advisory'";
  const { rows } = await stuck.query<{ classid: string; objid: string }>(lock);
  const key = [rows[0]?.classid, rows[0]?.objid];
  const locked = async () =>
    (await stuck.query<{ ok: boolean }>("SELECT pg_try_advisory_lock($1, $2) AS ok", key)).rows;
  await expect.poll(locked).toEqual([{ ok: true }]);
  await stuck.query("BEGIN");
  await stuck.query("UPDATE chancery.partitions SET last_group = 'stuck'");

  server.sql("UPDATE chancery.leases SET session = ''", options.database);
  await using next = await member(options);
  expect(await next.lease.taken(ever)).toBe(true);
  await using taken = await next.driver.open("room", shape);
  await ended;
  await taken.commit(row(2));
  await expect(partition.commit(row(3))).rejects.toThrow(Superseded);
  await using reader = await next.driver.openReader("room");
  expect(await reader.get("alpha", encodeUtf8("n"))).toEqual(uintBytes(2, 8));
}, 30_000);

describe("when a lease may be taken", () => {
  const held = { term: "3", beat: "7", isFree: false, isConnected: true };
  const gone = { ...held, isConnected: false };

  test.for([
    ["given back", [[{ ...held, isFree: true }, 0, true]]],
    [
      "its holder alive",
      [
        [held, 0, false],
        [{ ...held, beat: "8" }, silentMs, false],
        [{ ...held, beat: "9" }, silentMs * 2, false],
      ],
    ],
    [
      "its holder silent",
      [
        [held, 10, false],
        [held, 9 + silentMs, false],
        [held, 10 + silentMs, true],
      ],
    ],
    [
      "its holder's connection gone",
      [
        [gone, 10, false],
        [gone, 9 + sessionGoneMs, false],
        [gone, 10 + sessionGoneMs, true],
      ],
    ],
    [
      "its holder back with another connection",
      [
        [gone, 0, false],
        [held, 500, false],
        [gone, 600, false],
        [gone, 599 + sessionGoneMs, false],
        [gone, 600 + sessionGoneMs, true],
      ],
    ],
    [
      "taken by another meanwhile",
      [
        [gone, 0, false],
        [{ ...gone, term: "4" }, sessionGoneMs, false],
        [{ ...gone, term: "4" }, 2 * sessionGoneMs, true],
      ],
    ],
  ] as const)("%s", ([, looks]) => {
    const watch = new LeaseWatch();
    for (const [seen, atMs, isDue] of looks) expect(watch.isDue(seen, atMs)).toBe(isDue);
  });

  test("after the server was out of reach it is watched anew", () => {
    const watch = new LeaseWatch();
    watch.isDue(held, 0);
    watch.forget();
    expect(watch.isDue(held, silentMs)).toBe(false);
    expect(watch.isDue(held, 2 * silentMs)).toBe(true);
  });
});

/** What the first release made, with a partition that holds one row. */
const firstLayout = `
CREATE SCHEMA chancery;
CREATE TABLE chancery.layout (version integer PRIMARY KEY);
CREATE TABLE chancery.partitions (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, shape text NOT NULL, generation bigint NOT NULL, last_group bytea NOT NULL);
CREATE FUNCTION chancery.fence(partition integer, writer bigint, this_group bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE chancery.partitions SET last_group = this_group WHERE id = partition AND generation = writer;
  IF NOT FOUND THEN RAISE EXCEPTION 'another process has opened this partition since' USING ERRCODE = 'CH001'; END IF;
END $$;
INSERT INTO chancery.layout VALUES (1);
INSERT INTO chancery.partitions (name, shape, generation, last_group) VALUES ('old', '{"tables":["alpha"],"streams":["facts"]}', 5, '');
CREATE TABLE chancery."t1_alpha" (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE chancery."s1_facts" (sequence bigint PRIMARY KEY, value bytea NOT NULL);
INSERT INTO chancery."t1_alpha" VALUES ('n', '\\x0000000000000001');
`;
const oldShape = { tables: ["alpha"], streams: ["facts"] };

describe("databases of other releases", () => {
  const version = ({ database }: PostgresOptions) =>
    server.sql("SELECT string_agg(version::text, ',') FROM chancery.layout", database);

  test.for([
    [
      "joining",
      async (driver: StorageDriver) =>
        await (await driver.lease?.("services"))?.[Symbol.asyncDispose](),
    ],
    ["making a partition", async (driver: StorageDriver) => await driver.create("room", shape)],
  ] as const)(
    "%s brings a database of the first release up to this one, and loses nothing",
    async ([, act]) => {
      const options = fresh();
      server.sql(firstLayout, options.database);
      {
        await using driver = postgresDriver(options);
        await act(driver);
      }
      expect(version(options)).toBe(String(layoutVersion));
      await using driver = postgresDriver(options);
      await using partition = await driver.open("old", oldShape);
      expect(await partition.get("alpha", encodeUtf8("n"))).toEqual(uintBytes(1, 8));
      await partition.commit(row(2));
      expect(await partition.get("alpha", encodeUtf8("n"))).toEqual(uintBytes(2, 8));
    },
  );

  test("two starts at once bring it up once", async () => {
    const options = fresh();
    server.sql(firstLayout, options.database);
    const members = await Promise.all([member(options), member(options)]);
    expect(version(options)).toBe(String(layoutVersion));
    for (const one of members) await one[Symbol.asyncDispose]();
  });

  test("one of a newer release is refused by whatever would use it, and left as it is", async () => {
    const options = await made();
    server.sql(`UPDATE chancery.layout SET version = ${layoutVersion + 1}`, options.database);
    await using driver = postgresDriver(options);
    for (const use of [
      async () => await driver.create("other", shape),
      async () => await driver.open("room", shape),
      async () => await driver.openReader("room"),
      async () => await driver.lease?.("services"),
    ]) {
      const refused = await use().catch((thrown: unknown) => thrown);
      expect(refused).toBeInstanceOf(UnsafeStorage);
      expect(String(refused)).toContain(`storage layout ${layoutVersion + 1}`);
    }
    expect(version(options)).toBe(String(layoutVersion + 1));
    expect(server.sql("SELECT count(*) FROM chancery.partitions", options.database)).toBe("1");
  });
});
