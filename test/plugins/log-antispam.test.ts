/** The index of a long log is made from a few scans, and from the entries where rows are missing. */
import { expect, test } from "vitest";
import { digest } from "../../core/crypto/hash.ts";
import { concat, encodeUtf8 } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import type { Write } from "../../core/storage.ts";
import { Antispam } from "../../plugins/log/antispam.ts";
import { formats } from "../../plugins/log/format.ts";
import { numberKey, stretch, tables, tileKey } from "../../plugins/log/rows.ts";
import { NewestRun } from "../../plugins/log/runs.ts";
import { memoryStorage } from "../support/memory-storage.ts";

const shape = { tables: Object.values(tables), streams: [] };
/** More than are read at once, twice, and an entry. */
const stretches = 130;
/** One whose row is missing, in the second scan. */
const missing = 70;
const entryOf = (n: number) => encodeUtf8(`entry ${n}`);

test("a start reads rows by the dozen, keeps to its own, and makes a missing one good", async () => {
  await using storage = memoryStorage();
  await storage.create("log", shape);
  await using partition = await storage.open("log", shape);
  const leaves = Array.from({ length: stretches * stretch }, (_, n) => leafHash(entryOf(n)));
  const identities = leaves.map((leaf) => digest("sha256", leaf));
  const writes: Write[] = [];
  for (let at = 0; at < stretches; at++) {
    const from = at * stretch;
    const of = (hashes: readonly Uint8Array[]) => hashes.slice(from, from + stretch);
    const value = concat(...of(identities).map((one) => one.subarray(0, 6)));
    writes.push({ table: tables.antispam, key: numberKey(BigInt(from)), value });
    if (at === missing) continue;
    const tiles = concat(...of(leaves));
    writes.push({ table: tables.tiles, key: tileKey(0, BigInt(2 * at)), value: tiles });
  }
  const stray = { table: tables.tiles, key: tileKey(0, 3n), value: new Uint8Array(8_192) };
  await partition.commit({ writes: [...writes, stray] });
  let scans = 0;
  const store = {
    scan: async (...asked: Parameters<typeof partition.scan>) => {
      scans++;
      return await partition.scan(...asked);
    },
  };
  const size = BigInt(leaves.length);
  // Where no entry is there to make the row good, the log starts all the same.
  const bare = await Antispam.load(store, formats["rekor-v2"], { size, newest: [] });
  expect(bare.byLeaf(leaves[missing * stretch] ?? new Uint8Array())).toEqual([]);

  const run = NewestRun.of([], { size: 0n, integratedAtMs: 0n });
  for (let n = missing * stretch; n < (missing + 1) * stretch; n++) {
    const placed = { index: BigInt(n), extraData: new Uint8Array(), integratedAtMs: 1n };
    run.append({ ...placed, entry: entryOf(n) });
  }
  await partition.commit({ writes: run.takeWrites() });
  scans = 0;
  const rekor = await Antispam.load(store, formats["rekor-v2"], { size, newest: [] });
  // Three for the tiles, and what the entries take.
  expect(scans).toBeLessThanOrEqual(6);
  for (let n = 0; n < leaves.length; n += 101) {
    expect(rekor.byLeaf(leaves[n] ?? new Uint8Array())).toEqual([n]);
  }
  scans = 0;
  const whole = BigInt(missing * stretch);
  const ct = await Antispam.load(store, formats.rfc6962, { size: whole, newest: [] });
  expect(scans).toBe(4);
  for (let n = 0; n < missing * stretch; n += 101) {
    expect(ct.byLeaf(leaves[n] ?? new Uint8Array())).toEqual([n]);
    expect(ct.byIdentity(identities[n] ?? new Uint8Array())).toEqual([n]);
  }
});
