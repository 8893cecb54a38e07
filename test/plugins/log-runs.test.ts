/** Entries in runs: whatever was appended is read again, by place and by batch, across restarts; what is damaged is refused. */
import { expect, test as it } from "vitest";
import { encodeUtf8, uintBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { numberKey, tables } from "../../plugins/log/rows.ts";
import {
  decodeRun,
  entriesBeyond,
  NewestRun,
  newestRows,
  readPlaced,
} from "../../plugins/log/runs.ts";
import { fc, test } from "../support/fixed-draws.ts";
import { memoryStorage } from "../support/memory-storage.ts";

const shape = { tables: Object.values(tables), streams: [] };
const empty = { size: 0n, integratedAtMs: 0n };

const entry = fc.record({
  length: fc.oneof(fc.nat(300), fc.nat(5_000), fc.nat(65_535)),
  extra: fc.oneof(fc.constant(0), fc.nat(3_000)),
  laterMs: fc.oneof(fc.constant(0), fc.nat(10_000)),
});
/** After each batch, whether the log is started again. */
const batch = fc.record({
  entries: fc.array(entry, { minLength: 1, maxLength: 30 }),
  restart: fc.boolean(),
});

test.prop([fc.array(batch, { minLength: 1, maxLength: 8 })], { numRuns: 40 })(
  "what was appended is read again",
  async (batches) => {
    await using storage = memoryStorage();
    await storage.create("log", shape);
    await using partition = await storage.open("log", shape);
    const all: {
      index: bigint;
      entry: Uint8Array;
      extraData: Uint8Array;
      integratedAtMs: bigint;
    }[] = [];
    let run = NewestRun.of([], empty);
    let atMs = 1_700_000_000_000;
    for (const { entries, restart } of batches) {
      for (const { length, extra, laterMs } of entries) {
        atMs += laterMs;
        const fill = all.length % 251;
        const placed = {
          index: BigInt(all.length),
          entry: new Uint8Array(length).fill(fill),
          extraData: new Uint8Array(extra).fill(fill ^ 255),
          integratedAtMs: BigInt(atMs),
        };
        run.append(placed);
        all.push(placed);
      }
      await partition.commit({ writes: run.takeWrites() });
      expect(run.takeWrites()).toEqual([]);
      const end = { size: BigInt(all.length), integratedAtMs: BigInt(atMs) };
      if (restart) run = NewestRun.of(await newestRows(partition), end);
    }
    expect(await readPlaced(partition, 0n, all.length + 5)).toEqual(all);
    for (let at = 0; at < all.length; at += 7) {
      expect(await readPlaced(partition, BigInt(at), 3)).toEqual(all.slice(at, at + 3));
    }
    expect(await readPlaced(partition, BigInt(all.length), 1)).toEqual([]);
    // No row is larger than what a storage takes, nor are they many.
    const rows = await partition.scan(tables.entries, { limit: 10_000 });
    expect(Math.max(...rows.map(({ value }) => value.length))).toBeLessThan(256 * 1024);
  },
);

function filledRun(): { key: Uint8Array; value: Uint8Array } {
  const run = NewestRun.of([], empty);
  for (let index = 5n; index < 8n; index++) {
    const entryOf = encodeUtf8(`entry ${index}`);
    run.append({ index, entry: entryOf, extraData: new Uint8Array(2), integratedAtMs: index });
  }
  const [row] = run.takeWrites();
  return { key: row?.key ?? new Uint8Array(), value: row?.value ?? new Uint8Array() };
}

const smallEntry = (at: number) => ({
  index: BigInt(at),
  entry: new Uint8Array(600).fill(at % 251),
  extraData: new Uint8Array(20).fill(at % 13),
  integratedAtMs: BigInt(1_000 + 3 * at),
});

it("one entry after the other is a piece each, until they fill a run; a restart changes nothing of that", async () => {
  const stored = async (restarts: boolean) => {
    const storage = memoryStorage();
    await storage.create("log", shape);
    const partition = await storage.open("log", shape);
    let run = NewestRun.of([], empty);
    const bytes: number[] = [];
    for (let at = 0; at < 200; at++) {
      const placed = smallEntry(at);
      run.append(placed);
      const writes = run.takeWrites();
      bytes.push(writes.reduce((sum, { value }) => sum + (value?.length ?? 0), 0));
      await partition.commit({ writes });
      const end = { size: BigInt(at + 1), integratedAtMs: placed.integratedAtMs };
      if (restarts) run = NewestRun.of(await newestRows(partition), end);
    }
    expect(await readPlaced(partition, 0n, 300)).toEqual(
      Array.from({ length: 200 }, (_, at) => smallEntry(at)),
    );
    return { bytes, rows: await partition.scan(tables.entries, { limit: 300 }) };
  };
  const { bytes, rows } = await stored(false);
  expect((await stored(true)).rows).toEqual(rows);
  const full = rows.filter(({ value }) => value.length > 30_000);
  expect(full.length).toBeGreaterThan(2);
  expect(bytes.filter((written) => written > 700).length).toBe(full.length);
  // Nothing is kept twice.
  const kept = rows.reduce((sum, { value }) => sum + value.length, 0);
  expect(kept).toBeLessThan(200 * (620 + 6 + 9));
});

it("a batch that adds much puts the whole run into one row", () => {
  const run = NewestRun.of([], empty);
  const sizes = [1, 1, 1, 7, 1].map((count, round) => {
    for (let n = 0; n < count; n++)
      run.append(smallEntry(round === 4 ? 10 : Math.min(round, 3) + n));
    return run
      .takeWrites()
      .map(({ value }) =>
        value === null ? "gone" : decodeRun({ key: numberKey(0n), value }).length,
      );
  });
  expect(sizes).toEqual([[1], [1], [1], [10, "gone", "gone"], [1]]);
});

it("a reader between whose looks pieces have become a run misses none of them", async () => {
  await using storage = memoryStorage();
  await storage.create("log", shape);
  await using partition = await storage.open("log", shape);
  const run = NewestRun.of([], empty);
  for (let at = 0; at < 40; at++) {
    run.append(smallEntry(at));
    await partition.commit({ writes: run.takeWrites() });
  }
  let looks = 0;
  const racing = {
    scan: async (...question: Parameters<typeof partition.scan>) => {
      const rows = await partition.scan(...question);
      if (++looks === 2) {
        for (let at = 40; at < 60; at++) run.append(smallEntry(at));
        await partition.commit({ writes: run.takeWrites() });
      }
      return rows;
    },
  };
  const read = await readPlaced(racing, 0n, 60);
  expect(looks).toBeGreaterThan(2);
  expect(read).toEqual(Array.from({ length: 60 }, (_, at) => smallEntry(at)));
});

it("goes on only with pieces that follow on one another", async () => {
  const run = NewestRun.of([], empty);
  const rows = [0, 1, 2].flatMap((at) => {
    run.append(smallEntry(at));
    return run.takeWrites().map(({ key, value }) => ({ key, value: value ?? key }));
  });
  const added = (from: readonly { key: Uint8Array; value: Uint8Array }[]) => {
    const again = NewestRun.of(from, { size: 3n, integratedAtMs: 1_006n });
    // More than a piece may have: the whole run is written, and shows where it begins.
    for (let at = 3; at < 11; at++) again.append(smallEntry(at));
    return again.takeWrites().map(({ key, value }) => [key.at(-1), value === null]);
  };
  const [first, second, third] = rows;
  if (!first || !second || !third) throw new Error("not three pieces");
  expect(added([first, second, third])).toEqual([
    [0, false],
    [1, true],
    [2, true],
  ]);
  expect(added([first, third])).toEqual([[2, false]]);
  const later = { ...second, value: second.value.with(9, 5) };
  expect(added([first, later, third])).toEqual([[2, false]]);
});

it("refuses a run that is cut short anywhere, or of a version it does not know", () => {
  const { key, value } = filledRun();
  expect(decodeRun({ key, value }).map(({ index }) => index)).toEqual([5n, 6n, 7n]);
  const ends = new Set([0, 1, 2, 3].map((n) => 9 + n * 12));
  for (let length = 0; length < value.length; length++) {
    // Between two entries nothing shows: that one is missing, its index tells.
    if (length > 9 && ends.has(length)) continue;
    expect(() => decodeRun({ key, value: value.subarray(0, length) })).toThrow(Malformed);
  }
  expect(() => decodeRun({ key, value: value.with(0, 2) })).toThrow(Malformed);
  const endless = Uint8Array.of(...value.subarray(0, 9), ...new Uint8Array(20).fill(255));
  expect(() => decodeRun({ key, value: endless })).toThrow(Malformed);
});

it("reads the rows of an earlier release, among its own, and stops at a gap", async () => {
  await using storage = memoryStorage();
  await storage.create("log", shape);
  await using partition = await storage.open("log", shape);
  const old = (text: string) =>
    Uint8Array.of(...uintBytes(9, 8), ...uintBytes(text.length, 4), ...encodeUtf8(`${text}chain`));
  const { key, value } = filledRun();
  const writes = [3n, 4n, 9n].map((index) => ({
    table: tables.entries,
    key: numberKey(index),
    value: old(`old ${index}`),
  }));
  await partition.commit({ writes: [...writes, { table: tables.entries, key, value }] });
  const read = await readPlaced(partition, 3n, 20);
  expect(read.map(({ index }) => index)).toEqual([3n, 4n, 5n, 6n, 7n]);
  expect(read[0]).toEqual({
    index: 3n,
    entry: encodeUtf8("old 3"),
    extraData: encodeUtf8("chain"),
    integratedAtMs: 9n,
  });
  expect(await readPlaced(partition, 8n, 1)).toEqual([]);
  expect(await readPlaced(partition, 2n, 1)).toEqual([]);
  // Nothing is added to what an earlier release has written.
  const end = { size: 10n, integratedAtMs: 9n };
  expect(NewestRun.of(await newestRows(partition), end).takeWrites()).toEqual([]);
});

it("goes on only with a row that ends where the log does", () => {
  const old = Uint8Array.of(...uintBytes(7, 8), ...uintBytes(3, 4), ...encodeUtf8("old"));
  const full = NewestRun.of([], empty);
  const entryOf = new Uint8Array(128 * 1024);
  const extraData = new Uint8Array();
  full.append({ index: 7n, entry: entryOf, extraData, integratedAtMs: 7n });
  const rows = [
    filledRun(),
    { key: numberKey(7n), value: old },
    ...full.takeWrites().map(({ key, value }) => ({ key, value: value ?? new Uint8Array() })),
  ];
  for (const row of rows) {
    const from = (size: bigint, integratedAtMs: bigint) =>
      NewestRun.of([row], { size, integratedAtMs });
    expect(from(8n, 7n).takeWrites()).toEqual([]);
    for (const [size, time] of [
      [7n, 7n],
      [9n, 7n],
      [0n, 0n],
      [8n, 6n],
      [8n, 8n],
    ] as const) {
      expect(() => from(size, time)).toThrow(Malformed);
    }
  }
  expect(() => NewestRun.of([], { size: 1n, integratedAtMs: 0n })).toThrow(Malformed);
});

it("tells a run that goes on behind the end, also one that cannot be read", () => {
  const row = filledRun();
  expect(entriesBeyond(undefined, 0n)).toBeNull();
  expect(entriesBeyond(row, 8n)).toBeNull();
  expect(entriesBeyond(row, 7n)).toContain("entries from 7 on, but the log has 7");
  const unreadable = { key: row.key, value: new Uint8Array(1).fill(9) };
  expect(entriesBeyond(unreadable, 5n)).toContain("entries from 5 on, but the log has 5");
});

it("refuses an entry that is older than the one before it, and takes none of it", () => {
  const run = NewestRun.of([], empty);
  const extraData = new Uint8Array();
  const placed = (index: bigint, integratedAtMs: bigint) => ({
    index,
    entry: encodeUtf8(`entry ${index}`),
    extraData,
    integratedAtMs,
  });
  run.append(placed(0n, 1_000n));
  expect(() => run.append(placed(1n, 999n))).toThrow(Malformed);
  run.append(placed(1n, 1_000n));
  const rows = run
    .takeWrites()
    .flatMap(({ key, value }) => decodeRun({ key, value: value ?? key }));
  expect(rows).toEqual([placed(0n, 1_000n), placed(1n, 1_000n)]);
});
