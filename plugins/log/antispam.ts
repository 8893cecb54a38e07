/**
 * How an entry is found by its leaf hash, and an equal one by its identity. What leads to it lies in memory; it is made at the start from
 * the hashes of the tiles, and in a CT log, where the identity is no leaf hash, from rows of the first bytes of identities, one for
 * each {@link stretch} of entries. Of the stretch that is not complete, both are made from the entries.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { concat } from "../../core/formats/encoding.ts";
import { hashLength, leafHash } from "../../core/formats/merkle.ts";
import { tileWidth } from "../../core/formats/tile.ts";
import type { Reader, Write } from "../../core/storage.ts";
import type { LogFormat, Placed } from "./format.ts";
import { identityOfStored } from "./identity.ts";
import { prefixLength, PrefixIndex } from "./prefix-index.ts";
import { numberKey, stretch, tables, tileKey } from "./rows.ts";
import { readPlaced } from "./runs.ts";

/** Rows of a table that are read at once: each wait for a storage far away costs more than a row, and so many tiles are 1 MiB. */
const rowsAtOnce = 64;

/** The rows of identities: what of them is complete is written, and the rest is kept until it is. */
export class IdentityRows {
  #prefixes = new Uint8Array(stretch * prefixLength);
  #writes: Write[] = [];

  /** Takes the identity of the entry behind the one before. */
  add(index: bigint, identity: Uint8Array): void {
    const at = Number(index % BigInt(stretch));
    this.#prefixes.set(identity.subarray(0, prefixLength), at * prefixLength);
    if (at + 1 < stretch) return;
    const key = numberKey(index + 1n - BigInt(stretch));
    this.#writes.push({ table: tables.antispam, key, value: this.#prefixes });
    this.#prefixes = new Uint8Array(stretch * prefixLength);
  }

  /** Rows that have become complete since the last call. */
  takeWrites(): Write[] {
    const writes = this.#writes;
    this.#writes = [];
    return writes;
  }
}

/** See the file's comment. */
export class Antispam {
  readonly #leaves = new PrefixIndex();
  readonly #identities: PrefixIndex;
  /** Null if the identity is the leaf hash. */
  readonly #rows: IdentityRows | null;

  private constructor({ identityIsLeafHash }: LogFormat) {
    this.#identities = identityIsLeafHash ? this.#leaves : new PrefixIndex();
    this.#rows = identityIsLeafHash ? null : new IdentityRows();
  }

  /** That of a stored log; `newest` are the entries behind its last complete stretch. @throws {Malformed} */
  static async load(
    store: Pick<Reader, "scan">,
    format: LogFormat,
    { size, newest }: { readonly size: bigint; readonly newest: readonly Placed[] },
  ): Promise<Antispam> {
    const antispam = new Antispam(format);
    const stretches = Number(size / BigInt(stretch));
    for (let first = 0; first < stretches; first += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, stretches - first);
      await antispam.#loadStretches(store, format, { first, count });
      await nextTurn();
    }
    antispam.#leaves.sort();
    antispam.#identities.sort();
    for (const placed of newest) {
      const leaf = leafHash(placed.entry);
      antispam.add(placed.index, { leaf, identity: identityOfStored(format, placed, leaf) });
    }
    return antispam;
  }

  /** Takes the entry behind the last. */
  add(
    index: bigint,
    { leaf, identity }: { readonly leaf: Uint8Array; readonly identity: Uint8Array },
  ): void {
    this.#leaves.add(leaf, Number(index));
    if (this.#rows === null) return;
    this.#identities.add(identity, Number(index));
    this.#rows.add(index, identity);
  }

  /** Entries that may have this leaf hash. */
  byLeaf(leaf: Uint8Array): readonly number[] {
    return this.#leaves.find(leaf);
  }

  /** Entries that may have this identity. */
  byIdentity(identity: Uint8Array): readonly number[] {
    return this.#identities.find(identity);
  }

  /** Rows that have become complete since the last call. */
  takeWrites(): Write[] {
    return this.#rows?.takeWrites() ?? [];
  }

  /** What rows lack, the entries tell: damage that can be made good must not keep a log from starting. */
  async #loadStretches(
    store: Pick<Reader, "scan">,
    format: LogFormat,
    { first, count }: { readonly first: number; readonly count: number },
  ): Promise<void> {
    const keyAt = (at: number) => BigInt(first + at) * BigInt(stretch);
    const tileAt = (at: number) => tileKey(0, keyAt(at) / BigInt(tileWidth));
    const identitiesAt = (at: number) => numberKey(keyAt(at));
    const hashes = await rowsOf(store, tables.tiles, { keyAt: tileAt, count });
    const isLeaf = this.#rows === null;
    const stored = isLeaf
      ? hashes
      : await rowsOf(store, tables.antispam, { keyAt: identitiesAt, count });
    for (let at = 0; at < count; at++) {
      const [leaves, identities] = [hashes[at], stored[at]];
      const isWhole =
        leaves?.length === stretch * hashLength &&
        identities?.length === stretch * (isLeaf ? hashLength : prefixLength);
      this.#addStretch(
        keyAt(at),
        isWhole ? { leaves, identities } : await fromEntries(store, format, keyAt(at)),
      );
    }
  }

  #addStretch(from: bigint, { leaves, identities }: StretchHashes): void {
    const identityLength = identities.length / stretch;
    for (let at = 0; at < stretch; at++) {
      const index = Number(from) + at;
      this.#leaves.addUnsorted(leaves.subarray(at * hashLength), index);
      if (this.#rows === null) continue;
      this.#identities.addUnsorted(identities.subarray(at * identityLength), index);
    }
  }
}

/** What leads to the entries of a stretch, one behind the other. */
interface StretchHashes {
  readonly leaves: Uint8Array;
  readonly identities: Uint8Array;
}

/** So many rows whose keys follow one another. Of tiles, one row that is none of ours may lie behind each. */
async function rowsOf(
  store: Pick<Reader, "scan">,
  table: string,
  { keyAt, count }: { readonly keyAt: (at: number) => Uint8Array; readonly count: number },
): Promise<(Uint8Array | undefined)[]> {
  const rows = await store.scan(table, { from: keyAt(0), to: keyAt(count), limit: 2 * count });
  const byKey = new Map(rows.map(({ key, value }) => [key.toHex(), value]));
  return Array.from({ length: count }, (_, at) => byKey.get(keyAt(at).toHex()));
}

async function fromEntries(
  store: Pick<Reader, "scan">,
  format: LogFormat,
  from: bigint,
): Promise<StretchHashes> {
  const placed = await readPlaced(store, from, stretch);
  const leaves = placed.map(({ entry }) => leafHash(entry));
  const identities = placed.map((one, at) =>
    identityOfStored(format, one, leaves[at] ?? new Uint8Array()),
  );
  const missing = new Uint8Array((stretch - placed.length) * hashLength);
  return { leaves: concat(...leaves, missing), identities: concat(...identities, missing) };
}
