/** A log that is frozen: what it took is kept and shown, what comes is refused, and both stay so. */
import { describe, expect, test } from "vitest";
import { partitionsOf } from "../../core/stores.ts";
import "../support/matchers.ts";
import { appendEntry, freezeLog, latestHead, proveInclusion, readTile } from "../../events/log.ts";
import { log } from "../../plugins/log/manifest.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { body, LogBench, precertificate } from "./log-fixture.ts";

const formats = ["rfc6962", "rekor-v1", "rekor-v2"] as const;

const entryOf = (format: (typeof formats)[number]) =>
  format === "rfc6962" ? precertificate : body;
async function begun(format: (typeof formats)[number], count: number): Promise<LogBench> {
  const bench = new LogBench(format);
  await bench.start();
  const entry = entryOf(format);
  await Promise.all(Array.from({ length: count }, async (_, n) => await bench.append(entry(n))));
  return bench;
}
const freeze = async (bench: LogBench) => await bench.ask(freezeLog, { log: "one" }, "operator");

describe.for(formats)("%s", (format) => {
  const entry = entryOf(format);
  const started = async (count: number) => await begun(format, count);

  test("refuses entries and goes on showing those it has, also after a restart", async () => {
    const bench = await started(5);
    const frozen = await freeze(bench);
    expect(frozen.head.size).toBe(5n);
    expect(frozen.frozenAtMs >= (bench.promised[4]?.integratedAtMs ?? 0n)).toBe(true);
    for (const again of [false, true, true]) {
      if (again) await bench.restart();
      await expect(bench.append(entry(9))).toFailWith("log-frozen");
      // One that it has is no exception: whoever appends learns that the log has ended.
      await expect(bench.append(entry(1))).toFailWith("log-frozen");
      expect(await freeze(bench)).toEqual(frozen);
      const { head } = await bench.ask(latestHead, { log: "one" });
      expect(head).toEqual(frozen.head);
      const proved = await bench.ask(proveInclusion, { log: "one", index: 2n, size: 5n });
      expect(proved.root).toEqual(frozen.head.root);
      await bench.ask(readTile, { log: "one", level: "entries", index: 0n, width: 5 });
      await bench.check();
    }
    expect(bench.installation?.health()["log"]).toEqual({ status: "ok" });
    expect(await bench.fsck()).toEqual([]);
  });

  test("can be frozen while it is empty", async () => {
    const bench = await started(0);
    expect((await freeze(bench)).head.size).toBe(0n);
    await bench.restart();
    await expect(bench.append(entry(0))).toFailWith("log-frozen");
    expect(await bench.fsck()).toEqual([]);
  });

  test("keeps every promise of a stream that it is frozen in", async () => {
    const bench = await started(1);
    let number = 100;
    let refused = 0;
    const stream = Array.from({ length: 8 }, async () => {
      while (refused === 0) await bench.append(entry(number++)).catch(() => refused++);
    });
    await expect.poll(() => bench.promised.length).toBeGreaterThan(50);
    const frozen = await freeze(bench);
    await Promise.all(stream);
    expect(refused).toBeGreaterThan(0);
    expect(frozen.head.size).toBe(BigInt(bench.promised.length));
    await bench.check();
    expect(await bench.fsck()).toEqual([]);
  });

  test("is frozen by operators alone", async () => {
    const bench = await started(1);
    for (const asker of ["rekor", "ct", "http", "test"]) {
      await expect(bench.ask(freezeLog, { log: "one" }, asker)).toFailWith("access-denied");
    }
    await expect(bench.ask(freezeLog, { log: "two" }, "operator")).toFailWith("not-found");
    await bench.append(entry(1));
    await bench.stop();
  });
});

test("a store whose frozen log holds another tree is refused at the start", async () => {
  const driver = memoryStorage();
  const bench = new LogBench("rekor-v2", driver);
  await bench.start();
  await bench.append(body(0));
  await bench.ask(freezeLog, { log: "one" }, "operator");
  await bench.stop();
  const other = new LogBench("rekor-v2");
  await other.start();
  await other.append(body(0));
  await other.append(body(1));
  await other.stop();
  // The row of the one in the store of the other.
  await using reader = await driver.openReader("log-one");
  const key = new TextEncoder().encode("frozen");
  const row = await reader.get("state", key);
  const logs = [{ name: "one", format: "rekor-v2", key: "key" }];
  const [found] = partitionsOf([log.manifest], new Map([["log", { logs }]]));
  if (!found) throw new Error("a log has a partition");
  {
    await using partition = await other.driver.open("log-one", found.shape);
    await partition.commit({ writes: [{ table: "state", key, value: row }] });
  }
  await expect(other.start()).rejects.toThrow("was frozen with 1 entries and holds 2");
});

test("a refusal says why", async () => {
  const bench = new LogBench("rekor-v1");
  await bench.start();
  await bench.ask(freezeLog, { log: "one" }, "operator");
  await expect(bench.ask(appendEntry, { log: "one", entry: body(0) }, "rekor")).rejects.toThrow(
    'log "one" is frozen and takes nothing more',
  );
  await bench.stop();
});
