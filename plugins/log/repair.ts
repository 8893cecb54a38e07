/**
 * Makes anew what follows from a log's entries: its tiles and its indices. Entries, promises, heads, the intent and what the vault
 * keeps are never touched; if the entries do not give exactly the trees that were decided on and signed, nothing is written at all.
 * Nobody else may have the log open.
 */
import { equalBytes, uintFrom } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { hashLength, leafHash } from "../../core/formats/merkle.ts";
import { tileWidth } from "../../core/formats/tile.ts";
import type { Partition, Write } from "../../core/storage.ts";
import { formats, type Placed, tableOfIdentity } from "./format.ts";
import type { TreeToSign } from "./head.ts";
import type { LogConfig } from "./manifest.ts";
import {
  decodeEntryRow,
  decodeHeadRow,
  decodeIntent,
  intentKey,
  numberKey,
  tables,
  tileKey,
} from "./rows.ts";
import { identityOfStored } from "./state.ts";
import { Tree } from "./tree.ts";

/** What was made anew. */
export interface Repaired {
  readonly entries: bigint;
  readonly tiles: number;
  /** Rows of the indices that were missing or wrong. */
  readonly indexed: number;
  /** Rows of the indices that led to no entry of theirs. */
  readonly removed: number;
}

/** The entries are not those of the trees that were signed: this store cannot be repaired from itself. */
export class Irreparable extends Error {
  override readonly name = "Irreparable";
}

/** What is repaired. */
export interface RepairRequest {
  readonly partition: Partition;
  readonly format: LogConfig["format"];
  /** The newest tree the vault signed with the log's key, or null if it cannot be asked. */
  readonly signed: TreeToSign | null;
}

const pageSize = 512;

/** Repairs a log; done again it changes nothing. @throws {Irreparable} with one sentence, and nothing was written */
export async function repairLog(request: RepairRequest): Promise<Repaired> {
  const { partition, format, signed } = request;
  const intentRow = await partition.get(tables.state, intentKey);
  const [last] = await partition.scan(tables.entries, { limit: 1, reverse: true });
  if (intentRow === null) {
    if (last !== undefined || (signed?.size ?? 0n) > 0n) {
      throw new Irreparable("the store has lost what the log decided on last; restore it");
    }
    return { entries: 0n, tiles: 0, indexed: 0, removed: 0 };
  }
  const { size, root } = decodeIntent(intentRow);
  const trees = [{ size, root }, ...(signed ? [signed] : []), ...(await newestHead(partition))];
  await requireTrees(partition, trees);
  const repair = new Repair(partition, { format, intentRow });
  const onPage = async (placed: readonly Placed[], tree: Tree) =>
    await repair.page(placed, { tiles: tree.takeWrites(), isLast: tree.size === size });
  await walk(partition, size, { onPage });
  return { entries: size, ...repair.counts, removed: await repair.removeStrays(size) };
}

class Repair {
  readonly #partition: Partition;
  readonly #format: LogConfig["format"];
  readonly #intentRow: Uint8Array;
  #tiles = 0;
  #indexed = 0;

  constructor(
    partition: Partition,
    { format, intentRow }: { readonly format: LogConfig["format"]; readonly intentRow: Uint8Array },
  ) {
    this.#partition = partition;
    this.#format = format;
    this.#intentRow = intentRow;
  }

  get counts() {
    return { tiles: this.#tiles, indexed: this.#indexed };
  }

  /** `isLast` if no later page widens the tiles that are not full. */
  async page(
    placed: readonly Placed[],
    { tiles: made, isLast }: { readonly tiles: readonly Write[]; readonly isLast: boolean },
  ): Promise<void> {
    const tiles = await this.#different(made, isLast ? equalBytes : isSoFar);
    const indices = await this.#different(placed.flatMap((one) => this.#rowsOf(one)));
    this.#tiles += tiles.length;
    this.#indexed += indices.length;
    await this.#commit([...tiles, ...indices]);
  }

  /** Index rows that name no entry, or another one's. */
  async removeStrays(size: bigint): Promise<number> {
    const identities = tableOfIdentity(formats[this.#format]);
    let removed = 0;
    for (const table of new Set([tables.leaves, identities])) {
      let from: Uint8Array | undefined;
      for (let isMore = true; isMore;) {
        const range = { limit: pageSize, ...(from && { from }) };
        const rows = await this.#partition.scan(table, range);
        const strays: Write[] = [];
        for (const { key, value } of rows) {
          if (await this.#isOf(table, key, uintFrom(value), size)) continue;
          strays.push({ table, key, value: null });
        }
        removed += strays.length;
        await this.#commit(strays);
        const [last] = rows.slice(-1);
        isMore = rows.length === pageSize;
        if (last) from = after(last.key);
      }
    }
    return removed;
  }

  async #isOf(table: string, key: Uint8Array, index: bigint, size: bigint): Promise<boolean> {
    if (index >= size) return false;
    if (table === tables.leaves) {
      const tile = await this.#partition.get(tables.tiles, tileKey(0, index / BigInt(tileWidth)));
      const at = Number(index % BigInt(tileWidth)) * hashLength;
      return tile !== null && equalBytes(tile.subarray(at, at + hashLength), key);
    }
    const row = await this.#partition.get(tables.entries, numberKey(index));
    return row !== null && equalBytes(this.#identityOf({ index, ...decodeEntryRow(row) }), key);
  }

  #rowsOf(placed: Placed): Write[] {
    const value = numberKey(placed.index);
    const leaf = leafHash(placed.entry);
    const byLeaf = { table: tables.leaves, key: leaf, value };
    if (formats[this.#format].identityIsLeafHash) return [byLeaf];
    const key = this.#identityOf(placed);
    return [byLeaf, { table: tableOfIdentity(formats[this.#format]), key, value }];
  }

  #identityOf(placed: Placed): Uint8Array {
    return identityOfStored(formats[this.#format], placed, leafHash(placed.entry));
  }

  async #different(
    writes: readonly Write[],
    isSame: (stored: Uint8Array, wanted: Uint8Array) => boolean = equalBytes,
  ): Promise<Write[]> {
    const different: Write[] = [];
    for (const write of writes) {
      const stored = await this.#partition.get(write.table, write.key);
      const isGood = stored !== null && write.value !== null && isSame(stored, write.value);
      if (!isGood) different.push(write);
    }
    return different;
  }

  /** Only while the log is the one that was read. */
  async #commit(writes: readonly Write[]): Promise<void> {
    if (writes.length === 0) return;
    const expect = [{ table: tables.state, key: intentKey, value: this.#intentRow }];
    await this.#partition.commit({ writes, expect });
  }
}

/** @throws {Irreparable} unless the entries give every one of the trees */
async function requireTrees(partition: Partition, trees: readonly TreeToSign[]): Promise<void> {
  const [intent] = trees;
  const size = intent?.size ?? 0n;
  const bySize = trees.toSorted((a, b) => (a.size < b.size ? -1 : 1));
  const ahead = bySize.find((tree) => tree.size > size);
  if (ahead) {
    throw new Irreparable(
      `a tree of ${ahead.size} entries is signed, but the store holds ${size}: restore the newer store`,
    );
  }
  const onEntry = async (tree: Tree): Promise<void> => {
    for (const one of bySize.filter((each) => each.size === tree.size)) {
      if (equalBytes(await tree.root(), one.root)) continue;
      const where = await firstDamage(partition, one.size);
      throw new Irreparable(
        `the entries do not give the tree of ${one.size} that is signed or to be signed${where}; bring the entries back from a replica or backup`,
      );
    }
  };
  await walk(partition, size, { onEntry });
}

/** The first entry that the stored tiles contradict. */
async function firstDamage(partition: Partition, size: bigint): Promise<string> {
  for (let index = 0n; index < size; index++) {
    const row = await partition.get(tables.entries, numberKey(index));
    const tile = await partition.get(tables.tiles, tileKey(0, index / BigInt(tileWidth)));
    const at = Number(index % BigInt(tileWidth)) * hashLength;
    const leaf = tile?.subarray(at, at + hashLength);
    if (row === null || !leaf || !equalBytes(leafHash(decodeEntryRow(row).entry), leaf)) {
      return `, and entry ${index} is not what its tile says`;
    }
  }
  return "";
}

/** Goes through every entry in order. @throws {Irreparable} if one is missing */
async function walk(
  partition: Partition,
  size: bigint,
  {
    onEntry = async () => undefined,
    onPage = async (_placed, tree) => void tree.takeWrites(),
  }: {
    readonly onEntry?: (tree: Tree) => Promise<void>;
    /** Takes the tiles of the tree, which would fill the memory. */
    readonly onPage?: (placed: readonly Placed[], tree: Tree) => Promise<void>;
  },
): Promise<void> {
  const tree = new Tree(async () => null);
  while (tree.size < size) {
    const from = tree.size;
    const range = { from: numberKey(from), to: numberKey(size), limit: pageSize };
    const placed: Placed[] = [];
    for (const { key, value } of await partition.scan(tables.entries, range)) {
      if (uintFrom(key) !== tree.size) break;
      const entry = { index: tree.size, ...rowOf(value, tree.size) };
      placed.push(entry);
      tree.append(leafHash(entry.entry));
      await onEntry(tree);
    }
    if (placed.length === 0) {
      throw new Irreparable(`entry ${from} of ${size} is missing; restore it`);
    }
    await onPage(placed, tree);
  }
}

function rowOf(value: Uint8Array, index: bigint) {
  try {
    return decodeEntryRow(value);
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new Irreparable(`entry ${index} cannot be read; restore it`, { cause });
  }
}

async function newestHead(partition: Partition): Promise<TreeToSign[]> {
  const [row] = await partition.scan(tables.heads, { limit: 1, reverse: true });
  return row === undefined ? [] : [decodeHeadRow(uintFrom(row.key), row.value)];
}

/** True if the stored tile is the wanted one, or a later form of it. */
function isSoFar(stored: Uint8Array, wanted: Uint8Array): boolean {
  const isFull = wanted.length === tileWidth * hashLength;
  return equalBytes(isFull ? stored : stored.subarray(0, wanted.length), wanted);
}

/** The first key behind one. */
function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
