/**
 * Makes anew what follows from a log's entries: its tiles and its indices, also those that an earlier release laid out in its way. Entries, promises, heads, the intent and what the vault
 * keeps are never touched; if the entries do not give exactly the trees that were decided on and signed, nothing is written at all.
 * Nobody else may have the log open.
 */
import { equalBytes, uintFrom } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { hashLength, leafHash } from "../../core/formats/merkle.ts";
import { tileWidth } from "../../core/formats/tile.ts";
import type { Partition, Write } from "../../core/storage.ts";
import { IdentityRows } from "./antispam.ts";
import { formats, type LogFormat, type Placed } from "./format.ts";
import type { TreeToSign } from "./head.ts";
import type { LogConfig } from "./manifest.ts";
import { identityOfStored } from "./identity.ts";
import { decodeHeadRow, decodeIntent, intentKey, layout, layoutKey, tables } from "./rows.ts";
import { entriesBeyond, lastRun, readPlaced } from "./runs.ts";
import { straysIn } from "./strays.ts";
import { Tree, tileReader } from "./tree.ts";

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
  const last = await lastRun(partition);
  if (intentRow === null) {
    if (last !== undefined || (signed?.size ?? 0n) > 0n) {
      throw new Irreparable("the store has lost what the log decided on last; restore it");
    }
    return { entries: 0n, tiles: 0, indexed: 0, removed: 0 };
  }
  const { size, root } = decodeIntent(intentRow);
  const trees = [{ size, root }, ...(signed ? [signed] : []), ...(await newestHead(partition))];
  await requireTrees(partition, trees);
  const beyond = entriesBeyond(last, size);
  if (beyond !== null) throw new Irreparable(`${beyond}; restore it`);
  const repair = new Repair(partition, { format: formats[format], intentRow });
  const onPage = async (placed: readonly Placed[], tree: Tree) =>
    await repair.page(placed, tree.takeWrites());
  await walk(partition, size, { onPage });
  const removed = await repair.removeStrays(size);
  await repair.finish();
  return { entries: size, ...repair.counts, removed };
}

class Repair {
  readonly #partition: Partition;
  readonly #format: LogFormat;
  readonly #intentRow: Uint8Array;
  readonly #identities = new IdentityRows();
  #tiles = 0;
  #indexed = 0;

  constructor(
    partition: Partition,
    { format, intentRow }: { readonly format: LogFormat; readonly intentRow: Uint8Array },
  ) {
    this.#partition = partition;
    this.#format = format;
    this.#intentRow = intentRow;
  }

  get counts() {
    return { tiles: this.#tiles, indexed: this.#indexed };
  }

  async page(placed: readonly Placed[], made: readonly Write[]): Promise<void> {
    if (!this.#format.identityIsLeafHash) {
      for (const one of placed) {
        this.#identities.add(one.index, identityOfStored(this.#format, one, leafHash(one.entry)));
      }
    }
    const tiles = await this.#different(made);
    const indices = await this.#different(this.#identities.takeWrites());
    this.#tiles += tiles.length;
    this.#indexed += indices.length;
    await this.#commit([...tiles, ...indices]);
  }

  /** Rows that belong to no tree of this size. */
  async removeStrays(size: bigint): Promise<number> {
    let removed = 0;
    for await (const strays of straysIn(this.#partition, this.#format, size)) {
      removed += strays.length;
      await this.#commit(strays.map(({ table, key }) => ({ table, key, value: null })));
    }
    return removed;
  }

  /** Says, last of all, that everything is laid out as it is by this release. */
  async finish(): Promise<void> {
    await this.#commit(
      await this.#different([{ table: tables.state, key: layoutKey, value: layout }]),
    );
  }

  async #different(writes: readonly Write[]): Promise<Write[]> {
    const different: Write[] = [];
    for (const write of writes) {
      const stored = await this.#partition.get(write.table, write.key);
      const isGood = stored !== null && write.value !== null && equalBytes(stored, write.value);
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
  const readTile = tileReader(partition);
  const width = BigInt(tileWidth);
  for (let from = 0n; from + width <= size; from += width) {
    const hashes = await readTile(0, from / width).catch(() => null);
    const placed = hashes === null ? [] : await pageFrom(partition, from, tileWidth);
    for (const [at, { index, entry }] of placed.entries()) {
      const leaf = hashes?.subarray(at * hashLength, (at + 1) * hashLength);
      if (leaf && equalBytes(leafHash(entry), leaf)) continue;
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
    const left = size - from;
    const placed = await pageFrom(partition, from, left < pageSize ? Number(left) : pageSize);
    for (const entry of placed) {
      tree.append(leafHash(entry.entry));
      await onEntry(tree);
    }
    if (placed.length === 0) {
      throw new Irreparable(`entry ${from} of ${size} is missing; restore it`);
    }
    await onPage(placed, tree);
  }
}

async function pageFrom(partition: Partition, from: bigint, count: number): Promise<Placed[]> {
  try {
    return await readPlaced(partition, from, count);
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new Irreparable(`the run of entries at ${from} or behind it cannot be read; restore it`, {
      cause,
    });
  }
}

async function newestHead(partition: Partition): Promise<TreeToSign[]> {
  const [row] = await partition.scan(tables.heads, { limit: 1, reverse: true });
  return row === undefined ? [] : [decodeHeadRow(uintFrom(row.key), row.value)];
}
