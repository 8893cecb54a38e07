/** What a log has stored is changed behind its back: it is found, never answered with, and never signed over. */
import { describe, expect, test } from "vitest";
import "../support/matchers.ts";
import { findLeaf } from "../../events/log.ts";
import { intentKey, layoutKey, numberKey, tables, tileKey } from "../../plugins/log/rows.ts";
import { repairLog } from "../../plugins/log/commands.ts";
import { lastRun } from "../../plugins/log/runs.ts";
import { body, LogBench, precertificate } from "./log-fixture.ts";

test.for([
  ["rekor-v1", tables.tiles, tileKey(0, 0n), 32],
  ["rfc6962", tables.antispam, numberKey(0n), 6],
] as const)(
  "never answers with an entry that a changed index names: %s",
  async ([format, table, key, length]) => {
    const bench = new LogBench(format);
    const entry = format === "rfc6962" ? precertificate : body;
    await bench.start();
    const first = await bench.append(entry(0));
    await appendUpTo(bench, entry, 512);
    await bench.stop();
    // The first two change places.
    await damage(bench, table, key, (row) =>
      Uint8Array.from([
        ...row.subarray(length, 2 * length),
        ...row.subarray(0, length),
        ...row.subarray(2 * length),
      ]),
    );
    if (format === "rekor-v1") {
      await expect(bench.start()).rejects.toThrow(/damaged/);
      return;
    }
    await bench.start();
    // At worst an entry that is known is taken for a new one, which loses nothing.
    expect(await bench.append(entry(0))).toMatchObject({ index: 512n, known: false });
    expect(await bench.append(entry(0))).toMatchObject({ index: 512n, known: true });
    expect(await bench.append(entry(2))).toMatchObject({ index: 2n, known: true });
    expect(await bench.ask(findLeaf, { log: "one", leafHash: first.leafHash })).toEqual({
      index: 0n,
    });
    await bench.check();
  },
);

/** Fills a log up to a size. */
async function appendUpTo(
  bench: LogBench,
  entry: typeof body,
  size: number,
  from = 1,
): Promise<void> {
  const names = Array.from({ length: size - from }, (_, n) => from + n);
  await Promise.all(names.map(async (n) => await bench.append(entry(n))));
}

test("a store that is laid out as by an earlier release refuses, and says what to do", async () => {
  const bench = new LogBench("rekor-v1");
  await bench.start();
  await bench.append(body(0));
  await bench.stop();
  await damage(bench, tables.state, layoutKey, () => null);
  await expect(bench.start()).rejects.toThrow(/earlier release.*chancery log repair one/);
  expect((await bench.fsck()).map(({ text }) => text).join()).toMatch(/chancery log repair one/);
});

const shape = {
  tables: [...Object.values(tables), "cursors"],
  streams: ["facts"],
};

/** Changes one row behind the log's back. */
async function damage(
  bench: LogBench,
  table: string,
  key: Uint8Array,
  change: (value: Uint8Array) => Uint8Array | null,
): Promise<void> {
  await using partition = await bench.driver.open("log-one", shape);
  const value = await partition.get(table, key);
  expect(value).not.toBeNull();
  await partition.commit({ writes: [{ table, key, value: change(value ?? new Uint8Array()) }] });
}

async function repair(bench: LogBench): Promise<void> {
  await using partition = await bench.driver.open("log-one", shape);
  await repairLog({ partition, format: bench.format, signed: bench.vault.last });
}

const flip = (value: Uint8Array) =>
  value.map((byte, at) => (at === value.length - 1 ? byte ^ 1 : byte));

test.for([
  ["an entry", 3, tables.entries, numberKey(0n), flip],
  ["entries that are gone", 3, tables.entries, numberKey(0n), () => null],
  ["a tile", 515, tables.tiles, tileKey(0, 0n), flip],
  ["a tile that is gone", 515, tables.tiles, tileKey(0, 0n), () => null],
  [
    "a tile cut short",
    515,
    tables.tiles,
    tileKey(0, 0n),
    (value: Uint8Array) => value.subarray(32),
  ],
  ["the intent's time", 3, tables.state, intentKey, flip],
  [
    "the intent's root",
    3,
    tables.state,
    intentKey,
    (value: Uint8Array) => value.map((byte, at) => (at === 9 ? byte ^ 1 : byte)),
  ],
  ["the head", 3, tables.heads, numberKey(3n), flip],
  ["the promises", 3, tables.promises, numberKey(2n), flip],
] as const)("finds damage to %s", async ([what, size, table, key, change]) => {
  const bench = new LogBench("rekor-v1");
  await bench.start();
  for (let n = 0; n < 3; n++) await bench.append(body(n));
  await appendUpTo(bench, body, size, 3);
  expect(await bench.fsck()).toEqual([]);
  await damage(bench, table, key, change);
  const findings = await bench.fsck();
  expect(findings.filter(({ severity }) => severity === "error").length).toBeGreaterThan(0);
  // What the right edge, the head and the intent do not commit to is found by fsck alone.
  if (what === "the promises") return;
  await expect(bench.start()).rejects.toThrow(
    /damaged.*; if its entries are whole, `chancery log repair one` makes the rest anew/,
  );
  if (table !== tables.tiles) return;
  await repair(bench);
  await bench.start();
  await bench.check();
  await bench.stop();
});

test.for([flip, () => null, (row: Uint8Array) => row.subarray(6)])(
  "fsck finds the antispam index damaged or incomplete, and the log makes good what is missing",
  async (change) => {
    const bench = new LogBench("rfc6962");
    await bench.start();
    await appendUpTo(bench, precertificate, 515, 0);
    await bench.stop();
    await damage(bench, tables.antispam, numberKey(0n), change);
    expect((await bench.fsck()).map(({ severity }) => severity)).toEqual(["error"]);
    await bench.start();
    expect(await bench.append(precertificate(7))).toMatchObject({ index: 7n, known: true });
    await bench.stop();
  },
);

async function newestRun(bench: LogBench) {
  await using reader = await bench.driver.openReader("log-one");
  const row = await lastRun(reader);
  if (row === undefined) throw new Error("no run");
  return row;
}

async function rowsFrom(bench: LogBench, from: Uint8Array) {
  await using reader = await bench.driver.openReader("log-one");
  return await reader.scan(tables.entries, { from, limit: 100 });
}

const put = async (bench: LogBench, key: Uint8Array, value: Uint8Array | null) => {
  await using partition = await bench.driver.open("log-one", shape);
  await partition.commit({ writes: [{ table: tables.entries, key, value }] });
};

describe("the newest run", () => {
  test("one that is as it was before the last commits is not gone on with, whatever the size", async () => {
    const bench = new LogBench("rekor-v2");
    await bench.start();
    await appendUpTo(bench, body, 500, 0);
    await bench.stop();
    const stale = await newestRun(bench);
    await bench.start();
    await appendUpTo(bench, body, 512, 500);
    await bench.stop();
    const since = await rowsFrom(bench, stale.key);
    for (const { key } of since) await put(bench, key, null);
    await put(bench, stale.key, stale.value);
    await expect(bench.start()).rejects.toThrow(/newest run does not end/);
    await put(bench, stale.key, null);
    await expect(bench.start()).rejects.toThrow(/damaged/);
    for (const { key, value } of since) await put(bench, key, value);
    await bench.start();
    expect((await bench.append(body(512))).index).toBe(512n);
    await bench.stop();
  });

  test("one behind the end is not gone on with, and fsck and repair name it", async () => {
    const bench = new LogBench("rekor-v2");
    await bench.start();
    await appendUpTo(bench, body, 5, 0);
    await bench.stop();
    const { value } = await newestRun(bench);
    await put(bench, numberKey(5_000n), value);
    await expect(bench.start()).rejects.toThrow(/newest run does not end/);
    const found = (await bench.fsck()).map(({ text }) => text);
    expect(found).toEqual(["there are entries from 5000 on, but the log has 5"]);
    await expect(repair(bench)).rejects.toThrow(/entries from 5000 on/);
  });

  test.for(["rekor-v1", "rfc6962"] as const)("of another time is refused: %s", async (format) => {
    const bench = new LogBench(format);
    await bench.start();
    await appendUpTo(bench, format === "rfc6962" ? precertificate : body, 5, 0);
    await bench.stop();
    const { key, value } = await newestRun(bench);
    for (const byte of [2, 4, 8]) {
      await put(bench, key, value.with(byte, (value[byte] ?? 0) ^ 16));
      await expect(bench.start()).rejects.toThrow(/newest run does not end/);
    }
    await put(bench, key, value);
    await bench.start();
    await bench.stop();
  });
});
