import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import "../support/matchers.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { decodeEntryBundle } from "../../core/formats/tile.ts";
import {
  appendEntry,
  findLeaf,
  latestHead,
  proveConsistency,
  proveInclusion,
  readEntries,
  readTile,
} from "../../events/log.ts";
import { fsckLogs } from "../../plugins/log/commands.ts";
import { sqliteDriver } from "../../plugins/storage/sqlite.ts";
import { leafOf } from "../formats/naive-merkle.ts";
import { body, LogBench, precertificate } from "./log-fixture.ts";

const formats = ["rfc6962", "rekor-v1", "rekor-v2"] as const;

async function started(format: (typeof formats)[number]): Promise<LogBench> {
  const bench = new LogBench(format);
  await bench.start();
  return bench;
}

test.for(formats)("%s: an empty log has a signed head of size 0", async (format) => {
  const bench = await started(format);
  const { head } = await bench.ask(latestHead, { log: "one" });
  expect(head.size).toBe(0n);
  bench.checkHead(head);
  await bench.restart();
  await bench.check();
  expect(await bench.fsck()).toEqual([]);
});

test.for(formats)("%s: appends, promises and proves, one by one and together", async (format) => {
  const bench = await started(format);
  const entry = format === "rfc6962" ? precertificate : body;
  for (let n = 0; n < 5; n++) {
    const answer = await bench.append(entry(n));
    expect(answer.index).toBe(BigInt(n));
    expect(answer.known).toBe(false);
    await bench.check();
  }
  const together = await Promise.all(
    Array.from({ length: 40 }, async (_, n) => await bench.append(entry(5 + n))),
  );
  expect(together.map(({ index }) => index)).toEqual(together.map((_, n) => BigInt(5 + n)));
  await bench.check();
  await bench.restart();
  await bench.check();
  expect(await bench.fsck()).toEqual([]);
});

test.for(formats)(
  "%s: the same entry again has the same index, time and promise",
  async (format) => {
    const bench = await started(format);
    const entry = format === "rfc6962" ? precertificate : body;
    const [a, b] = await Promise.all([bench.append(entry(1)), bench.append(entry(1))]);
    const later = await bench.append(entry(1));
    await bench.restart();
    const after = await bench.append(entry(1));
    for (const again of [b, later, after]) {
      const { index, integratedAtMs, promise, leafHash } = a;
      expect(again).toMatchObject({ index, integratedAtMs, leafHash, known: true });
      expect(again?.promise).toEqual(promise);
    }
    expect(a.known).toBe(false);
    expect((await bench.ask(latestHead, { log: "one" })).head.size).toBe(1n);
    await bench.check();
    expect(await bench.fsck()).toEqual([]);
  },
);

test("tiles, bundles and proofs are right around the boundary of a tile", async () => {
  const bench = await started("rekor-v1");
  let n = 0;
  for (const size of [254, 255, 256, 257, 300, 511, 512, 513]) {
    const missing = Array.from({ length: size - n }, () => body(n++));
    await Promise.all(missing.map(async (entry) => await bench.append(entry)));
    await bench.check();
    const width = ((size - 1) % 256) + 1;
    const index = BigInt(Math.floor((size - 1) / 256));
    const bundle = await bench.ask(readTile, { log: "one", level: "entries", index, width });
    const hashes = await bench.ask(readTile, { log: "one", level: 0, index, width });
    const leaves = decodeEntryBundle(bundle.tile).map(leafOf);
    expect(Buffer.concat(leaves).equals(hashes.tile)).toBe(true);
    const beyond = { log: "one", level: 0, index, width: width + 1 };
    if (width < 256) await expect(bench.ask(readTile, beyond)).toFailWith("not-found");
    for (const level of [1, 2]) {
      const full = Math.floor(size / 256 ** level);
      const tile = { log: "one", level, index: 0n };
      if (full > 0) {
        const { tile: bytes } = await bench.ask(readTile, { ...tile, width: full });
        expect(bytes.length).toBe(32 * full);
      }
      await expect(bench.ask(readTile, { ...tile, width: full + 1 })).toFailWith("not-found");
    }
  }
  await bench.restart();
  await bench.check();
  expect(await bench.fsck()).toEqual([]);
});

test("all asks of one publication travel in one tick, and its head rides in the next commit", async () => {
  const bench = await started("rekor-v1");
  bench.vault.asks = [];
  await bench.append(body(1));
  expect(bench.vault.asks).toEqual(["checkpoint", "signedEntryTimestamps"]);
});

test("refuses what is beyond the tree and what is not there", async () => {
  const bench = await started("rekor-v1");
  await bench.append(body(1));
  const log = "one";
  await expect(bench.ask(proveInclusion, { log, index: 1n, size: 1n })).toFailWith("out-of-range");
  await expect(bench.ask(proveInclusion, { log, index: 0n, size: 2n })).toFailWith("out-of-range");
  await expect(bench.ask(proveConsistency, { log, first: 1n, second: 2n })).toFailWith(
    "out-of-range",
  );
  await expect(bench.ask(proveConsistency, { log, first: 1n, second: 0n })).toFailWith(
    "out-of-range",
  );
  await expect(bench.ask(findLeaf, { log, leafHash: new Uint8Array(32) })).toFailWith("not-found");
  await expect(bench.ask(latestHead, { log: "two" })).toFailWith("not-found");
  expect(await bench.ask(readEntries, { log, from: 1n, limit: 5 })).toEqual({ entries: [] });
  await bench.check();
});

test("refuses a candidate of another log's kind and one no bundle can hold", async () => {
  const bench = await started("rekor-v1");
  const ask = async (entry: Parameters<LogBench["append"]>[0]) =>
    await bench.ask(appendEntry, { log: "one", entry });
  await expect(ask(precertificate(1))).toFailWith("malformed");
  await expect(ask({ kind: "body", body: new Uint8Array(65_536) })).toFailWith("malformed");
  await bench.append({ kind: "body", body: new Uint8Array(65_535) });
  await bench.check();
});

test("gives entries no time before the newest one, and says why it waits", async () => {
  let nowMs = Date.UTC(2026, 0, 1);
  const bench = new LogBench("rfc6962");
  bench.clock = { now: () => new Date(nowMs) };
  await bench.start();
  await bench.append(precertificate(1));
  nowMs -= 60_000;
  await expect(bench.append(precertificate(2))).toFailWith("log-unavailable");
  nowMs += 60_001;
  const answer = await bench.append(precertificate(3));
  expect(answer.integratedAtMs).toBe(BigInt(nowMs));
  expect(answer.index).toBe(1n);
  await bench.check();
  expect(await bench.fsck()).toEqual([]);
});

test.for([
  ["an hour ahead", 3_600_000],
  ["a second and a bit ahead", 1_001],
  ["a minute back", -60_000],
] as const)("gives no time while the clock was set %s under it", async ([, byMs]) => {
  const bench = new LogBench("rfc6962");
  let setMs = 0;
  const startMs = Date.UTC(2026, 0, 1);
  // Both stand still but for what is set: between two readings of clocks that run, a busy machine lets time pass.
  const steadyMs = () => 0;
  bench.clock = { now: () => new Date(startMs + setMs), steadyMs };
  await bench.start();
  await bench.append(precertificate(1));
  setMs = byMs;
  await expect(bench.append(precertificate(2))).toFailWith("log-unavailable");
  setMs = 0;
  const { integratedAtMs, index } = await bench.append(precertificate(3));
  expect(integratedAtMs).toBe(BigInt(startMs));
  expect(index).toBe(1n);
  await bench.check();
  expect(await bench.fsck()).toEqual([]);
});

test("goes on when the clock was put right after a start with a wrong one, and an operator says so", async () => {
  const bench = new LogBench("rfc6962");
  let setMs = -3_600_000;
  let said: string | null = null;
  const startMs = Date.UTC(2026, 0, 1);
  const now = () => new Date(startMs + setMs);
  bench.clock = { now, steadyMs: () => 0, confirmation: () => said };
  await bench.start();
  await bench.append(precertificate(1));
  setMs = 0;
  await expect(bench.append(precertificate(2))).toFailWith("log-unavailable");
  said = "that it is right";
  const { integratedAtMs, index } = await bench.append(precertificate(2));
  expect([integratedAtMs, index]).toEqual([BigInt(startMs), 1n]);
  await bench.check();
  expect(await bench.fsck()).toEqual([]);
});

test("takes a clock that was set by less than a second as it is", async () => {
  const bench = new LogBench("rfc6962");
  let setMs = 0;
  bench.clock = { now: () => new Date(Date.UTC(2026, 0, 1) + setMs), steadyMs: () => 0 };
  await bench.start();
  setMs = 950;
  await bench.append(precertificate(1));
  await bench.check();
  await bench.stop();
});

test("does not start with a clock before its newest entry", async () => {
  let nowMs = Date.UTC(2026, 0, 1);
  const bench = new LogBench("rekor-v1");
  bench.clock = { now: () => new Date(nowMs) };
  await bench.start();
  await bench.append(body(1));
  await bench.stop();
  nowMs -= 60_000;
  await expect(bench.start()).rejects.toThrow(/the clock stands before the newest entry/);
  nowMs += 60_000;
  await bench.start();
  await bench.append(body(2));
  await bench.check();
  await bench.stop();
});

test("pushes back when the pool is full, and loses nothing it has taken", async () => {
  const bench = await started("rekor-v2");
  const answers = Array.from({ length: 4_500 }, async (_, n) => await bench.append(body(n)));
  const outcomes = await Promise.allSettled(answers);
  const refused = outcomes.flatMap((o) => (o.status === "rejected" ? [o.reason as Error] : []));
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]).toMatchObject({ code: "overloaded" });
  expect(bench.promised.length).toBe(4_500 - refused.length);
  const { head } = await bench.ask(latestHead, { log: "one" });
  expect(head.size).toBe(BigInt(bench.promised.length));
  expect(await bench.fsck()).toEqual([]);
});

test("refuses to start without its partition", async () => {
  const bench = new LogBench("rekor-v1");
  bench.storage = { ...bench.driver, create: async () => undefined };
  await expect(bench.start()).rejects.toThrow(/log-one/);
});

test("does not take an entry's text for another's", async () => {
  const bench = await started("rfc6962");
  const certificate = encodeUtf8("certificate 1");
  const a = await bench.append(precertificate(1));
  const b = await bench.append({ kind: "certificate", certificate, extraData: new Uint8Array() });
  expect([a.index, b.index]).toEqual([0n, 1n]);
  await bench.check();
});

test("a page of large entries ends where a message would", async () => {
  const bench = await started("rekor-v1");
  const large = Array.from({ length: 80 }, (_, n) => new Uint8Array(65_000).fill(n));
  await Promise.all(large.map(async (one) => await bench.append({ kind: "body", body: one })));
  const page = await bench.ask(readEntries, { log: "one", from: 0n, limit: 1_000 });
  expect(page.entries.length).toBe(64);
  await bench.check();
});

test("fsck reads beside a log that runs", async () => {
  const directory = mkdtempSync(join(tmpdir(), "chancery-log-"));
  try {
    const bench = new LogBench("rfc6962", sqliteDriver({ directory }));
    await bench.start();
    const writing = Promise.all(
      Array.from({ length: 300 }, async (_, n) => await bench.append(precertificate(n))),
    );
    const beside = sqliteDriver({ directory });
    const findings = await fsckLogs({
      openReader: async (name) => await beside.openReader(`log-${name}`),
      logs: [
        {
          name: "one",
          format: "rfc6962",
          publicKey: bench.vault.publicKey,
          origin: "localhost",
        },
      ],
      lastSigned: async () => bench.vault.last,
    });
    expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
    await writing;
    await bench.check();
    expect(await bench.fsck()).toEqual([]);
    await beside[Symbol.asyncDispose]();
    await bench.driver[Symbol.asyncDispose]();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
