/** What follows from a log's entries is damaged in every way, and repair makes it anew; anything else it leaves alone. */
import { expect, test } from "vitest";
import { concat, encodeUtf8, uintBytes } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { fsckLogs, Irreparable, repairLog } from "../../plugins/log/commands.ts";
import { intentKey, layoutKey, numberKey, tables, tileKey } from "../../plugins/log/rows.ts";
import { readPlaced } from "../../plugins/log/runs.ts";
import { at, damage, filled, formats, opened, type Place } from "./log-damage.ts";
import { body, type LogBench, precertificate } from "./log-fixture.ts";

const flip = (value: Uint8Array) =>
  value.map((byte, index) => (index === value.length - 1 ? byte ^ 1 : byte));

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
const tile = (tiles: unknown) => new Uint8Array((tiles === 2 ? 2 : 1) * 256 * 32);

type Damage = readonly [string, Place, (value: Uint8Array) => Uint8Array | null];

const damagesOf = (format: (typeof formats)[number]): readonly Damage[] => [
  ["a row of tiles", at(tables.tiles, tileKey(0, 0n)), flip],
  ["a row of tiles that is gone", at(tables.tiles, tileKey(0, 0n)), gone],
  ["a row of tiles cut short", at(tables.tiles, tileKey(0, 0n)), (row) => row.subarray(32)],
  [
    "a row of tiles with more behind it",
    at(tables.tiles, tileKey(0, 0n)),
    (row) => Uint8Array.from([...row, ...row.subarray(0, 32)]),
  ],
  ["a tile as an earlier release kept it", at(tables.tiles, tileKey(0, 1n)), tile],
  ["a tile that is not full", at(tables.tiles, tileKey(1, 0n)), tile],
  ["a tile whose key has its top bit flipped", at(tables.tiles, tileKey(0x81, 0n)), () => tile(1)],
  ["a tile of the highest level", at(tables.tiles, tileKey(0xff, 0n)), () => tile(1)],
  ["tiles of entries that are not there", at(tables.tiles, tileKey(0, 4n)), () => tile(2)],
  ["a row of the leaf index", at(tables.leaves, leafHash(encodeUtf8("one"))), stray],
  ["what the layout is", at(tables.state, layoutKey), gone],
  ...(format === "rfc6962"
    ? ([
        ["a row of the antispam index", at(tables.antispam, numberKey(0n)), flip],
        ["a row of the antispam index that is gone", at(tables.antispam, numberKey(0n)), gone],
        ["a stray row of the antispam index", at(tables.antispam, new Uint8Array(32)), stray],
        ["a row in between", at(tables.antispam, numberKey(7n)), stray],
        ["a row beyond the end", at(tables.antispam, numberKey(512n)), stray],
      ] as const)
    : ([["an antispam index", at(tables.antispam, numberKey(0n)), stray]] as const)),
];

test.for(formats)(
  "%s: everything that follows from the entries is made anew, and nothing else is touched",
  async (format) => {
    const repairable = damagesOf(format);
    const bench = await filled(format, 600);
    await bench.stop();
    expect(await fsck(bench)).toEqual([]);
    const before = await dump(bench);
    expect(await repair(bench)).toEqual({ entries: 600n, tiles: 0, indexed: 0, removed: 0 });
    for (const [what, place, change] of repairable) {
      await damage(bench, place, change);
      expect(await fsck(bench), what).not.toEqual([]);
      const { tiles, indexed, removed } = await repair(bench);
      expect(tiles + indexed + removed, what).toBe(what === "what the layout is" ? 0 : 1);
      expect(await dump(bench), what).toBe(before);
    }
    for (const [, place, change] of repairable) await damage(bench, place, change);
    await repair(bench);
    expect(await dump(bench)).toBe(before);
    await bench.start();
    await bench.check();
  },
);

test.for(formats)(
  "%s: what does not follow from the entries is not repaired, nor anything else then",
  async (format) => {
    const bench = await filled(format, 600);
    await bench.stop();
    const run = at(tables.entries, numberKey(0n));
    const intent = at(tables.state, intentKey);
    const cases: readonly (readonly [Place, (row: Uint8Array) => Uint8Array | null, RegExp])[] = [
      [
        run,
        (row) => row.with(12 + 4, (row[12 + 4] ?? 0) ^ 1),
        /tree of 600 .* entry 0 is not what its/,
      ],
      [run, gone, /entry 0 of 600 is missing/],
      [run, (row) => row.subarray(0, 13), /entries at 0 or behind it cannot be read/],
      [intent, gone, /lost what the log decided/],
      [intent, (row) => row.with(9, (row[9] ?? 0) ^ 1), /do not give the tree of 600/],
    ];
    await damage(bench, at(tables.leaves, new Uint8Array(32)), stray);
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
    expect(await repair(bench)).toMatchObject({ removed: 1 });
  },
);

test.for(formats)("%s: a store that is older than the vault is not repaired", async (format) => {
  const bench = await filled(format, 3);
  await bench.stop();
  const { last } = bench.vault;
  bench.vault.last = { ...last, size: last.size + 1n };
  await expect(repair(bench)).rejects.toThrow(/a tree of 4 entries is signed/);
  bench.vault.last = { ...last, root: new Uint8Array(32) };
  await expect(repair(bench)).rejects.toThrow(/do not give the tree of 3/);
});

test.for(formats)(
  "%s: what an earlier release has stored is made over, and goes on",
  async (format) => {
    const bench = await filled(format, 600);
    await bench.stop();
    await opened(bench, async (partition) => {
      const placed = await readPlaced(partition, 0n, 600);
      const writes = placed.flatMap(({ index, entry, extraData, integratedAtMs }) => [
        {
          table: tables.entries,
          key: numberKey(index),
          value: concat(uintBytes(integratedAtMs, 8), uintBytes(entry.length, 4), entry, extraData),
        },
        { table: tables.leaves, key: leafHash(entry), value: numberKey(index) },
        { table: tables.antispam, key: leafHash(concat(entry, entry)), value: numberKey(index) },
      ]);
      const tiles = [0n, 1n, 2n].map((index) => ({
        table: tables.tiles,
        key: tileKey(0, index),
        value: tile(1),
      }));
      const layoutGone = { table: tables.state, key: layoutKey, value: null };
      await partition.commit({ writes: [...writes, ...tiles, layoutGone] });
    });
    await expect(bench.start()).rejects.toThrow(/chancery log repair one/);
    await repair(bench);
    expect(await fsck(bench)).toEqual([]);
    await bench.start();
    const make = format === "rfc6962" ? precertificate : body;
    expect(await bench.append(make(7))).toMatchObject({ index: 7n, known: true });
    for (let n = 600; n < 605; n++) expect((await bench.append(make(n))).index).toBe(BigInt(n));
    await bench.restart();
    await bench.check();
    await bench.stop();
    expect(await fsck(bench)).toEqual([]);
  },
);
