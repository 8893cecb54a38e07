/** One fault at every point of an append, a restart after it, and the oracle over everything. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import "../support/matchers.ts";
import { type Commit, Conflict, type Partition, type StorageDriver } from "../../core/storage.ts";
import { ExitCode } from "../../core/exit-codes.ts";
import { exitCodeFor } from "../../core/run.ts";
import { latestHead } from "../../events/log.ts";
import { tables } from "../../plugins/log/rows.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { body, LogBench, precertificate } from "./log-fixture.ts";
import type { Fault } from "./log-vault.ts";

/** Fails one commit, before or after it has become durable; as the contract says, the partition is dead from then on. */
function faulty(driver: StorageDriver, persists: boolean, isDue: (commit: Commit) => boolean) {
  const wrap = (partition: Partition): Partition => {
    let dead = false;
    return {
      get: async (...question) => await partition.get(...question),
      scan: async (...question) => await partition.scan(...question),
      read: async (...question) => await partition.read(...question),
      [Symbol.asyncDispose]: async () => await partition[Symbol.asyncDispose](),
      async commit(commit) {
        if (dead) throw new Error("the partition is dead");
        if (!isDue(commit)) return await partition.commit(commit);
        dead = true;
        if (persists) await partition.commit(commit);
        throw new Error("the disk failed");
      },
    };
  };
  return {
    ...driver,
    open: async (...question: Parameters<StorageDriver["open"]>) =>
      wrap(await driver.open(...question)),
  };
}

/** Finds, once, that somebody else has written what it expected. */
function conflicting(driver: StorageDriver, isDue: (commit: Commit) => boolean): StorageDriver {
  return {
    ...driver,
    async open(...question) {
      const partition = await driver.open(...question);
      return {
        get: async (...asked) => await partition.get(...asked),
        scan: async (...asked) => await partition.scan(...asked),
        read: async (...asked) => await partition.read(...asked),
        [Symbol.asyncDispose]: async () => await partition[Symbol.asyncDispose](),
        async commit(commit) {
          const [expectation] = commit.expect ?? [];
          if (expectation && isDue(commit)) throw new Conflict(expectation);
          return await partition.commit(commit);
        },
      };
    },
  };
}

const has = (table: string) => (commit: Commit) =>
  commit.writes?.some((write) => write.table === table) ?? false;
/** The n-th time that `holds`. */
const nth = (n: number, holds: (commit: Commit) => boolean) => {
  let seen = 0;
  return (commit: Commit) => holds(commit) && ++seen === n;
};

describe.for(["rfc6962", "rekor-v1", "rekor-v2"] as const)("%s", (format) => {
  const entry = format === "rfc6962" ? precertificate : body;

  test.for([
    ["entries, not persisted", false, tables.entries],
    ["entries, but persisted", true, tables.entries],
    ["the head, not persisted", false, tables.heads],
    ["the head, but persisted", true, tables.heads],
  ] as const)("survives a failing commit of %s", async ([, persists, table]) => {
    const bench = new LogBench(format);
    await bench.start();
    for (let n = 0; n < 3; n++) await bench.append(entry(n));
    await bench.stop();
    bench.storage = faulty(bench.driver, persists, nth(2, has(table)));
    await bench.start();
    const outcomes = await Promise.allSettled([
      bench.append(entry(3)).then(async () => await bench.append(entry(4))),
    ]);
    await expect.poll(() => bench.fatal.length).toBeGreaterThan(0);
    await expect(bench.append(entry(9))).toFailWith("log-unavailable");
    await bench.stop();

    bench.storage = bench.driver;
    await bench.start();
    await bench.check();
    const again = await bench.append(entry(3));
    expect(again.index).toBe(3n);
    await bench.append(entry(4));
    expect((await bench.append(entry(5))).index).toBe(5n);
    await bench.check();
    expect(outcomes.length).toBe(1);
    expect(await bench.fsck()).toEqual([]);
  });
});

describe.for(["rfc6962", "rekor-v1", "rekor-v2"] as const)("%s", (format) => {
  const entry = format === "rfc6962" ? precertificate : body;
  const purposes = {
    rfc6962: ["checkpoint", "treeHead", "scts"],
    "rekor-v1": ["checkpoint", "signedEntryTimestamps"],
    "rekor-v2": ["checkpoint"],
  }[format];
  const faults: readonly Fault[] = [
    { kind: "fail", code: "key-unavailable", when: "before" },
    { kind: "fail", code: "key-unavailable", when: "after" },
    { kind: "fail", code: "deadline-exceeded", when: "after" },
    { kind: "fail", code: "guard-refused", when: "before" },
    { kind: "bad-signature" },
  ];
  const cases = purposes.flatMap((purpose) => faults.map((fault) => [purpose, fault] as const));

  test.for(cases)("recovers by itself when %s meets %j", async ([purpose, fault]) => {
    const bench = new LogBench(format);
    await bench.start();
    await bench.append(entry(0));
    let left = 2;
    bench.vault.fault = (asked) => (asked === purpose && left-- > 0 ? fault : null);
    const [one, two] = await Promise.all([bench.append(entry(1)), bench.append(entry(2))]);
    expect([one?.index, two?.index]).toEqual([1n, 2n]);
    await bench.check();
    await bench.restart();
    await bench.check();
    expect(await bench.fsck()).toEqual([]);
  });

  test.for(purposes)(
    "a restart signs the stored intent when %s was never answered",
    async (purpose) => {
      const bench = new LogBench(format);
      await bench.start();
      await bench.append(entry(0));
      let asked = 0;
      bench.vault.fault = (wanted) => {
        if (wanted !== purpose) return null;
        asked++;
        return { kind: "fail", code: "key-unavailable", when: "after" };
      };
      const waiting = expect(bench.append(entry(1))).rejects.toThrow();
      await expect.poll(() => asked).toBeGreaterThan(1);
      await bench.stop();
      await waiting;
      bench.vault.fault = () => null;
      await bench.start();
      expect((await bench.ask(latestHead, { log: "one" })).head.size).toBe(2n);
      const again = await bench.append(entry(1));
      expect(again).toMatchObject({ index: 1n, known: true });
      await bench.check();
      expect(await bench.fsck()).toEqual([]);
    },
  );
});

test("a vault that hangs costs a deadline and nothing else", async () => {
  const bench = new LogBench("rekor-v1");
  await bench.start();
  let left = 1;
  bench.vault.fault = () => (left-- > 0 ? { kind: "hang" } : null);
  const answer = await bench.append(body(1));
  expect(answer.index).toBe(0n);
  await bench.check();
  await bench.stop();
});

test("refuses to start on a store older than the vault", async () => {
  const bench = new LogBench("rekor-v1");
  await bench.start();
  for (let n = 0; n < 3; n++) await bench.append(body(n));
  await bench.stop();
  bench.storage = memoryStorage();
  await expect(bench.start()).rejects.toThrow(/older than the vault/);
  expect(bench.vault.last.size).toBe(3n);
});

test("refuses to start under a vault whose state is older than the log, and leaves it to the operator", async () => {
  const bench = new LogBench("rekor-v1");
  await bench.start();
  await bench.append(body(0));
  const { last } = bench.vault;
  for (let n = 1; n < 3; n++) await bench.append(body(n));
  await bench.stop();
  bench.vault.last = last;
  const thrown: unknown = await bench.start().catch((error: unknown) => error);
  expect(String(thrown)).toMatch(/the vault remembers signing 1 only/);
  expect(exitCodeFor(thrown)).toBe(ExitCode.environment);
  expect(bench.vault.last).toBe(last);
});

test("has nothing signed by a vault that goes back to an older state while the log runs", async () => {
  const bench = new LogBench("rekor-v1");
  await bench.start();
  await bench.append(body(0));
  const { last } = bench.vault;
  for (let n = 1; n < 3; n++) await bench.append(body(n));
  bench.vault.last = last;
  const waiting = expect(bench.append(body(3))).rejects.toThrow();
  await sleep(300);
  expect(bench.vault.last).toBe(last);
  await bench.stop();
  await waiting;
});

test("stays down visibly when somebody else has written the log", async () => {
  const bench = new LogBench("rekor-v1");
  await bench.start();
  await bench.append(body(0));
  await bench.stop();
  bench.storage = conflicting(bench.driver, nth(1, has(tables.entries)));
  await bench.start();
  await expect(bench.append(body(1))).toFailWith("log-unavailable");
  expect(bench.installation?.health()["log"]).toMatchObject({ status: "failed" });
  await expect(bench.append(body(2))).toFailWith("log-unavailable");
  await bench.stop();
});

test("refuses to start on a store of another history", async () => {
  const bench = new LogBench("rekor-v1");
  await bench.start();
  await bench.append(body(1));
  await bench.stop();
  const other = new LogBench("rekor-v1");
  await other.start();
  await other.append(body(2));
  await other.stop();
  bench.storage = other.driver;
  await expect(bench.start()).rejects.toThrow(/another tree|damaged/);
});
