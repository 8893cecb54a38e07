import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, expect, test, vi } from "vitest";
import { uintBytes } from "../../core/formats/encoding.ts";
import type { Commit, Partition, PartitionShape } from "../../core/storage.ts";
import { Checkpoints } from "../../plugins/storage/checkpoints.ts";
import { CommitQueue } from "../../plugins/storage/commit-queue.ts";
import { Slate } from "../../plugins/storage/slate.ts";
import { createFile } from "../../plugins/storage/sqlite-file.ts";
import { sqliteDriver } from "../../plugins/storage/sqlite.ts";
import { Threads } from "../../plugins/storage/threads.ts";
import { shape } from "./contract-shape.ts";

const directories: string[] = [];
const fresh = () => {
  const directory = mkdtempSync(join(tmpdir(), "chancery-threads-"));
  directories.push(directory);
  return directory;
};
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});

/** All of this shape share one thread. */
const patient: PartitionShape = { ...shape, patient: true };

const row = (n: number): Commit => ({
  writes: [{ table: "alpha", key: uintBytes(n, 8), value: uintBytes(n, 8) }],
  appends: [{ stream: "facts", value: uintBytes(n, 8) }],
});

/** More than a partition has room for at first. */
const large = (n: number): Commit => ({
  writes: [{ table: "alpha", key: uintBytes(n, 8), value: new Uint8Array(2 ** 20) }],
});

async function openAll(directory: string, names: readonly string[], of: PartitionShape = patient) {
  const driver = sqliteDriver({ directory });
  const partitions: Partition[] = [];
  for (const name of names) {
    await driver.create(name, of);
    partitions.push(await driver.open(name, of));
  }
  return { driver, partitions };
}

for (const [kind, of] of [
  ["patient ones", patient],
  ["others", shape],
] as const) {
  test(`partitions that share a thread keep their rows, streams and conflicts to themselves: ${kind}`, async () => {
    const { driver, partitions } = await openAll(fresh(), ["one", "two", "three", "four"], of);
    await using _ = driver;
    const rounds = Array.from({ length: 20 }, (_, n) => n + 1);
    const refused = partitions.map(async (partition, at) => {
      const commits = rounds.map(async (n) => await partition.commit(row(100 * at + n)));
      // In the third there is such a row, in no other.
      const expect = [{ table: "alpha", key: uintBytes(201, 8), value: null }];
      const last = partition.commit({ expect, ...row(999) }).then(
        () => false,
        () => true,
      );
      await Promise.all(commits);
      return await last;
    });
    expect(await Promise.all(refused)).toEqual([false, false, true, false]);
    for (const [at, partition] of partitions.entries()) {
      const own = [...rounds.map((n) => 100 * at + n), ...(at === 2 ? [] : [999])];
      const rows = await partition.scan("alpha", { limit: 100 });
      const records = await partition.read("facts", 0n, 100);
      expect(rows.map(({ value }) => value)).toEqual(own.map((n) => uintBytes(n, 8)));
      expect(records.map(({ sequence }) => sequence)).toEqual(own.map((_, n) => BigInt(n + 1)));
    }
  });
}

test("a partition that fails leaves those beside it alone", async () => {
  const directory = fresh();
  const { driver, partitions } = await openAll(directory, ["failing", "beside"]);
  await using _ = driver;
  const [failing, beside] = partitions;
  const vandal = new DatabaseSync(join(directory, "failing.db"));
  vandal.exec("DROP TABLE table_alpha");
  vandal.close();
  await expect(failing?.commit(row(1))).rejects.toThrow(/unknown/);
  await expect(failing?.commit(row(2))).rejects.toThrow(/unknown/);
  await beside?.commit(row(3));
  expect((await beside?.scan("alpha", { limit: 5 }))?.length).toBe(1);
});

test("closing a partition leaves those beside it open, and it can be opened again", async () => {
  const { driver, partitions } = await openAll(fresh(), ["closing", "beside"]);
  await using _ = driver;
  const [closing, beside] = partitions;
  await closing?.commit(row(1));
  await closing?.[Symbol.asyncDispose]();
  await beside?.commit(row(2));
  const again = await driver.open("closing", patient);
  // The one from before is closed already: closing it twice is nothing to the one that is open now.
  await closing?.[Symbol.asyncDispose]();
  await again.commit(row(3));
  expect((await again.scan("alpha", { limit: 5 })).length).toBe(2);
});

test("a partition that cannot be opened holds nothing", async () => {
  const { driver } = await openAll(fresh(), ["beside"]);
  await using _ = driver;
  await driver.create("room", patient);
  const other = { ...patient, tables: ["gamma"] };
  await expect(driver.open("room", other)).rejects.toThrow(/another shape/);
  const room = await driver.open("room", patient);
  await room.commit(row(1));
  await expect(driver.open("room", patient)).rejects.toThrow(/open for writing already/);
  await room.commit(row(2));
});

test("a group that cannot be taken takes nobody's answer", async () => {
  await using threads = new Threads();
  const thread = threads.hold("room", true);
  const path = join(fresh(), "room.db");
  const slate = Slate.for(1);
  slate.put(patient, [row(1)]);
  await expect(thread.write(path, slate, [row(1)])).rejects.toThrow(/not taken/);
  createFile(path, "room", patient);
  await thread.open({ path, lockPath: join(fresh(), "room.lock"), name: "room", shape: patient });
  await thread.close(path);
});

test("commits larger than the memory that is kept go through, and small ones after them", async () => {
  const { driver, partitions } = await openAll(fresh(), ["large"]);
  await using _ = driver;
  const [large] = partitions;
  const valueOf = (n: number) => new Uint8Array(n % 2 === 0 ? 700_000 : 3).fill(n);
  const numbers = Array.from({ length: 10 }, (__, n) => n);
  const commits = numbers.map(async (n) => {
    if (n % 3 === 0) await new Promise(setImmediate);
    const write = { table: "alpha", key: uintBytes(n, 8), value: valueOf(n) };
    await large?.commit({ writes: [write] });
  });
  await Promise.all(commits);
  await large?.commit({ writes: [{ table: "alpha", key: uintBytes(1, 8), value: null }] });
  const rows = (await large?.scan("alpha", { limit: 20 })) ?? [];
  const kept = numbers.filter((n) => n !== 1);
  expect(rows.map(({ value }) => value.length)).toEqual(kept.map((n) => valueOf(n).length));
  expect(rows.every(({ value }, at) => value[0] === kept[at])).toBe(true);
});

test("large groups leave no memory behind, each after the other", async () => {
  const { driver, partitions } = await openAll(fresh(), ["large"]);
  await using _ = driver;
  const [one] = partitions;
  await one?.commit(large(1));
  const before = process.memoryUsage().arrayBuffers;
  for (let n = 0; n < 60; n++) await one?.commit(large(1));
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 25);
});

test("where there is no memory for a group, those who wait are told", async () => {
  const { driver, partitions } = await openAll(fresh(), ["short"]);
  await using _ = driver;
  const [short] = partitions;
  await short?.commit(row(1));
  const none = vi.spyOn(Slate, "for").mockImplementation(() => {
    throw new RangeError("Array buffer allocation failed");
  });
  const commits = [large(2), row(3)].map(async (commit) => await short?.commit(commit));
  const settled = await Promise.allSettled(commits);
  none.mockRestore();
  expect(settled.map((one) => one.status === "rejected" && String(one.reason))).toEqual([
    expect.stringContaining("allocation failed"),
    expect.stringContaining("allocation failed"),
  ]);
});

test("a thread that dies leaves everything in doubt that it was for", async () => {
  const directory = fresh();
  await using threads = new Threads();
  const checkpoints = new Checkpoints(threads, { walSoftBytes: 2 ** 20, walHardBytes: 2 ** 24 });
  const open = async (name: string) => {
    const path = join(directory, `${name}.db`);
    createFile(path, name, patient);
    const start = { path, lockPath: join(directory, `${name}.lock`), name, shape: patient };
    return await CommitQueue.open(start, threads, checkpoints);
  };
  const [one, two] = [await open("one"), await open("two")];
  await one.commit(row(1));
  await threads[Symbol.asyncDispose]();
  for (const queue of [one, two]) {
    await expect(queue.commit(row(2))).rejects.toThrow(/unknown, restart/);
    await queue[Symbol.asyncDispose]();
  }
});

test("there is one thread for those who are waited for and one for the patient, as long as they are needed", async () => {
  await using threads = new Threads();
  const [a, b] = ["a", "b"].map((path) => threads.hold(path, false));
  const [c, d] = ["c", "a"].map((path) => threads.hold(path, true));
  expect(b).toBe(a);
  expect(d).toBe(c);
  expect(c).not.toBe(a);
  await b?.release("b");
  expect(a?.hasEnded).toBe(false);
  await a?.release("a");
  expect(a?.hasEnded).toBe(true);
  expect(threads.hold("e", false)).not.toBe(a);
  expect(c?.hasEnded).toBe(false);
});
