/**
 * Copies a log in tiles, verifying top down: the tiles at the right edge must give the checkpoint's root, and every other tile the
 * hash that the tile above it holds, and every entry its leaf. Nothing is kept that does not lead to a checkpoint the log has signed,
 * and no new checkpoint unless its tree goes on from the one that is held. The checkpoint is kept last, so a copy that was
 * interrupted goes on where it was.
 */
import { equalBytes } from "../../../core/formats/encoding.ts";
import { Malformed } from "../../../core/formats/malformed.ts";
import { emptyRoot, hashLength, leafHash } from "../../../core/formats/merkle.ts";
import { decodeEntryBundle, tileWidth } from "../../../core/formats/tile.ts";
import { NotVerified } from "../verify/not-verified.ts";
import type { VerifiedCheckpoint } from "./note-key.ts";
import {
  bundlePath,
  edgeOf,
  hashAt,
  hashesAt,
  levelsOf,
  requireParent,
  rootFromEdge,
  tilePath,
} from "./tree.ts";

/** Where the log is read. */
export interface Source {
  /** Null if there is nothing under the path. */
  readonly read: (path: string) => Promise<Uint8Array | null>;
}

/** Where the copy is kept, under the same paths. */
export interface Copy extends Source {
  /** Durable when it resolves; whole or not at all. */
  readonly write: (path: string, bytes: Uint8Array) => Promise<void>;
  readonly remove: (path: string) => Promise<void>;
}

/** What is copied. */
export interface CopyRequest {
  readonly source: Source;
  readonly copy: Copy;
  /** The log's newest checkpoint. */
  readonly checkpoint: VerifiedCheckpoint;
  /** Checkpoints the copy has believed before: the one it is complete to, and one it was on its way to. */
  readonly held: VerifiedCheckpoint | null;
  readonly pending: VerifiedCheckpoint | null;
  /** True if what is held already is read and verified again; what is damaged is fetched anew. */
  readonly deep: boolean;
  /** Called once the checkpoint's tree is known to go on from all that was believed, before anything is kept. */
  readonly believed?: () => Promise<void>;
}

/** What was done. */
export interface Copied {
  /** Tiles and bundles that were read from the log and kept. */
  readonly fetched: number;
  /** Of those, how many the copy had lost or held damaged. */
  readonly healed: number;
}

/** The log shows a tree that does not go on from one it has signed: it is forked, or was rolled back. */
export class LogForked extends NotVerified {
  readonly before: VerifiedCheckpoint;

  constructor(before: VerifiedCheckpoint, after: VerifiedCheckpoint) {
    super(
      "log-entry",
      `the log has signed a tree of ${after.size} entries that does not go on from its tree of ${before.size}`,
    );
    this.before = before;
  }
}

/** Files at once. */
const atOnce = 8;

/** Copies everything up to the checkpoint. @throws {Malformed} {@link LogForked} and nothing bad is kept then */
export async function copyLog(request: CopyRequest): Promise<Copied> {
  const { checkpoint, held, pending } = request;
  const work = new Work(request);
  await work.readEdge();
  for (const before of [held, pending]) if (before !== null) await work.requireGrowth(before);
  await request.believed?.();
  if (checkpoint.size > 0n) await work.copyTiles();
  return work.done;
}

class Work {
  readonly #request: CopyRequest;
  /** Tiles of the right edge, by level; null where the level ends with a full tile. */
  readonly #edge: (Uint8Array | null)[] = [];
  /** The tile of the level above that was looked at last. */
  #parent: { readonly path: string; readonly tile: Uint8Array } | null = null;
  #fetched = 0;
  #healed = 0;

  constructor(request: CopyRequest) {
    this.#request = request;
  }

  get done(): Copied {
    return { fetched: this.#fetched, healed: this.#healed };
  }

  /** @throws {Malformed} unless the edge gives the checkpoint's root */
  async readEdge(): Promise<void> {
    const { size, root } = this.#request.checkpoint;
    for (let level = 0; level < levelsOf(size); level++) {
      const { index, width } = edgeOf(level, size);
      this.#edge.push(width === 0 ? null : await this.#fetchPartial(level, index, width));
    }
    const found = size === 0n ? emptyRoot() : rootFromEdge(size, this.#edge);
    if (!equalBytes(found, root))
      throw new Malformed("the tiles do not give the checkpoint's root");
  }

  /** @throws {LogForked} unless the tree of `before` is a prefix of the checkpoint's */
  async requireGrowth(before: VerifiedCheckpoint): Promise<void> {
    const { size } = this.#request.checkpoint;
    if (before.size > size) throw new LogForked(before, this.#request.checkpoint);
    const tiles: (Uint8Array | null)[] = [];
    // From the top, so that each tile can be held against the one above it.
    for (let level = levelsOf(before.size) - 1; level >= 0; level--) {
      const { index, width } = edgeOf(level, before.size);
      const above = tiles[level + 1] ?? this.#edge[level + 1] ?? null;
      tiles[level] = width === 0 ? null : await this.#tileOf(level, index, above);
    }
    const found = before.size === 0n ? emptyRoot() : rootFromEdge(before.size, tiles);
    if (!equalBytes(found, before.root)) throw new LogForked(before, this.#request.checkpoint);
  }

  /** Keeps every tile and bundle that is not there yet, highest level first, and the edge. */
  async copyTiles(): Promise<void> {
    const { checkpoint, held, deep, copy } = this.#request;
    const heldSize = deep ? 0n : (held?.size ?? 0n);
    for (let level = levelsOf(checkpoint.size) - 1; level >= 0; level--) {
      const to = hashesAt(level + 1, checkpoint.size);
      const width = BigInt(atOnce);
      for (let from = hashesAt(level + 1, heldSize); from < to; from += width) {
        const until = from + width < to ? from + width : to;
        const indices = Array.from({ length: Number(until - from) }, (_, at) => from + BigInt(at));
        const wanted = await this.#wanted(level, indices);
        await all(wanted.map(async (one) => await this.#keep(level, one)));
      }
    }
    for (const [level, tile] of this.#edge.entries()) {
      if (tile === null) continue;
      const { index, width } = edgeOf(level, checkpoint.size);
      await this.#put(tilePath(level, index, width), tile);
      if (level > 0) continue;
      const path = bundlePath(index, width);
      await this.#put(path, await this.#fetchBundle(index, width, tile));
    }
    if (held !== null) await this.#removeOldEdge(held.size, copy);
  }

  /** One full tile, and on the lowest level its bundle. */
  async #keep(level: number, { index, expected }: Wanted): Promise<void> {
    const path = tilePath(level, index);
    const own = await this.#request.copy.read(path);
    const isGood = own !== null && leadsTo(own, expected);
    const tile = isGood ? own : await this.#fetchTile(level, index, expected);
    if (!isGood) await this.#put(path, tile, index, level);
    if (level > 0) return;
    const bundle = bundlePath(index);
    const kept = await this.#request.copy.read(bundle);
    if (kept !== null && holds(kept, tile, tileWidth)) return;
    await this.#put(bundle, await this.#fetchBundle(index, tileWidth, tile), index, level);
  }

  async #put(path: string, bytes: Uint8Array, index = 0n, level = -1): Promise<void> {
    const { held, copy } = this.#request;
    await copy.write(path, bytes);
    this.#fetched++;
    if (level >= 0 && index < hashesAt(level + 1, held?.size ?? 0n)) this.#healed++;
  }

  /** What the level above holds for tiles of consecutive indices. */
  async #wanted(level: number, indices: readonly bigint[]): Promise<readonly Wanted[]> {
    const wanted: Wanted[] = [];
    // One after the other: neighbours have one tile above them.
    for (const index of indices) {
      const parent = await this.#kept(level + 1, index / BigInt(tileWidth));
      wanted.push({ index, expected: hashAt(parent, Number(index % BigInt(tileWidth))) });
    }
    return wanted;
  }

  /** A tile of a level that is copied already, or of the edge. */
  async #kept(level: number, index: bigint): Promise<Uint8Array> {
    const edge = edgeOf(level, this.#request.checkpoint.size);
    const own = this.#edge[level];
    if (index === edge.index && own) return own;
    const path = tilePath(level, index);
    if (this.#parent?.path !== path) {
      const tile = await this.#request.copy.read(path);
      if (tile === null || tile.length !== tileWidth * hashLength) {
        throw new Malformed(`the copy has lost ${path}; follow the log again with --deep`);
      }
      this.#parent = { path, tile };
    }
    return this.#parent.tile;
  }

  /** A tile of today's tree, wherever it is in it. */
  async #tileOf(level: number, index: bigint, above: Uint8Array | null): Promise<Uint8Array> {
    const edge = edgeOf(level, this.#request.checkpoint.size);
    const own = this.#edge[level];
    if (index === edge.index && own) return own;
    if (above === null) throw new Malformed("a tile has nothing above it");
    const expected = hashAt(above, Number(index % BigInt(tileWidth)));
    return await this.#fetchTile(level, index, expected);
  }

  async #fetchTile(level: number, index: bigint, expected: Uint8Array): Promise<Uint8Array> {
    const path = tilePath(level, index);
    const tile = await this.#fetch(path);
    requireParent(tile, expected, path);
    return tile;
  }

  /** The log may have dropped a partial tile that has become a wider one. */
  async #fetchPartial(level: number, index: bigint, width: number): Promise<Uint8Array> {
    const { source } = this.#request;
    const path = tilePath(level, index, width);
    const tile = (await source.read(path)) ?? (await this.#fetch(tilePath(level, index)));
    if (tile.length < width * hashLength) throw new Malformed(`${path} is too short`);
    return tile.subarray(0, width * hashLength);
  }

  async #fetchBundle(index: bigint, width: number, tile: Uint8Array): Promise<Uint8Array> {
    const { source } = this.#request;
    const path = bundlePath(index, width);
    const found = (await source.read(path)) ?? (await this.#fetch(bundlePath(index)));
    const bundle = firstEntries(found, width);
    if (!holds(bundle, tile, width)) throw new Malformed(`${path} is not what the tree holds`);
    return bundle;
  }

  async #fetch(path: string): Promise<Uint8Array> {
    const bytes = await this.#request.source.read(path);
    if (bytes === null) throw new Malformed(`the log has no ${path}`);
    return bytes;
  }

  async #removeOldEdge(before: bigint, copy: Copy): Promise<void> {
    const { size } = this.#request.checkpoint;
    for (let level = 0; level < levelsOf(before); level++) {
      const { index, width } = edgeOf(level, before);
      const now = edgeOf(level, size);
      if (width === 0 || (now.index === index && now.width === width)) continue;
      await copy.remove(tilePath(level, index, width));
      if (level === 0) await copy.remove(bundlePath(index, width));
    }
  }
}

interface Wanted {
  readonly index: bigint;
  readonly expected: Uint8Array;
}

/** The part of a bundle that holds its first entries. @throws {Malformed} if it has fewer */
function firstEntries(bundle: Uint8Array, width: number): Uint8Array {
  const entries = decodeEntryBundle(bundle);
  if (entries.length < width) throw new Malformed("entry bundle: too few entries");
  const length = entries.slice(0, width).reduce((sum, entry) => sum + 2 + entry.length, 0);
  return bundle.subarray(0, length);
}

/** True if every entry is the leaf that the tile holds for it. */
function holds(bundle: Uint8Array, tile: Uint8Array, width: number): boolean {
  try {
    const entries = decodeEntryBundle(bundle);
    return (
      entries.length === width &&
      entries.every((entry, at) => equalBytes(leafHash(entry), hashAt(tile, at)))
    );
  } catch (thrown) {
    if (thrown instanceof Malformed) return false;
    throw thrown;
  }
}

function leadsTo(tile: Uint8Array, expected: Uint8Array): boolean {
  try {
    requireParent(tile, expected, "the tile");
    return true;
  } catch (thrown) {
    if (thrown instanceof Malformed) return false;
    throw thrown;
  }
}

/** Waits for every one of them, so that nothing is written any more once the first that failed is told. */
async function all(works: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}
