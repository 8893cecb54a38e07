/**
 * Merkle trees over SHA-256 as RFC 6962 §2.1 defines them, and the verification of their proofs by the algorithms of
 * RFC 9162 §2.1.3.2 and §2.1.4.2. Which nodes a proof consists of is {@link inclusionPath} and {@link consistencyPath}.
 */
import { digestOf, digestOfAll } from "./digest.ts";
import { equalBytes } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** Bytes in a hash. */
export const hashLength = 32;

/** Sizes are below 2^63, so no proof is longer (RFC 9162 §2.1.3 and §2.1.4). */
const maxProofLength = 64;

const leafPrefix = Uint8Array.of(0x00);
const nodePrefix = Uint8Array.of(0x01);

/** RFC 6962 §2.1: SHA-256(0x00 || entry). */
export function leafHash(entry: Uint8Array): Uint8Array {
  return digestOfAll("sha256", leafPrefix, entry);
}

/** RFC 6962 §2.1: SHA-256(0x01 || left || right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return digestOfAll("sha256", nodePrefix, left, right);
}

/** RFC 6962 §2.1: the root of the empty tree, SHA-256 of nothing. */
export function emptyRoot(): Uint8Array {
  return digestOf("sha256", new Uint8Array(0));
}

/** What an inclusion proof says. */
export interface InclusionClaim {
  readonly index: bigint;
  readonly size: bigint;
  readonly leafHash: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * The root that `proof` leads to, RFC 9162 §2.1.3.2.
 *
 * @throws {Malformed} if the index lies outside the tree or the proof has not exactly the length the claim demands.
 */
export function rootFromInclusionProof({
  index,
  size,
  leafHash,
  proof,
}: InclusionClaim): Uint8Array {
  if (index < 0n || index >= size) throw new Malformed("inclusion proof: index outside the tree");
  checkHashes("inclusion proof", [leafHash, ...proof]);

  let fn = index;
  let sn = size - 1n;
  let node = leafHash;
  for (const sibling of proof) {
    if (sn === 0n) throw new Malformed("inclusion proof: too long");
    if ((fn & 1n) === 1n || fn === sn) {
      node = nodeHash(sibling, node);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      node = nodeHash(node, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  if (sn !== 0n) throw new Malformed("inclusion proof: too short");
  return node;
}

/** True if `proof` shows that the leaf is at `index` of the tree with `root`. Never throws. */
export function verifyInclusion(claim: InclusionClaim & { readonly root: Uint8Array }): boolean {
  try {
    return equalBytes(rootFromInclusionProof(claim), claim.root);
  } catch (thrown) {
    if (thrown instanceof Malformed) return false;
    throw thrown;
  }
}

/** What a consistency proof says. */
export interface ConsistencyClaim {
  readonly first: bigint;
  readonly second: bigint;
  readonly firstRoot: Uint8Array;
  readonly secondRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * True if the tree of `first` leaves is a prefix of the tree of `second`, RFC 9162 §2.1.4.2. From size 0 the proof must be empty
 * and the first root that of the empty tree. Never throws.
 */
export function verifyConsistency(claim: ConsistencyClaim): boolean {
  const { first, second, firstRoot, secondRoot, proof } = claim;
  if (first < 0n || second < first) return false;
  if (!areHashes([firstRoot, secondRoot, ...proof])) return false;
  if (first === second) return proof.length === 0 && equalBytes(firstRoot, secondRoot);
  if (first === 0n) return proof.length === 0 && equalBytes(firstRoot, emptyRoot());

  // A complete first tree is itself a node of the second, and is left out of the proof.
  const path = (first & (first - 1n)) === 0n ? [firstRoot, ...proof] : proof;
  const roots = foldConsistency(first, second, path);
  return (
    roots !== null &&
    equalBytes(roots.firstRoot, firstRoot) &&
    equalBytes(roots.secondRoot, secondRoot)
  );
}

function foldConsistency(
  first: bigint,
  second: bigint,
  path: readonly Uint8Array[],
): { firstRoot: Uint8Array; secondRoot: Uint8Array } | null {
  const [seed, ...siblings] = path;
  if (seed === undefined) return null;
  let fn = first - 1n;
  let sn = second - 1n;
  while ((fn & 1n) === 1n) {
    fn >>= 1n;
    sn >>= 1n;
  }
  let firstRoot = seed;
  let secondRoot = seed;
  for (const sibling of siblings) {
    if (sn === 0n) return null;
    if ((fn & 1n) === 1n || fn === sn) {
      firstRoot = nodeHash(sibling, firstRoot);
      secondRoot = nodeHash(sibling, secondRoot);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      secondRoot = nodeHash(secondRoot, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n ? { firstRoot, secondRoot } : null;
}

/** Leaves `from` (inclusive) to `to` (exclusive), whose subtree's root is an element of a proof. */
export interface LeafRange {
  readonly from: bigint;
  readonly to: bigint;
}

/**
 * RFC 6962 §2.1.1, PATH(index, D[size]): the subtrees whose roots prove that leaf `index` is in the tree, leaf to root.
 *
 * @throws {Malformed} if the index lies outside the tree.
 */
export function inclusionPath(index: bigint, size: bigint): LeafRange[] {
  if (index < 0n || index >= size) throw new Malformed("inclusion proof: index outside the tree");
  const path: LeafRange[] = [];
  let from = 0n;
  let to = size;
  while (to - from > 1n) {
    const middle = from + split(to - from);
    if (index < middle) {
      path.push({ from: middle, to });
      to = middle;
    } else {
      path.push({ from, to: middle });
      from = middle;
    }
  }
  return path.reverse();
}

/**
 * RFC 6962 §2.1.2, PROOF(first, D[second]): the subtrees whose roots prove that one tree is a prefix of the other.
 *
 * @throws {Malformed} if `first` exceeds `second`.
 */
export function consistencyPath(first: bigint, second: bigint): LeafRange[] {
  if (first < 0n || first > second) throw new Malformed("consistency proof: sizes out of order");
  const path: LeafRange[] = [];
  if (first === 0n || first === second) return path;
  let from = 0n;
  let to = second;
  while (first !== to) {
    const middle = from + split(to - from);
    if (first <= middle) {
      path.push({ from: middle, to });
      to = middle;
    } else {
      path.push({ from, to: middle });
      from = middle;
    }
  }
  // The first tree's own last subtree; known to the verifier, and left out, if it is the whole first tree.
  if (from !== 0n) path.push({ from, to });
  return path.reverse();
}

/** A node of a perfect subtree: leaves `index << level` to `(index + 1) << level`. */
export interface NodeAt {
  readonly level: number;
  readonly index: bigint;
}

/**
 * The perfect subtrees that make up a range, left to right. Folding them from the right with {@link nodeHash} gives the root of
 * the range. The range must be one of a proof, or start at 0.
 */
export function perfectSubtrees({ from, to }: LeafRange): NodeAt[] {
  const nodes: NodeAt[] = [];
  let at = from;
  while (at < to) {
    const level = (to - at).toString(2).length - 1;
    nodes.push({ level, index: at >> BigInt(level) });
    at += 1n << BigInt(level);
  }
  return nodes;
}

/** RFC 6962 §2.1: the root over perfect subtrees of falling size; of none, the empty root. */
export function foldRoots(roots: readonly Uint8Array[]): Uint8Array {
  const last = roots.at(-1);
  if (last === undefined) return emptyRoot();
  return roots.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last);
}

/** The largest power of two smaller than `size`, for sizes above 1 (RFC 6962 §2.1). */
function split(size: bigint): bigint {
  return 1n << BigInt((size - 1n).toString(2).length - 1);
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.length <= maxProofLength + 2 && hashes.every((hash) => hash.length === hashLength);
}

function checkHashes(what: string, hashes: readonly Uint8Array[]): void {
  if (!areHashes(hashes))
    throw new Malformed(`${what}: a hash is not 32 bytes, or there are too many`);
}
