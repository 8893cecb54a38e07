/**
 * A log's Merkle tree in tiles. The right edge is in memory, with every interior node; what lies left of it is read from the store
 * when a proof needs it, and is believed only if it leads to the hash its parent tile holds, up to the edge.
 */
import { concat, equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  consistencyPath,
  foldRoots,
  hashLength,
  inclusionPath,
  nodeHash,
  perfectSubtrees,
  type LeafRange,
  type NodeAt,
} from "../../core/formats/merkle.ts";
import { tileWidth } from "../../core/formats/tile.ts";
import type { Reader, Write } from "../../core/storage.ts";
import { stretch, tables, tileKey } from "./rows.ts";

/** Levels of the tree in one tile: 2^8 = 256. */
const tileHeight = 8;
/** Of each level. */
const cachedTiles = 512;
/** From this level on, nodes are in enough proofs of a batch that one copy serves all of them. */
const sharedFromLevel = 3;
const maxCopies = 4_096;
const maxLevels = 64;
/** Larger trees than this count in bigints alone. */
const maxInMemory = 2n ** 31n;

/** Reads the stored bytes of a tile, or null. */
export type ReadTile = (level: number, index: bigint) => Promise<Uint8Array | null>;

/** Up to 256 hashes and every node above them that is complete. Nodes never change once they are there. */
export class Tile {
  width = 0;
  readonly #nodes = new Uint8Array((2 * tileWidth - 1) * hashLength);

  /** @throws {Malformed} unless the bytes are 1 to 256 hashes. */
  static of(bytes: Uint8Array): Tile {
    if (bytes.length % hashLength !== 0 || bytes.length === 0) throw new Malformed("tile: length");
    if (bytes.length > tileWidth * hashLength) throw new Malformed("tile: too wide");
    const tile = new Tile();
    for (let at = 0; at < bytes.length; at += hashLength) {
      tile.push(bytes.subarray(at, at + hashLength));
    }
    return tile;
  }

  push(hash: Uint8Array): void {
    let index = this.width++;
    this.#set(0, index, hash);
    for (let height = 0; index % 2 === 1; height++) {
      index >>= 1;
      const left = this.node(height, 2 * index);
      this.#set(height + 1, index, nodeHash(left, this.node(height, 2 * index + 1)));
    }
  }

  /** The node over `2^height` hashes; the caller knows that it is complete. */
  node(height: number, index: number): Uint8Array {
    const at = this.#offset(height, index);
    return this.#nodes.subarray(at, at + hashLength);
  }

  /** The first `width` hashes, copied. */
  bytes(width = this.width): Uint8Array {
    return this.#nodes.slice(0, width * hashLength);
  }

  isFull(): boolean {
    return this.width === tileWidth;
  }

  root(): Uint8Array {
    return this.node(tileHeight, 0);
  }

  #set(height: number, index: number, hash: Uint8Array): void {
    this.#nodes.set(hash, this.#offset(height, index));
  }

  /** Heights lie one after the other: 256 hashes, 128 nodes, 64 … */
  #offset(height: number, index: number): number {
    return (2 * tileWidth - ((2 * tileWidth) >> height) + index) * hashLength;
  }
}

/** See the file's comment. Only its log's sequencer appends. */
export class Tree {
  #size = 0n;
  readonly #edge: Tile[] = [];
  readonly #read: ReadTile;
  /** Full tiles of each level by index, in the order they came. */
  readonly #cache: Map<number, Tile>[] = [];
  /** Nodes of proofs for {@link #copiesOfSize}. */
  readonly #copies = new Map<number, Uint8Array>();
  #copiesOfSize = 0;
  /** Full tiles that {@link takeWrites} has not given yet: they are in no other place. */
  #unstored: { readonly level: number; readonly index: bigint; readonly tile: Tile }[] = [];

  constructor(read: ReadTile) {
    this.#read = read;
  }

  /**
   * The stored tree of `size` leaves, of which `newest` are those behind the last complete stretch. Its right edge is recomputed from the full
   * tiles below it, and from them.
   *
   * @throws {Malformed} if a full tile of these is missing
   */
  static async load(size: bigint, newest: readonly Uint8Array[], read: ReadTile): Promise<Tree> {
    const tree = new Tree(read);
    tree.#size = size - BigInt(newest.length);
    for (let level = 0; tree.#size >> BigInt(level * tileHeight) > 0n; level++) {
      const hashes = tree.#size >> BigInt(level * tileHeight);
      const edge = new Tile();
      const first = hashes - (hashes % BigInt(tileWidth));
      for (let index = first; level > 0 && index < hashes; index++) {
        edge.push((await readFull(read, level - 1, index)).root());
      }
      tree.#edge.push(edge);
    }
    for (const leaf of newest) tree.append(leaf);
    return tree;
  }

  get size(): bigint {
    return this.#size;
  }

  append(leafHash: Uint8Array): void {
    let hash = leafHash;
    let index = this.#size;
    this.#size++;
    for (let level = 0; ; level++) {
      const tile = (this.#edge[level] ??= new Tile());
      tile.push(hash);
      if (!tile.isFull()) return;
      const tileIndex = index / BigInt(tileWidth);
      this.#unstored.push({ level, index: tileIndex, tile });
      this.#edge[level] = new Tile();
      hash = tile.root();
      index = tileIndex;
    }
  }

  /** Rows for every tile that has become full since the last call; of level 0, for two together. */
  takeWrites(): Write[] {
    const writes: Write[] = [];
    const unstored = this.#unstored;
    // The first of two waits for the second.
    const isAlone = ({ level, index }: (typeof unstored)[number]) =>
      level === 0 && index % 2n === 0n && this.#size < (index + 2n) * BigInt(tileWidth);
    this.#unstored = unstored.filter(isAlone);
    for (const one of unstored) {
      const { level, index, tile } = one;
      if (isAlone(one)) continue;
      // The store has it only once the commit is through: keep it as the newest in the cache.
      this.#keep(level, index, tile);
      if (level > 0) {
        writes.push({ table: tables.tiles, key: tileKey(level, index), value: tile.bytes() });
      } else if (index % 2n === 1n) {
        const first = this.#inMemory(0, index - 1n);
        if (first === null) throw new TypeError("a tile was written without the one before it");
        const value = concat(first.bytes(), tile.bytes());
        writes.push({ table: tables.tiles, key: tileKey(0, index - 1n), value });
      }
    }
    return writes;
  }

  /** The root of the first `size` leaves. @throws {Malformed} if a stored tile does not lead to its parent. */
  async root(size = this.#size): Promise<Uint8Array> {
    return await this.#rangeRoot({ from: 0n, to: size });
  }

  /** RFC 6962 §2.1.1. @throws {Malformed} also if the index is outside the tree. */
  async inclusionProof(index: bigint, size: bigint): Promise<Uint8Array[]> {
    const isWithin = index >= 0n && index < size && size <= this.#size && size < maxInMemory;
    const proof = isWithin ? this.#proofInMemory(Number(index), Number(size)) : null;
    return proof ?? (await this.#proof(inclusionPath(index, size)));
  }

  /** RFC 6962 §2.1.2. @throws {Malformed} also if the sizes are out of order. */
  async consistencyProof(first: bigint, second: bigint): Promise<Uint8Array[]> {
    return await this.#proof(consistencyPath(first, second));
  }

  /** The hash of leaf `index`. */
  async leaf(index: bigint): Promise<Uint8Array> {
    return await this.#node({ level: 0, index });
  }

  /** The first `width` hashes of a tile; the caller knows that the tree has them. */
  async tileBytes(level: number, index: bigint, width: number): Promise<Uint8Array> {
    return (await this.#tile(level, index)).bytes(width);
  }

  /**
   * {@link inclusionProof} of an entry whose nodes are all in memory, as those of a new one are; else null. With numbers, because it is
   * made for every entry, and bigints are garbage.
   */
  #proofInMemory(index: number, size: number): Uint8Array[] | null {
    const proof: Uint8Array[] = [];
    let from = 0;
    let to = size;
    while (to - from > 1) {
      const middle = from + halfOf(to - from);
      const isLeft = index < middle;
      const root = isLeft
        ? this.#shared({ from: middle, to }, size)
        : this.#shared({ from, to: middle }, size);
      if (root === null) return null;
      proof.push(root);
      if (isLeft) to = middle;
      else from = middle;
    }
    return proof.reverse();
  }

  /**
   * {@link #rootInMemory}, as a copy: what is in a tile must not change under whoever gets it, nor be kept alive by it. The copies of what
   * is high up are in the proofs of all entries of a batch, and made once.
   */
  #shared(
    { from, to }: { readonly from: number; readonly to: number },
    size: number,
  ): Uint8Array | null {
    const level = levelOf(to - from);
    const isPerfect = to - from === 2 ** level;
    if (isPerfect && level < sharedFromLevel) {
      return this.#rootInMemory(from, to)?.slice() ?? null;
    }
    if (this.#copiesOfSize !== size || this.#copies.size > maxCopies) {
      this.#copies.clear();
      this.#copiesOfSize = size;
    }
    // Of the ranges that begin alike, one at most is not perfect: it ends with the tree.
    const key = from * maxLevels + (isPerfect ? level : maxLevels - 1);
    const known = this.#copies.get(key);
    if (known !== undefined) return known;
    const copy = this.#rootInMemory(from, to)?.slice() ?? null;
    if (copy !== null) this.#copies.set(key, copy);
    return copy;
  }

  /** RFC 6962 §2.1: the root over leaves `from` to `to`, of a subtree that is part of a proof. */
  #rootInMemory(from: number, to: number): Uint8Array | null {
    const width = to - from;
    const level = levelOf(width);
    if (width === 2 ** level) {
      const tileLevel = Math.floor(level / tileHeight);
      const height = level - tileLevel * tileHeight;
      const first = from / 2 ** (tileLevel * tileHeight);
      const tile = this.#inMemory(tileLevel, Math.floor(first / tileWidth));
      return tile?.node(height, (first % tileWidth) >> height) ?? null;
    }
    const middle = from + halfOf(width);
    const left = this.#rootInMemory(from, middle);
    const right = left === null ? null : this.#rootInMemory(middle, to);
    return left === null || right === null ? null : nodeHash(left, right);
  }

  async #proof(path: readonly LeafRange[]): Promise<Uint8Array[]> {
    const proof: Uint8Array[] = [];
    for (const range of path) proof.push(await this.#rangeRoot(range));
    return proof;
  }

  async #rangeRoot(range: LeafRange): Promise<Uint8Array> {
    const roots: Uint8Array[] = [];
    for (const at of perfectSubtrees(range)) {
      const node = nodeInTile(at);
      // Nearly all are in memory, and each wait would cost more than the node.
      const tile =
        this.#inMemory(node.tileLevel, node.tileIndex) ??
        (await this.#tile(node.tileLevel, node.tileIndex));
      roots.push(tile.node(node.height, node.index));
    }
    // A copy: what is in a tile must not change under whoever gets it, nor be kept alive by it.
    return Uint8Array.from(foldRoots(roots));
  }

  async #node(at: NodeAt): Promise<Uint8Array> {
    const { tileLevel, tileIndex, height, index } = nodeInTile(at);
    const tile = this.#inMemory(tileLevel, tileIndex) ?? (await this.#tile(tileLevel, tileIndex));
    return tile.node(height, index);
  }

  async #tile(level: number, index: bigint): Promise<Tile> {
    return this.#inMemory(level, index) ?? (await this.#loadTile(level, index));
  }

  #inMemory(level: number, index: bigint | number): Tile | null {
    const edgeIndex = Math.floor(Number(this.#size) / 2 ** ((level + 1) * tileHeight));
    if (Number(index) === edgeIndex) return this.#edge[level] ?? null;
    const cached = this.#cache[level]?.get(Number(index));
    if (cached !== undefined) return cached;
    const isIt = (one: { level: number; index: bigint }) =>
      one.level === level && one.index === BigInt(index);
    return this.#unstored.find(isIt)?.tile ?? null;
  }

  async #loadTile(level: number, index: bigint): Promise<Tile> {
    const tile = await readFull(this.#read, level, index);
    const parent = await this.#node({ level: (level + 1) * tileHeight, index });
    if (!equalBytes(tile.root(), parent)) {
      throw new Malformed(`tile ${level}/${index} does not lead to its parent`);
    }
    this.#keep(level, index, tile);
    return tile;
  }

  #keep(level: number, index: bigint, tile: Tile): void {
    const cache = (this.#cache[level] ??= new Map());
    cache.delete(Number(index));
    cache.set(Number(index), tile);
    const oldest = cache.keys().next().value;
    if (cache.size > cachedTiles && oldest !== undefined) cache.delete(oldest);
  }
}

/** The largest power of two smaller than `width`, which is above 1. */
function halfOf(width: number): number {
  return 2 ** levelOf(width - 1);
}

/** The base-two logarithm, rounded down, of a width from 1 to 2^31. */
function levelOf(width: number): number {
  return 31 - Math.clz32(width);
}

/** The tile a node is in, and where in it. */
function nodeInTile({ level, index }: NodeAt) {
  const height = level % tileHeight;
  const first = index << BigInt(height);
  return {
    tileLevel: (level - height) / tileHeight,
    tileIndex: first >> BigInt(tileHeight),
    height,
    index: Number(BigInt.asUintN(tileHeight, first)) >> height,
  };
}

async function readFull(read: ReadTile, level: number, index: bigint): Promise<Tile> {
  const bytes = await read(level, index);
  if (bytes === null) throw new Malformed(`tile ${level}/${index} is missing`);
  const tile = Tile.of(bytes);
  if (!tile.isFull()) throw new Malformed(`tile ${level}/${index} is not full`);
  return tile;
}

/** Reads a full tile from the row that has it; null if there is none. */
export function tileReader(store: Pick<Reader, "get">): ReadTile {
  return async (level, index) => {
    if (level > 0) return await store.get(tables.tiles, tileKey(level, index));
    const row = await store.get(tables.tiles, tileKey(level, index - (index % 2n)));
    if (row === null) return null;
    if (row.length !== stretch * hashLength) throw new Malformed(`tile 0/${index}: length`);
    const from = index % 2n === 0n ? 0 : tileWidth * hashLength;
    return row.subarray(from, from + tileWidth * hashLength);
  };
}
