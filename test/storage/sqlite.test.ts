import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { DatabaseSync } from "node:sqlite";
import { afterAll, expect, test } from "vitest";
import { encodeUtf8, uintBytes, uintFrom } from "../../core/formats/encoding.ts";
import { sqliteDriver } from "../../plugins/storage/sqlite.ts";
import { storageContract } from "./contract.ts";
import { shape } from "./contract-shape.ts";

const directories: string[] = [];
const fresh = () => {
  const directory = mkdtempSync(join(tmpdir(), "chancery-sqlite-"));
  directories.push(directory);
  return directory;
};
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});

storageContract("SQLite", async () => sqliteDriver({ directory: fresh() }));

/** A process of its own that commits 1, 2, 3 … to the partition and prints each number once it is acknowledged. */
function startWriter(directory: string) {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL("./writer-child.ts", import.meta.url)), directory],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  return { child, lines: createInterface({ input: child.stdout }) };
}

test("kill -9 in the middle of commits loses nothing acknowledged and frees the lock", async () => {
  const directory = fresh();
  await using driver = sqliteDriver({ directory });
  await driver.create("room", shape);
  let acknowledged = 0;
  for (const killAt of [5, 40, 150]) {
    const { child, lines } = startWriter(directory);
    const killed = once(child, "exit");
    for await (const line of lines) {
      acknowledged = Number(line);
      if (acknowledged % 200 === killAt) child.kill("SIGKILL");
    }
    await killed;
    await using reader = await driver.openReader("room");
    const records = await reader.read("facts", 0n, 1_000_000);
    const row = await reader.get("alpha", encodeUtf8("size"));
    // Table and stream agree, nothing acknowledged is missing, nothing is half there.
    expect(records.length).toBeGreaterThanOrEqual(acknowledged);
    expect(row && uintFrom(row)).toBe(BigInt(records.length));
    expect(records.map(({ sequence }) => sequence)).toEqual(records.map((_, n) => BigInt(n + 1)));
    acknowledged = records.length;
  }
  await using partition = await driver.open("room", shape);
  await partition.commit({ appends: [{ stream: "facts", value: encodeUtf8("f") }] });
});

test("another process cannot write beside the one that does, but can read", async () => {
  const directory = fresh();
  await using driver = sqliteDriver({ directory });
  await driver.create("room", shape);
  const { child, lines } = startWriter(directory);
  try {
    await once(lines, "line");
    await expect(driver.open("room", shape)).rejects.toThrow(/open for writing already/);
    await using reader = await driver.openReader("room");
    expect((await reader.read("facts", 0n, 1)).length).toBe(1);
  } finally {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
});

/** Frames of a write-ahead log that end a transaction (SQLite file format, §4.2): those that say how large the database is then. */
function transactionsIn(path: string): number {
  const wal = readFileSync(path);
  if (wal.length === 0) return 0;
  const frame = 24 + wal.readUInt32BE(8);
  const salts = wal.subarray(16, 24);
  let count = 0;
  for (let at = 32; at + frame <= wal.length; at += frame) {
    const isOfNow = wal.subarray(at + 8, at + 16).equals(salts);
    if (isOfNow && wal.readUInt32BE(at + 4) > 0) count++;
  }
  return count;
}

test("commits called together become few transactions", async () => {
  const directory = fresh();
  await using driver = sqliteDriver({ directory });
  await driver.create("room", shape);
  await using partition = await driver.open("room", shape);
  const commits = Array.from({ length: 2_000 }, (_, n) => n);
  const before = transactionsIn(join(directory, "room.db-wal"));
  await Promise.all(
    commits.map(
      async (n) =>
        await partition.commit({
          writes: [{ table: "alpha", key: uintBytes(n, 8), value: uintBytes(n, 8) }],
        }),
    ),
  );
  expect(transactionsIn(join(directory, "room.db-wal")) - before).toBeLessThan(20);
  expect((await partition.scan("alpha", { limit: 5_000 })).length).toBe(2_000);
});

test("the write-ahead log stays near its bound and commits go on", async () => {
  const directory = fresh();
  const walHardBytes = 512 * 1024;
  await using driver = sqliteDriver({ directory, walSoftBytes: 128 * 1024, walHardBytes });
  await driver.create("room", shape);
  await using partition = await driver.open("room", shape);
  const value = new Uint8Array(20_000);
  for (let n = 0; n < 300; n++) {
    await partition.commit({ writes: [{ table: "alpha", key: uintBytes(n, 8), value }] });
  }
  expect(statSync(join(directory, "room.db-wal")).size).toBeLessThan(2 * walHardBytes);
  expect((await partition.scan("alpha", { limit: 5_000 })).length).toBe(300);
});

test("a closed partition is one private file", async () => {
  const directory = fresh();
  await using driver = sqliteDriver({ directory });
  await driver.create("room", shape);
  const partition = await driver.open("room", shape);
  await partition.commit({ writes: [{ table: "alpha", key: uintBytes(1, 8), value: null }] });
  await partition[Symbol.asyncDispose]();
  expect(readdirSync(directory).toSorted()).toEqual(["room.db", "room.lock"]);
  expect(statSync(join(directory, "room.db")).mode & 0o777).toBe(0o600);
});

test("refuses a file that belongs to another partition or program", async () => {
  const directory = fresh();
  await using driver = sqliteDriver({ directory });
  await driver.create("room", shape);
  const other = new DatabaseSync(join(directory, "foreign.db"));
  other.exec("PRAGMA journal_mode=WAL; CREATE TABLE t (a)");
  other.close();
  await expect(driver.open("foreign", shape)).rejects.toThrow(/not one of Chancery's/);
  rmSync(join(directory, "foreign.db"));
  await driver.create("foreign", shape);
  const renamed = new DatabaseSync(join(directory, "foreign.db"));
  renamed.exec("UPDATE meta SET value = 'room' WHERE name = 'partition'");
  renamed.close();
  await expect(driver.open("foreign", shape)).rejects.toThrow(/holds partition "room"/);
});

test("an error while writing makes everything after it fail", async () => {
  const directory = fresh();
  await using driver = sqliteDriver({ directory });
  await driver.create("room", shape);
  await using partition = await driver.open("room", shape);
  // Another program changes the layout under the writer: the next statement fails.
  const vandal = new DatabaseSync(join(directory, "room.db"));
  vandal.exec("DROP TABLE table_beta");
  vandal.close();
  const write = { table: "beta", key: uintBytes(1, 8), value: uintBytes(1, 8) };
  await expect(partition.commit({ writes: [write] })).rejects.toThrow(/unknown/);
  await expect(partition.commit({ writes: [{ ...write, table: "alpha" }] })).rejects.toThrow(
    /unknown/,
  );
});
