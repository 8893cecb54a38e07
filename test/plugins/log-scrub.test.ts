/** A running log reads what it has stored again, names what is wrong with it, and keeps a reserve of the disk. */
import { describe, expect, test } from "vitest";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Partition, Reader, StorageDriver } from "../../core/storage.ts";
import { latestHead, readTile } from "../../events/log.ts";
import { isShort, Reserve } from "../../plugins/log/reserve.ts";
import { numberKey, tables, tileKey } from "../../plugins/log/rows.ts";
import { Scrubber, scrubTile } from "../../plugins/log/scrubber.ts";
import { silentJournal } from "../support/boot.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import "../support/matchers.ts";
import { at, benches, filled, formats, type Place } from "./log-damage.ts";
import { body, LogBench } from "./log-fixture.ts";

const tilesGone = ["tile 0/0 ", "tile 0/1 "];
const placesOf = (format: (typeof formats)[number]): readonly Damaged[] => [
  [
    at(tables.entries, numberKey(0n)),
    "entry",
    // The last of them came in a small batch, and lie in another row.
    ["entry 0 ", "entry 256 "],
  ],
  [at(tables.tiles, tileKey(0, 0n)), "tile", tilesGone],
  ...(format === "rfc6962"
    ? ([
        [
          at(tables.antispam, numberKey(0n)),
          "index",
          [0, 256].map((n) => `the index does not lead to entry ${n} and`),
        ],
      ] as const)
    : []),
];
type Damaged = readonly [Place, string, readonly string[]];
/** What a log reads, with rows that are changed or gone. */
function overlay(reader: Reader) {
  const damaged = new Map<string, Uint8Array | null>();
  const read = (table: string, key: Uint8Array) => damaged.get(`${table} ${key.toHex()}`);
  const store = {
    async get(table: string, key: Uint8Array) {
      const changed = read(table, key);
      return changed === undefined ? await reader.get(table, key) : changed;
    },
    async scan(table: string, range: Parameters<Reader["scan"]>[1]) {
      const rows = await reader.scan(table, range);
      return rows.flatMap(({ key, value }) => {
        const changed = read(table, key);
        return changed === null ? [] : [{ key, value: changed ?? value }];
      });
    },
  };
  return { damaged, store };
}

test.for(formats)(
  "%s: the scrubber names what is wrong while the log runs, until it is right again",
  async (format) => {
    const bench = await filled(format, 600);
    const reader = await bench.driver.openReader("log-one");
    const { damaged, store } = overlay(reader);
    const head = (await bench.ask(latestHead, { log: "one" })).head;
    const log = {
      head: () => head,
      tile: async (level: "entries" | number, index: bigint, width: number) =>
        (await bench.ask(readTile, { log: "one", level, index, width })).tile,
    };
    const scrubbed = { name: "one", format, log, store };
    const told: object[] = [];
    await using scrubber = new Scrubber({
      logs: async () => [scrubbed],
      entriesPerSecond: 0,
      clock: { now: () => new Date(0) },
      journal: { ...silentJournal, error: (_event, fields) => void told.push(fields ?? {}) },
    });
    const pass = async () => [await scrubber.step(), await scrubber.step(), await scrubber.step()];
    expect(await pass()).toEqual([256, 256, 88]);
    expect([scrubber.trouble, scrubber.damages()]).toEqual([null, []]);

    for (const [{ table, key }, kind, all] of placesOf(format)) {
      const row = await key(reader);
      for (const value of [null, new Uint8Array(8)]) {
        told.length = 0;
        damaged.set(`${table} ${row.toHex()}`, value);
        await pass();
        await pass();
        expect(scrubber.damages()).toEqual(
          all.map((what) => ({ log: "one", kind, what: expect.stringContaining(what) })),
        );
        // Told once, however often it is seen.
        expect(told).toHaveLength(all.length);
        expect(scrubber.trouble).toContain(
          kind === "entry" ? "replica or backup" : "log repair one",
        );
        const gauge = scrubber.metrics().find(({ name }) => name === "chancery_log_damages");
        expect(gauge?.values.filter(({ value }) => value > 0)).toEqual([
          { labels: { kind }, value: all.length },
        ]);
        damaged.clear();
        await pass();
        expect(scrubber.trouble).toBeNull();
      }
    }
    expect(await scrubTile(scrubbed, 10n)).toEqual([]);
    // One byte of many: what it belongs to is named.
    const changed = async (table: string, byte: number) => {
      const row = (await reader.get(table, numberKey(0n))) ?? new Uint8Array();
      damaged.set(`${table} ${numberKey(0n).toHex()}`, row.with(byte, (row[byte] ?? 0) ^ 1));
      return (await scrubTile(scrubbed, 0n)).map(({ what }) => what);
    };
    expect(await changed(tables.entries, 12 + 4)).toEqual(["entry 0 is not what the tree holds"]);
    damaged.clear();
    if (format === "rfc6962") {
      const found = await changed(tables.antispam, 9 * 6);
      expect(found).toEqual(["the index does not lead to entry 9"]);
    }
  },
);

test("an entry that is malformed and has no tile is named, and the scrubber goes on", async () => {
  const bench = await filled("rfc6962", 600);
  const reader = await bench.driver.openReader("log-one");
  const { damaged, store } = overlay(reader);
  const head = (await bench.ask(latestHead, { log: "one" })).head;
  const tile = async (level: "entries" | number, index: bigint) => {
    throw new Malformed(`tile ${level}/${index} is missing`);
  };
  const log = { head: () => head, tile };
  await using scrubber = new Scrubber({
    logs: async () => [{ name: "one", format: "rfc6962", log, store }],
    entriesPerSecond: 0,
    clock: { now: () => new Date(0) },
    journal: silentJournal,
  });
  const run = (await reader.get(tables.entries, numberKey(0n))) ?? new Uint8Array();
  // The leaf's version.
  damaged.set(`${tables.entries} ${numberKey(0n).toHex()}`, run.with(12, 9));
  expect([await scrubber.step(), await scrubber.step()]).toEqual([256, 256]);
  expect(scrubber.damages()).toEqual([
    { log: "one", kind: "tile", what: "tile 0/0 is missing or different" },
    { log: "one", kind: "entry", what: "entry 0 is malformed" },
    { log: "one", kind: "tile", what: "tile 0/1 is missing or different" },
  ]);
});

test("a running log reads itself, and what it finds is its health", async () => {
  const driver = memoryStorage();
  const bench = new LogBench("rekor-v2", driver);
  benches.push(bench);
  bench.scrub = { entriesPerSecond: 1_000_000 };
  let isDamaged = false;
  const damaging: StorageDriver = {
    ...driver,
    async open(name, of) {
      const partition = await driver.open(name, of);
      return {
        ...bound(partition),
        get: async (table, key) =>
          isDamaged && table === tables.tiles ? null : await partition.get(table, key),
      };
    },
  };
  bench.storage = damaging;
  await bench.start();
  await Promise.all(Array.from({ length: 512 }, async (_, n) => await bench.append(body(n))));
  const health = () => bench.installation?.health()["log"];
  expect(health()).toEqual({ status: "ok" });
  isDamaged = true;
  await expect.poll(health).toMatchObject({
    status: "degraded",
    reason: expect.stringContaining("tile 0/"),
  });
  isDamaged = false;
  await expect.poll(health).toEqual({ status: "ok" });
});

function bound(partition: Partition): Partition {
  return {
    commit: async (commit) => await partition.commit(commit),
    get: async (table, key) => await partition.get(table, key),
    scan: async (table, range) => await partition.scan(table, range),
    read: async (stream, after, limit) => await partition.read(stream, after, limit),
    [Symbol.asyncDispose]: async () => await partition[Symbol.asyncDispose](),
  };
}

describe("the disk's reserve", () => {
  const gibibyte = 1024 ** 3;

  test.for([
    ["a small disk, just above a twentieth", 51, 1_000, undefined, false],
    ["a small disk, just below", 49, 1_000, undefined, true],
    ["a large disk, just above 1 GiB", gibibyte, 1_000 * gibibyte, undefined, false],
    ["a large disk, just below", gibibyte - 1, 1_000 * gibibyte, undefined, true],
    ["a reserve of one's own, kept", 10, 1_000, 10, false],
    ["a reserve of one's own, reached", 9, 1_000, 10, true],
    ["none at all", 0, 1_000, 0, false],
  ] as const)("%s", ([, free, size, reserveBytes, expected]) => {
    expect(isShort({ free, size }, reserveBytes)).toBe(expected);
  });

  test("refuses as back-pressure, and is not reached where nothing can be known", async () => {
    using reached = await Reserve.watch("/", { look: async () => ({ free: 1, size: 100 }) });
    expect(() => reached.require()).toThrow(expect.objectContaining({ code: "overloaded" }));
    using unknown = await Reserve.watch("/", { look: async () => null });
    expect(unknown.trouble).toBeNull();
    using below = await Reserve.watch("/nowhere/at/all", { reserveBytes: Number.MAX_SAFE_INTEGER });
    expect(below.trouble).toContain("make room");
  });

  test("a log whose disk is short takes nothing and shows what it has", async () => {
    const bench = new LogBench("rekor-v2");
    benches.push(bench);
    bench.reserveBytes = Number.MAX_SAFE_INTEGER;
    await bench.start();
    await expect(bench.append(body(1))).toFailWith("overloaded");
    expect((await bench.ask(latestHead, { log: "one" })).head.size).toBe(0n);
    expect(bench.installation?.health()["log"]).toMatchObject({ status: "degraded" });
  });
});
