/** Heads of a log whose promises stand for themselves (RFC 6962 §3): they come at a pace, and no promise waits for one. */
import { expect, test } from "vitest";
import "../support/matchers.ts";
import { appendEntry, latestHead } from "../../events/log.ts";
import type { StorageDriver } from "../../core/storage.ts";
import { tables } from "../../plugins/log/rows.ts";
import { LogBench, precertificate } from "./log-fixture.ts";

async function started(): Promise<LogBench> {
  const bench = new LogBench("rfc6962");
  await bench.start();
  return bench;
}

const log = "one";
const promise = async (bench: LogBench, n: number) =>
  await bench.ask(appendEntry, { log, entry: precertificate(n), prove: false }, "ct");

test("signs one head for many of them, and it is complete soon after the last", async () => {
  const bench = await started();
  bench.vault.asks = [];
  for (let n = 0; n < 5; n++) expect((await promise(bench, n)).promise).toBeDefined();
  await expect.poll(() => bench.vault.last.size).toBe(5n);
  const heads = bench.vault.asks.filter((purpose) => purpose === "treeHead");
  expect(bench.vault.asks.filter((purpose) => purpose === "scts")).toHaveLength(5);
  expect(heads.length).toBeLessThan(5);
  await bench.check();
  expect(await bench.fsck()).toEqual([]);
});

test("shows whoever asks a head of all that was promised before", async () => {
  const bench = await started();
  for (let n = 0; n < 3; n++) {
    const { index } = await promise(bench, n);
    const { head } = await bench.ask(latestHead, { log });
    expect(head.size).toBeGreaterThan(index);
  }
  await bench.check();
});

test("goes on promising while no head can be signed, and shows the one it has", async () => {
  const bench = await started();
  bench.vault.fault = (purpose) =>
    purpose === "treeHead" ? { kind: "fail", code: "key-unavailable", when: "before" } : null;
  for (let n = 0; n < 3; n++) expect((await promise(bench, n)).promise).toBeDefined();
  expect((await bench.ask(latestHead, { log })).head.size).toBe(0n);
  await expect
    .poll(() => bench.installation?.health()["log"])
    .toMatchObject({ status: "degraded" });
  bench.vault.fault = () => null;
  await expect.poll(async () => (await bench.ask(latestHead, { log })).head.size).toBe(3n);
  await bench.check();
  expect(await bench.fsck()).toEqual([]);
});

test("ends with a head of everything when it is stopped", async () => {
  const bench = await started();
  for (let n = 0; n < 3; n++) await promise(bench, n);
  await bench.stop();
  expect(bench.vault.last.size).toBe(3n);
  bench.vault.asks = [];
  await bench.start();
  // It was stored, too.
  expect(bench.vault.asks).toEqual([]);
  await bench.check();
});

test("asks for a promise while its entry is written, and lets none go before that is durable", async () => {
  const bench = await started();
  await bench.stop();
  const gate = Promise.withResolvers<undefined>();
  bench.storage = waiting(bench.driver, gate.promise);
  await bench.start();
  bench.vault.asks = [];
  let isAnswered = false;
  const answer = promise(bench, 1).finally(() => (isAnswered = true));
  await expect.poll(() => bench.vault.asks).toEqual(["scts"]);
  // A head that asks for nothing less than what is durable does not let it go either.
  expect((await bench.ask(latestHead, { log })).head.size).toBe(0n);
  expect(isAnswered).toBe(false);
  gate.resolve(undefined);
  expect((await answer).index).toBe(0n);
  await bench.check();
  expect(await bench.fsck()).toEqual([]);
});

/** A store whose commits of entries wait. */
function waiting(driver: StorageDriver, until: Promise<unknown>): StorageDriver {
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
          if (commit.writes?.some(({ table }) => table === tables.entries)) await until;
          return await partition.commit(commit);
        },
      };
    },
  };
}
