import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Malformed } from "../../core/formats/malformed.ts";
import { verifyConsistency, verifyInclusion } from "../../core/formats/merkle.ts";
import { tileKey } from "../../plugins/log/rows.ts";
import { Tree, tileReader } from "../../plugins/log/tree.ts";
import { mth } from "../formats/naive-merkle.ts";

/** A tree of 65,538 leaves with every tile it wrote, built once: three levels of tiles, one past the boundary of the second. */
async function large() {
  const tiles = new Map<string, Uint8Array>();
  const read = readerOf(tiles);
  const leaves = Array.from(
    { length: 65_538 },
    (_, n) => new Uint8Array(createHash("sha256").update(String(n)).digest()),
  );
  const tree = new Tree(read);
  const newest = (size: number) => leaves.slice(size - (size % 512), size);
  const loadedAt = new Map<number, Tree>();
  for (const [n, leaf] of leaves.entries()) {
    tree.append(leaf);
    const size = n + 1;
    if (size % 1000 !== 0 && size < 65_535) continue;
    for (const { key, value } of tree.takeWrites()) {
      if (value !== null) tiles.set(key.toHex(), value);
    }
    if (size >= 65_535) loadedAt.set(size, await Tree.load(BigInt(size), newest(size), read));
  }
  return { leaves, tree, tiles, read, loadedAt, newest };
}

/** Reads tiles from rows by their keys in hex. */
function readerOf(tiles: ReadonlyMap<string, Uint8Array>) {
  return tileReader({ get: async (_table, key) => tiles.get(key.toHex()) ?? null });
}

const made = large();

test.for([65_535, 65_536, 65_537, 65_538])("the tree of %d leaves has its root", async (size) => {
  const { leaves, tree, loadedAt } = await made;
  const root = mth(leaves.slice(0, size));
  expect(await tree.root(BigInt(size))).toEqual(root);
  expect(await loadedAt.get(size)?.root()).toEqual(root);
});

test("only full tiles are rows, and those of level 0 lie two by two", async () => {
  const { tiles } = await made;
  const lengths = new Map<string, Set<number>>();
  for (const [key, value] of tiles) {
    const level = key.slice(0, 2);
    lengths.set(level, (lengths.get(level) ?? new Set()).add(value.length));
  }
  expect([...lengths]).toEqual([
    ["00", new Set([512 * 32])],
    ["01", new Set([256 * 32])],
  ]);
  expect([...tiles.keys()].filter((key) => key.startsWith("00"))).toHaveLength(128);
});

test("proofs reach into tiles that are only in the store", async () => {
  const { leaves, read, newest } = await made;
  const size = 65_538n;
  const tree = await Tree.load(size, newest(65_538), read);
  const root = mth(leaves);
  for (const index of [0n, 255n, 256n, 40_000n, 65_535n, 65_536n, 65_537n]) {
    const proof = await tree.inclusionProof(index, size);
    const leafHash = leaves[Number(index)] ?? new Uint8Array();
    expect(verifyInclusion({ index, size, leafHash, root, proof })).toBe(true);
  }
  for (const first of [1n, 256n, 300n, 65_535n, 65_536n, 65_537n]) {
    const firstRoot = mth(leaves.slice(0, Number(first)));
    const proof = await tree.consistencyProof(first, size);
    const claim = { first, second: size, firstRoot, secondRoot: root, proof };
    expect(verifyConsistency(claim)).toBe(true);
  }
});

test("a stored tile that was changed is not believed", async () => {
  const { tiles, newest } = await made;
  const damaged = new Map(tiles);
  const key = tileKey(0, 2n).toHex();
  damaged.set(
    key,
    (damaged.get(key) ?? new Uint8Array()).map((byte, at) => (at === 8_192 + 77 ? byte ^ 1 : byte)),
  );
  const tree = await Tree.load(65_538n, newest(65_538), readerOf(damaged));
  await expect(tree.leaf(3n * 256n)).rejects.toThrow(Malformed);
  await expect(tree.leaf(2n * 256n)).resolves.toBeDefined();
  await expect(tree.leaf(4n * 256n)).resolves.toBeDefined();
});
