/** What follows from a log's entries is damaged in every way, and repair makes it anew; anything else it leaves alone. */
import { expect, test } from "vitest";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { fsckLogs, Irreparable, repairLog } from "../../plugins/log/commands.ts";
import { intentKey, numberKey, tables, tileKey } from "../../plugins/log/rows.ts";
import { at, damage, filled, formats, opened, type Place, rowOf } from "./log-damage.ts";
import type { LogBench } from "./log-fixture.ts";

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

type Damage = readonly [string, Place, (value: Uint8Array) => Uint8Array | null];

const damagesOf = (format: (typeof formats)[number]): readonly Damage[] => [
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

test.for(formats)(
  "%s: everything that follows from the entries is made anew, and nothing else is touched",
  async (format) => {
    const repairable = damagesOf(format);
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
  },
);

test.for(formats)(
  "%s: what does not follow from the entries is not repaired, nor anything else then",
  async (format) => {
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
