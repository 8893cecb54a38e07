import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeUtf8, uintBytes } from "../../core/formats/encoding.ts";
import type { StorageDriver } from "../../core/storage.ts";
import { copyPartition, NotACopy } from "../../plugins/storage/copy.ts";
import { postgresDriver } from "../../plugins/storage/postgres.ts";
import { sqliteDriver } from "../../plugins/storage/sqlite.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { shape } from "./contract-shape.ts";

const folder = mkdtempSync(join(tmpdir(), "chancery-copy-"));
const room = { name: "room", shape };
let server: TestPostgres;
let stores = 0;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const sqlite = () => sqliteDriver({ directory: join(folder, String(++stores)) });
const postgres = () => {
  const database = `copy${++stores}`;
  server.sql(`CREATE DATABASE ${database}`);
  return postgresDriver({
    servers: [{ host: server.host, port: server.port }],
    database,
    user: "postgres",
  });
};

/** Rows at the edges of a page, empty and large values, keys that sort by byte. */
async function fill(driver: StorageDriver, rows = 1_100): Promise<void> {
  await driver.create("room", shape);
  await using partition = await driver.open("room", shape);
  for (let at = 0; at < rows; at += 100) {
    const some = Array.from({ length: 100 }, (_, n) => at + n);
    await partition.commit({
      writes: some.map((n) => ({
        table: "alpha",
        key: uintBytes(n, 2),
        value: encodeUtf8("v".repeat(n)),
      })),
      appends: some.map((n) => ({ stream: "facts", value: uintBytes(n, 8) })),
    });
  }
  const big = new Uint8Array(8 * 1024 * 1024).fill(3);
  await partition.commit({
    writes: [
      { table: "beta", key: new Uint8Array(256).fill(255), value: big },
      { table: "beta", key: Uint8Array.of(0), value: new Uint8Array(0) },
    ],
  });
}

test("SQLite to PostgreSQL and back is the same, row for row", async () => {
  await using from = sqlite();
  await using between = postgres();
  await using back = sqlite();
  await fill(from);
  const there = await copyPartition(from, between, room);
  const again = await copyPartition(between, back, room);
  expect(there.rows).toBe(1_100 + 1_100 + 2);
  expect(again).toEqual(there);
});

test("a copy that was interrupted goes on", async () => {
  await using from = sqlite();
  await using to = postgres();
  await fill(from);
  await to.create("room", shape);
  {
    await using half = await to.open("room", shape);
    await half.commit({
      writes: [{ table: "alpha", key: uintBytes(3, 2), value: encodeUtf8("vvv") }],
      appends: [{ stream: "facts", value: uintBytes(0, 8) }],
    });
  }
  expect((await copyPartition(from, to, room)).rows).toBe(2_202);
  // And once more is nothing more.
  expect((await copyPartition(from, to, room)).rows).toBe(2_202);
});

test.for([
  [
    "a row of its own",
    { writes: [{ table: "alpha", key: encodeUtf8("own"), value: encodeUtf8("v") }] },
  ],
  [
    "a row with another value",
    { writes: [{ table: "alpha", key: uintBytes(3, 2), value: encodeUtf8("w") }] },
  ],
  ["another record", { appends: [{ stream: "facts", value: uintBytes(7, 8) }] }],
] as const)("a target with %s is refused and stays as it is", async ([, commit]) => {
  await using from = sqlite();
  await using to = sqlite();
  await fill(from, 100);
  await to.create("room", shape);
  {
    await using own = await to.open("room", shape);
    await own.commit(commit);
  }
  await expect(copyPartition(from, to, room)).rejects.toBeInstanceOf(NotACopy);
  await using reader = await to.openReader("room");
  expect(await reader.scan("beta", { limit: 1 })).toEqual([]);
});

test("a storage that is in use is not copied", async () => {
  await using from = sqlite();
  await using to = sqlite();
  await fill(from, 100);
  await using _writer = await from.open("room", shape);
  await expect(copyPartition(from, to, room)).rejects.toThrow(/open for writing already/);
  await expect(to.openReader("room")).rejects.toThrow(/missing/);
});
