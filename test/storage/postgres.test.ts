import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { encodeUtf8, uintBytes, uintFrom } from "../../core/formats/encoding.ts";
import { Conflict, type Partition } from "../../core/storage.ts";
import { postgresDriver } from "../../plugins/storage/postgres.ts";
import type { PostgresOptions } from "../../plugins/storage/postgres-server.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { storageContract } from "./contract.ts";
import { shape } from "./contract-shape.ts";

let server: TestPostgres;
let databases = 0;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => await server?.[Symbol.asyncDispose]());

/** A driver's options for a fresh database of `of`, or of several servers that follow one another. */
function fresh(...of: readonly TestPostgres[]): PostgresOptions {
  const servers = of.length === 0 ? [server] : of;
  const database = `chancery${++databases}`;
  servers[0]?.sql(`CREATE DATABASE ${database}`);
  const places = servers.map(({ host, port }) => ({ host, port }));
  return { servers: places, database, user: "postgres" };
}

storageContract("PostgreSQL", async () => postgresDriver(fresh()));

const fact = (n: number) => ({
  writes: [{ table: "alpha", key: encodeUtf8("size"), value: uintBytes(n, 8) }],
  appends: [{ stream: "facts", value: uintBytes(n, 8) }],
});

/** What a reader finds must be exactly 1…n, in table and stream, with nothing acknowledged missing. @returns n */
async function expectWhole(options: PostgresOptions, acknowledged: number): Promise<number> {
  await using driver = postgresDriver(options);
  await using reader = await driver.openReader("room");
  const records = await reader.read("facts", 0n, 1_000_000);
  const row = await reader.get("alpha", encodeUtf8("size"));
  expect(records.length).toBeGreaterThanOrEqual(acknowledged);
  expect(row && uintFrom(row)).toBe(BigInt(records.length));
  expect(records.map(({ value }) => Number(uintFrom(value)))).toEqual(records.map((_, n) => n + 1));
  return records.length;
}

test("kill -9 of the writing process in the middle of commits loses nothing acknowledged and frees the lock", async () => {
  const options = fresh();
  await using driver = postgresDriver(options);
  await driver.create("room", shape);
  let acknowledged = 0;
  for (const killAt of [5, 40, 150]) {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL("./writer-child.ts", import.meta.url)), JSON.stringify(options)],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const killed = once(child, "exit");
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Number(line);
      if (acknowledged % 200 === killAt) child.kill("SIGKILL");
    }
    await killed;
    await openAgain(driver);
    acknowledged = await expectWhole(options, acknowledged);
  }
});

/** The server notices that a client is gone when it next reads from it. */
async function openAgain(driver: ReturnType<typeof postgresDriver>): Promise<void> {
  await expect
    .poll(async () => {
      await using _partition = await driver.open("room", shape);
      return "open";
    })
    .toBe("open");
}

describe("the server is lost on the way", () => {
  test("a server that is killed and comes back has everything acknowledged, each commit once, and the writer goes on", async () => {
    await using own = await startPostgres();
    const options = fresh(own);
    await using driver = postgresDriver(options);
    await driver.create("room", shape);
    await using partition = await driver.open("room", shape);
    const stream = commitStream(partition);
    for (let kill = 0; kill < 3; kill++) {
      await stream.grown(50);
      await own.kill();
      await own.start();
    }
    await stream.grown(50);
    expect(await expectWhole(options, await stream.end())).toBe(stream.acknowledged());
  });

  test("connections that are cut at any moment neither lose a commit nor make one twice", async () => {
    const options = fresh();
    await using driver = postgresDriver(options);
    await driver.create("room", shape);
    await using partition = await driver.open("room", shape);
    const stream = commitStream(partition);
    for (let cut = 0; cut < 20; cut++) {
      await stream.grown(8);
      server.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${options.database}'`,
      );
    }
    await stream.grown(8);
    expect(await expectWhole(options, await stream.end())).toBe(stream.acknowledged());
  });

  test("a standby that is promoted has everything acknowledged, and an old primary that comes back is refused", async () => {
    await using primary = await startPostgres({ wal_keep_size: "64MB" });
    await using standby = await primary.standby("second");
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'second'");
    primary.sql("SELECT pg_reload_conf()");
    await expect.poll(() => primary.sql("SELECT sync_state FROM pg_stat_replication")).toBe("sync");
    const options = fresh(primary, standby);
    await using driver = postgresDriver(options);
    await driver.create("room", shape);
    await using partition = await driver.open("room", shape);
    const stream = commitStream(partition);
    await stream.grown(100);
    await primary.kill();
    standby.promote();
    await stream.grown(100);
    expect(await expectWhole(options, await stream.end())).toBe(stream.acknowledged());
    await partition[Symbol.asyncDispose]();
    await using strict = postgresDriver({ ...options, requiresStandby: true });
    await expect(strict.open("room", shape)).rejects.toThrow(/requires a synchronous standby/);
    await primary.start();
    await expect(driver.open("room", shape)).rejects.toThrow(/both accept writes/);
  });
});

test("a writer whose partition another has taken over never writes again", async () => {
  const options = fresh();
  await using first = postgresDriver(options);
  await first.create("room", shape);
  await using old = await first.open("room", shape);
  await old.commit(fact(1));
  server.sql(`UPDATE chancery.partitions SET generation = generation + 1`, options.database);
  await expect(old.commit(fact(2))).rejects.toThrow(/another process has opened this partition/);
  await expect(old.commit(fact(2))).rejects.toThrow(/restart to find out/);
  expect(await expectWhole(options, 1)).toBe(1);
});

test("many commits of one tick are one transaction, each with its own outcome", async () => {
  const options = fresh();
  await using driver = postgresDriver(options);
  await driver.create("room", shape);
  await using partition = await driver.open("room", shape);
  const key = encodeUtf8("k");
  const before = BigInt(server.sql("SELECT pg_current_xact_id()::text", options.database));
  const outcomes = await Promise.allSettled(
    Array.from({ length: 400 }, async (_, n) => {
      const expected = n === 0 ? null : uintBytes(n - 1, 4);
      const expect = [{ table: "beta", key, value: n % 100 === 50 ? uintBytes(9_999, 4) : null }];
      return await partition.commit({
        writes: [{ table: "alpha", key: uintBytes(n, 4), value: expected ?? uintBytes(0, 4) }],
        expect: n % 2 === 0 ? expect : [],
      });
    }),
  );
  const after = BigInt(server.sql("SELECT pg_current_xact_id()::text", options.database));
  const refused = outcomes.filter(({ status }) => status === "rejected");
  expect(refused).toHaveLength(4);
  for (const one of refused) expect("reason" in one && one.reason).toBeInstanceOf(Conflict);
  expect(Number(after - before)).toBeLessThan(8);
  expect(await partition.scan("alpha", { limit: 1_000 })).toHaveLength(396);
});

test.for([
  ["fsync", "off"],
  ["full_page_writes", "off"],
  ["synchronous_commit", "off"],
  ["synchronous_commit", "local"],
] as const)("a server with %s=%s is refused", async ([name, value]) => {
  const options = fresh();
  await using driver = postgresDriver(options);
  const reload = (change: string) => {
    server.sql(`ALTER SYSTEM ${change}`);
    server.sql("SELECT pg_reload_conf()");
  };
  reload(`SET ${name} = ${value}`);
  // The server reads it when it comes to it.
  await expect.poll(() => server.sql(`SHOW ${name}`)).toBe(value);
  await expect
    .poll(async () => await driver.create("room", shape).catch((thrown: Error) => thrown.message))
    .toMatch(`PostgreSQL's ${name} is ${value}, with which acknowledged commits can be lost`);
  reload(`RESET ${name}`);
  await expect.poll(() => server.sql(`SHOW ${name}`)).toBe("on");
});

/** Options that lead to the server through somebody who changes what the client sends. */
async function through(change: (sent: string) => string): Promise<PostgresOptions> {
  const between = createServer((near) => {
    const far = connect(`${server.host}/.s.PGSQL.${server.port}`);
    for (const socket of [near, far]) socket.on("error", () => socket.destroy());
    near.on("data", (sent: Buffer) => far.write(change(sent.toString("latin1")), "latin1"));
    near.on("close", () => far.destroy());
    far.pipe(near);
  });
  onTestFinished(() => void between.close());
  between.listen(0, "127.0.0.1");
  await once(between, "listening");
  const { port } = between.address() as AddressInfo;
  return { ...fresh(), servers: [{ host: "127.0.0.1", port }] };
}

test("a pooler, which does not pass on what a connection asks of its server, is refused", async () => {
  const options = await through((sent) => sent.replace("force_generic_plan", "force_custom_plan "));
  await using driver = postgresDriver(options);
  await expect(driver.create("room", shape)).rejects.toThrow(/a pooler stands in front of it/);
});

test("a commit whose BEGIN the server refuses changes nothing, though all of it has been sent", async () => {
  let refused = false;
  const options = await through((sent) =>
    refused ? sent.replace("BEGIN; SET LOCAL", "BEGAN; SET LOCAL") : sent,
  );
  await using driver = postgresDriver(options);
  await driver.create("room", shape);
  await using partition = await driver.open("room", shape);
  await partition.commit(fact(1));
  const group = "SELECT encode(last_group, 'hex') FROM chancery.partitions";
  const before = server.sql(group, options.database);
  refused = true;
  await expect(
    partition.commit({
      ...fact(2),
      writes: [...fact(2).writes, { table: "beta", key: encodeUtf8("k"), value: null }],
    }),
  ).rejects.toThrow(/syntax error.*restart to find out/);
  expect(await expectWhole(options, 1)).toBe(1);
  expect(server.sql(group, options.database)).toBe(before);
});

test("a server that is not there is said so, and nothing waits for ever", async () => {
  await using driver = postgresDriver({
    servers: [{ host: "127.0.0.1", port: 1 }],
    database: "nowhere",
    user: "postgres",
  });
  await expect(driver.open("room", shape)).rejects.toThrow(/no PostgreSQL server.*127.0.0.1:1/);
});

/** Commits 1, 2, 3 … four at a time until it is ended. */
function commitStream(partition: Partition) {
  let acknowledged = 0;
  let ending = false;
  const running = (async () => {
    let next = 0;
    while (!ending) {
      await Promise.all(
        Array.from({ length: 4 }, async () => {
          const n = ++next;
          await partition.commit(fact(n));
          acknowledged = Math.max(acknowledged, n);
        }),
      );
    }
  })();
  // It is awaited at the end; meanwhile its failure is no unhandled one.
  running.catch(() => undefined);
  return {
    acknowledged: () => acknowledged,
    async grown(by: number) {
      const from = acknowledged;
      await expect.poll(() => acknowledged).toBeGreaterThanOrEqual(from + by);
    },
    async end() {
      ending = true;
      await running;
      return acknowledged;
    },
  };
}
