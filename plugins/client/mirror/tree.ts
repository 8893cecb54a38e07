/** The hashes of a tree in tiles (c2sp.org/tlog-tiles v1.0.0), as whoever copies one needs them. */
import { equalBytes } from "../../../core/formats/encoding.ts";
import { Malformed } from "../../../core/formats/malformed.ts";
import { foldRoots, hashLength, nodeHash, perfectSubtrees } from "../../../core/formats/merkle.ts";
import { formatTilePath, tileWidth } from "../../../core/formats/tile.ts";

/** Levels of the tree in one tile: 2^8 = 256. */
const tileHeight = 8n;

/** Hashes on a level of tiles of the tree with `size` leaves. */
export function hashesAt(level: number, size: bigint): bigint {
  return size >> (tileHeight * BigInt(level));
}

/** Levels of tiles of the tree with `size` leaves. */
export function levelsOf(size: bigint): number {
  let levels = 0;
  while (hashesAt(levels, size) > 0n) levels++;
  return levels;
}

/** The tile behind the last full one of a level, and how wide it is; 0 if there is none. */
export function edgeOf(level: number, size: bigint): { index: bigint; width: number } {
  const hashes = hashesAt(level, size);
  return { index: hashes / BigInt(tileWidth), width: Number(hashes % BigInt(tileWidth)) };
}

/** Path of a tile of hashes. */
export const tilePath = (level: number, index: bigint, width = tileWidth) =>
  formatTilePath({ level, index, width });

/** Path of an entry bundle. */
export const bundlePath = (index: bigint, width = tileWidth) =>
  formatTilePath({ level: "entries", index, width });

/** The hash at a place in a tile. */
export function hashAt(tile: Uint8Array, at: number): Uint8Array {
  return tile.subarray(at * hashLength, (at + 1) * hashLength);
}

/** The hash that stands for a full tile in the level above. @throws {Malformed} if it is not full */
export function rootOfTile(tile: Uint8Array): Uint8Array {
  if (tile.length !== tileWidth * hashLength) throw new Malformed("tile: not full");
  return rangeRoot(tile, 0, tileWidth);
}

/**
 * The root of the tree with `size` leaves, from the tiles at its right edge, lowest level first; those may be wider than the edge.
 *
 * @throws {Malformed} if one of them is too short.
 */
export function rootFromEdge(size: bigint, tiles: readonly (Uint8Array | null)[]): Uint8Array {
  const roots: Uint8Array[] = [];
  for (let level = levelsOf(size) - 1; level >= 0; level--) {
    const { width } = edgeOf(level, size);
    const tile = tiles[level] ?? new Uint8Array();
    if (tile.length < width * hashLength) throw new Malformed("tile: too short");
    for (const node of perfectSubtrees({ from: 0n, to: BigInt(width) })) {
      const from = Number(node.index << BigInt(node.level));
      roots.push(rangeRoot(tile, from, from + 2 ** node.level));
    }
  }
  return Uint8Array.from(foldRoots(roots));
}

/** @throws {Malformed} unless the full tile is what the level above holds for it. */
export function requireParent(tile: Uint8Array, expected: Uint8Array, what: string): void {
  if (!equalBytes(rootOfTile(tile), expected)) {
    throw new Malformed(`${what} does not lead to the checkpoint`);
  }
}

function rangeRoot(tile: Uint8Array, from: number, to: number): Uint8Array {
  if (to - from === 1) return hashAt(tile, from);
  const middle = (from + to) / 2;
  return nodeHash(rangeRoot(tile, from, middle), rangeRoot(tile, middle, to));
}
