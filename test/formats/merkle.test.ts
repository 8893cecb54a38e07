import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fc, test as property } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import { decodeBase64 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  consistencyPath,
  emptyRoot,
  foldRoots,
  hashLength,
  inclusionPath,
  leafHash,
  nodeHash,
  perfectSubtrees,
  rootFromInclusionProof,
  verifyConsistency,
  verifyInclusion,
  type LeafRange,
} from "../../core/formats/merkle.ts";
import { leafOf, mth, path, proof } from "./naive-merkle.ts";

interface InclusionVector {
  readonly leafIdx: number;
  readonly treeSize: number;
  readonly root: string;
  readonly leafHash: string;
  readonly proof: readonly string[] | null;
  readonly wantErr: boolean;
}
interface ConsistencyVector {
  readonly size1: number;
  readonly size2: number;
  readonly root1: string;
  readonly root2: string;
  readonly proof: readonly string[] | null;
  readonly wantErr: boolean;
}

function vectors<Vector>(folder: string): [string, Vector][] {
  const directory = fileURLToPath(new URL(`../vectors/merkle/${folder}`, import.meta.url));
  return globSync("**/*.json", { cwd: directory }).map((file) => [
    file,
    JSON.parse(readFileSync(`${directory}/${file}`, "utf8")) as Vector, // the vectors' own format
  ]);
}

describe("the vectors of transparency-dev", () => {
  const inclusion = vectors<InclusionVector>("inclusion");
  const consistency = vectors<ConsistencyVector>("consistency");

  test("are all there", () => {
    expect(inclusion.length).toBeGreaterThan(90);
    expect(consistency.length).toBeGreaterThan(90);
  });

  test.for(inclusion)("inclusion %s", ([, vector]) => {
    const verified = verifyInclusion({
      index: BigInt(vector.leafIdx),
      size: BigInt(vector.treeSize),
      leafHash: decodeBase64(vector.leafHash),
      root: decodeBase64(vector.root),
      proof: (vector.proof ?? []).map(decodeBase64),
    });
    expect(verified).toBe(!vector.wantErr);
  });

  test.for(consistency)("consistency %s", ([, vector]) => {
    const firstRoot = decodeBase64(vector.root1);
    const verified = verifyConsistency({
      first: BigInt(vector.size1),
      second: BigInt(vector.size2),
      firstRoot,
      secondRoot: decodeBase64(vector.root2),
      proof: (vector.proof ?? []).map(decodeBase64),
    });
    // Some vectors use a text for a root; what is not 32 bytes is never a root here.
    const isHash = firstRoot.length === hashLength;
    expect(verified).toBe(!vector.wantErr && isHash);
  });
});

const leaves = Array.from({ length: 70 }, (_, n) => leafOf(Uint8Array.of(n)));
const rootOf = ({ from, to }: LeafRange): Uint8Array =>
  foldRoots(
    perfectSubtrees({ from, to }).map(({ level, index }) => {
      const first = Number(index) << level;
      return mth(leaves.slice(first, first + 2 ** level));
    }),
  );

test("hashes", () => {
  expect(leafHash(Uint8Array.of(3))).toEqual(new Uint8Array(leafOf(Uint8Array.of(3))));
  expect(emptyRoot()).toEqual(new Uint8Array(mth([])));
  const [left = emptyRoot(), right = emptyRoot()] = leaves;
  expect(nodeHash(left, right)).toEqual(new Uint8Array(mth([left, right])));
});

test("every inclusion proof of every tree up to 70 leaves", () => {
  for (let size = 1; size <= leaves.length; size++) {
    const tree = leaves.slice(0, size);
    for (let index = 0; index < size; index++) {
      const expected = path(index, tree);
      const made = inclusionPath(BigInt(index), BigInt(size)).map(rootOf);
      expect(made.map((hash) => hash.toHex())).toEqual(expected.map((hash) => hash.toHex()));
      const leaf = leaves[index] ?? emptyRoot();
      const claim = { index: BigInt(index), size: BigInt(size), leafHash: leaf, proof: made };
      expect(verifyInclusion({ ...claim, root: mth(tree) })).toBe(true);
    }
  }
});

test("every consistency proof between trees of up to 40 leaves", () => {
  for (let second = 0; second <= 40; second++) {
    const tree = leaves.slice(0, second);
    for (let first = 0; first <= second; first++) {
      const made = consistencyPath(BigInt(first), BigInt(second)).map(rootOf);
      const expected = proof(first, tree).map((hash) => hash.toHex());
      expect(made.map((hash) => hash.toHex())).toEqual(expected);
      const claim = {
        first: BigInt(first),
        second: BigInt(second),
        firstRoot: mth(leaves.slice(0, first)),
        secondRoot: mth(tree),
        proof: made,
      };
      expect(verifyConsistency(claim)).toBe(true);
      if (first === second) continue;
      const forked = Uint8Array.from(claim.firstRoot, (byte) => byte ^ 1);
      expect(verifyConsistency({ ...claim, firstRoot: forked })).toBe(false);
    }
  }
});

property.prop([fc.integer({ min: 1, max: 69 }), fc.nat(), fc.nat()])(
  "a proof with one bit flipped proves nothing",
  (size, at, bit) => {
    const index = at % size;
    const made = path(index, leaves.slice(0, size));
    fc.pre(made.length > 0);
    const flipped = made.map((hash, n) =>
      n === at % made.length
        ? hash.map((byte, k) => (k === bit % 32 ? byte ^ (1 << (bit % 8)) : byte))
        : hash,
    );
    const leaf = leaves[index] ?? emptyRoot();
    const claim = { index: BigInt(index), size: BigInt(size), leafHash: leaf, proof: flipped };
    expect(verifyInclusion({ ...claim, root: mth(leaves.slice(0, size)) })).toBe(false);
  },
);

test.for([
  ["an index outside the tree", { index: 2n, size: 2n, proof: 1 }],
  ["a negative index", { index: -1n, size: 2n, proof: 1 }],
  ["an empty tree", { index: 0n, size: 0n, proof: 0 }],
  ["a proof too long", { index: 0n, size: 2n, proof: 2 }],
  ["a proof too short", { index: 0n, size: 2n, proof: 0 }],
] as const)("refuses %s", ([, { index, size, proof: length }]) => {
  const claim = {
    index,
    size,
    leafHash: emptyRoot(),
    proof: Array.from({ length }, () => emptyRoot()),
  };
  expect(() => rootFromInclusionProof(claim)).toThrow(Malformed);
  expect(verifyInclusion({ ...claim, root: emptyRoot() })).toBe(false);
});
