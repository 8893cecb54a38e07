/** Heads of a log whose promises stand for themselves (RFC 6962 §3): they come at a pace, and no promise waits for one. */
import { expect, test } from "vitest";
import "../support/matchers.ts";
import { appendEntry, latestHead } from "../../events/log.ts";
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
