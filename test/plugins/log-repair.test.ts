/** What is stored of a log is damaged in every way; the scrubber names it while the log runs, and repair makes anew what may be. */
import { afterEach, describe, expect, test } from "vitest";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import type { Partition, Reader, StorageDriver } from "../../core/storage.ts";
import { latestHead, readTile } from "../../events/log.ts";
import { fsckLogs, Irreparable, repairLog } from "../../plugins/log/commands.ts";
import { isShort, Reserve } from "../../plugins/log/reserve.ts";
import { intentKey, numberKey, tables, tileKey } from "../../plugins/log/rows.ts";
import { Scrubber, scrubTile } from "../../plugins/log/scrubber.ts";
import { silentJournal } from "../support/boot.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import "../support/matchers.ts";
import { body, LogBench, precertificate } from "./log-fixture.ts";

const shape = { tables: [...Object.values(tables), "cursors"], streams: ["facts"] };
const formats = ["rekor-v2", "rfc6962"] as const;
type Format = (typeof formats)[number];

const benches: LogBench[] = [];
afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

async function filled(format: Format, size: number): Promise<LogBench> {
  const bench = new LogBench(format);
  benches.push(bench);
  await bench.start();
  const make = format === "rfc6962" ? precertificate : body;
  await Promise.all(Array.from({ length: size }, async (_, n) => await bench.append(make(n))));
  return bench;
}

async function opened<T>(bench: LogBench, work: (partition: Partition) => Promise<T>): Promise<T> {
  await using partition = await bench.driver.open("log-one", shape);
  return await work(partition);
}

interface Place {
  readonly table: string;
  readonly key: (rows: Reader) => Promise<Uint8Array>;
}

const at = (table: string, key: Uint8Array): Place => ({ table, key: async () => key });
/** The row of an index that leads to an entry. */
const rowOf = (table: string, index: bigint): Place => ({
  table,
  async key(rows) {
    const all = await rows.scan(table, { limit: 10_000 });
    const wanted = numberKey(index).toHex();
    return all.find(({ value }) => value.toHex() === wanted)?.key ?? new Uint8Array(1);
  },
});

const flip = (value: Uint8Array) =>
  value.map((byte, index) => (index === value.length - 1 ? byte ^ 1 : byte));

async function damage(
  bench: LogBench,
  { table, key }: Place,
  change: (value: Uint8Array) => Uint8Array | null,
): Promise<void> {
  await opened(bench, async (partition) => {
    const found = await key(partition);
    const value = await partition.get(table, found);
    const changed = change(value ?? new Uint8Array());
    await partition.commit({ writes: [{ table, key: found, value: changed }] });
  });
}

async function fsck(bench: LogBench) {
  const { publicKey, origin } = bench.vault;
  return await fsckLogs({
    openReader: async (name) => await bench.driver.openReader(`log-${name}`),
    logs: [{ name: "one", format: bench.format, publicKey, origin }],
    lastSigned: async () => bench.vault.last,
    deep: true,
  });
}

async function repair(bench: LogBench) {
  const { format, vault } = bench;
  return await opened(
    bench,
    async (partition) => await repairLog({ partition, format, signed: vault.last }),
  );
}

/** Everything there is in the tables that repair must not touch. */
async function dump(bench: LogBench): Promise<string> {
  const all: string[] = [];
  await using reader = await bench.driver.openReader("log-one");
  for (const table of Object.values(tables)) {
    const rows = await reader.scan(table, { limit: 100_000 });
    all.push(...rows.map(({ key, value }) => `${table} ${key.toHex()} ${value.toHex()}`));
  }
  return all.join("\n");
}

const gone = () => null;
const stray = () => numberKey(3n);

describe.each(formats)("%s", (format) => {
  const repairable: readonly (readonly [
    string,
    Place,
    (value: Uint8Array) => Uint8Array | null,
  ])[] = [
    ["a full tile", at(tables.tiles, tileKey(0, 0n)), flip],
    ["a full tile that is gone", at(tables.tiles, tileKey(0, 0n)), gone],
    [
      "a full tile with more behind it",
      at(tables.tiles, tileKey(0, 0n)),
      (tile) => Uint8Array.from([...tile, ...tile.subarray(0, 32)]),
    ],
    ["the tile at the edge", at(tables.tiles, tileKey(0, 1n)), flip],
    ["the tile at the edge of a higher level", at(tables.tiles, tileKey(1, 0n)), gone],
    ["a row of the leaf index", rowOf(tables.leaves, 7n), gone],
    ["a row of the leaf index that leads elsewhere", rowOf(tables.leaves, 7n), stray],
    ["a stray row of the leaf index", at(tables.leaves, leafHash(encodeUtf8("stray"))), stray],
    [
      "a row that leads beyond the end",
      at(tables.leaves, leafHash(encodeUtf8("stray"))),
      () => numberKey(10_000n),
    ],
    ...(format === "rfc6962"
      ? ([
          ["a row of the antispam index", rowOf(tables.antispam, 270n), gone],
          ["a stray row of the antispam index", at(tables.antispam, new Uint8Array(32)), stray],
        ] as const)
      : []),
  ];

  test("everything that follows from the entries is made anew, and nothing else is touched", async () => {
    const bench = await filled(format, 300);
    await bench.stop();
    expect(await fsck(bench)).toEqual([]);
    const before = await dump(bench);
    expect(await repair(bench)).toEqual({ entries: 300n, tiles: 0, indexed: 0, removed: 0 });
    for (const [what, place, change] of repairable) {
      await damage(bench, place, change);
      expect(await fsck(bench), what).not.toEqual([]);
      const { tiles, indexed, removed } = await repair(bench);
      expect(tiles + indexed + removed, what).toBe(1);
      expect(await dump(bench), what).toBe(before);
    }
    for (const [, place, change] of repairable) await damage(bench, place, change);
    await repair(bench);
    expect(await dump(bench)).toBe(before);
    await bench.start();
    await bench.check();
  });

  test("what does not follow from the entries is not repaired, nor anything else then", async () => {
    const bench = await filled(format, 300);
    await bench.stop();
    const entry = at(tables.entries, numberKey(200n));
    const intent = at(tables.state, intentKey);
    const cases: readonly (readonly [Place, (row: Uint8Array) => Uint8Array | null, RegExp])[] = [
      [
        entry,
        (row) => row.with(20, (row[20] ?? 0) ^ 1),
        /tree of 300 .* entry 200 is not what its/,
      ],
      [entry, gone, /entry 200 of 300 is missing/],
      [entry, (row) => row.subarray(0, 13), /entry 200 cannot be read/],
      [intent, gone, /lost what the log decided/],
      [intent, (row) => row.with(9, (row[9] ?? 0) ^ 1), /do not give the tree of 300/],
    ];
    const leaf = rowOf(tables.leaves, 7n);
    await damage(bench, leaf, gone);
    for (const [place, change, why] of cases) {
      let good: Uint8Array | null = null;
      await damage(bench, place, (row) => change((good = row)));
      const before = await dump(bench);
      const repairing = repair(bench);
      await expect(repairing).rejects.toThrow(why);
      await expect(repairing).rejects.toBeInstanceOf(Irreparable);
      expect(await dump(bench)).toBe(before);
      await damage(bench, place, () => good);
    }
    expect(await repair(bench)).toMatchObject({ indexed: 1 });
  });

  test("a store that is older than the vault is not repaired", async () => {
    const bench = await filled(format, 3);
    await bench.stop();
    const { last } = bench.vault;
    bench.vault.last = { ...last, size: last.size + 1n };
    await expect(repair(bench)).rejects.toThrow(/a tree of 4 entries is signed/);
    bench.vault.last = { ...last, root: new Uint8Array(32) };
    await expect(repair(bench)).rejects.toThrow(/do not give the tree of 3/);
  });

  test("the scrubber names what is wrong while the log runs, until it is right again", async () => {
    const bench = await filled(format, 300);
    const reader = await bench.driver.openReader("log-one");
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
    const pass = async () => [await scrubber.step(), await scrubber.step()];
    expect(await pass()).toEqual([256, 44]);
    expect([scrubber.trouble, scrubber.damages()]).toEqual([null, []]);

    const places: readonly (readonly [Place, string, string])[] = [
      [at(tables.entries, numberKey(2n)), "entry", "entry 2 "],
      [at(tables.entries, numberKey(299n)), "entry", "entry 299 "],
      [at(tables.tiles, tileKey(0, 0n)), "tile", "tile 0/0 "],
      [at(tables.tiles, tileKey(0, 1n)), "tile", "tile 0/1 "],
      [rowOf(tables.leaves, 9n), "index", "the index does not lead to entry 9"],
    ];
    for (const [{ table, key }, kind, what] of places) {
      const row = await key(reader);
      for (const value of [null, new Uint8Array(8)]) {
        told.length = 0;
        damaged.set(`${table} ${row.toHex()}`, value);
        await pass();
        await pass();
        expect(scrubber.damages(), what).toEqual([
          { log: "one", kind, what: expect.stringContaining(what) },
        ]);
        // Told once, however often it is seen.
        expect(told).toHaveLength(1);
        expect(scrubber.trouble).toContain(
          kind === "entry" ? "replica or backup" : "log repair one",
        );
        const gauge = scrubber.metrics().find(({ name }) => name === "chancery_log_damages");
        expect(gauge?.values.filter(({ value }) => value > 0)).toEqual([
          { labels: { kind }, value: 1 },
        ]);
        damaged.clear();
        await pass();
        expect(scrubber.trouble).toBeNull();
      }
    }
    expect(await scrubTile(scrubbed, 10n)).toEqual([]);
  });
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
          isDamaged && table === tables.leaves ? null : await partition.get(table, key),
      };
    },
  };
  bench.storage = damaging;
  await bench.start();
  await bench.append(body(1));
  const health = () => bench.installation?.health()["log"];
  expect(health()).toEqual({ status: "ok" });
  isDamaged = true;
  await expect.poll(health).toMatchObject({
    status: "degraded",
    reason: expect.stringContaining("the index does not lead to entry 0"),
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
