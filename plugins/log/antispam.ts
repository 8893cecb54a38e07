/**
 * How an entry is found by its leaf hash, and an equal one by its identity. What leads to it lies in memory; it is made at the start from
 * the hashes of the tiles, and in a CT log, where the identity is no leaf hash, from rows of the first bytes of identities, one for
 * each {@link stretch} of entries. Of the stretch that is not complete, both are made from the entries.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { concat } from "../../core/formats/encoding.ts";
import { hashLength } from "../../core/formats/merkle.ts";
import { tileWidth } from "../../core/formats/tile.ts";
import type { Reader, Write } from "../../core/storage.ts";
import type { LogFormat, Placed } from "./format.ts";
import { identityOfStored } from "./identity.ts";
import { prefixLength, PrefixIndex } from "./prefix-index.ts";
import { numberKey, stretch, tables, tileKey } from "./rows.ts";
import { readPlaced } from "./runs.ts";
import { leafHash } from "../../core/formats/merkle.ts";

/** Rows read between two looks at what else there is to do. */
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
    store: Pick<Reader, "get" | "scan">,
    format: LogFormat,
    { size, newest }: { readonly size: bigint; readonly newest: readonly Placed[] },
  ): Promise<Antispam> {
    const antispam = new Antispam(format);
    for (let from = 0n; from + BigInt(stretch) <= size; from += BigInt(stretch)) {
      await antispam.#loadStretch(store, format, from);
      if ((from / BigInt(stretch)) % BigInt(rowsAtOnce) === 0n) await nextTurn();
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
  async #loadStretch(
    store: Pick<Reader, "get" | "scan">,
    format: LogFormat,
    from: bigint,
  ): Promise<void> {
    const hashes = await store.get(tables.tiles, tileKey(0, from / BigInt(tileWidth)));
    const stored = this.#rows === null ? hashes : await store.get(tables.antispam, numberKey(from));
    const isWhole =
      hashes?.length === stretch * hashLength &&
      (this.#rows === null || stored?.length === stretch * prefixLength);
    const { leaves, identities } =
      isWhole && stored !== null
        ? { leaves: hashes, identities: stored }
        : await fromEntries(store, format, from);
    const identityLength = identities.length / stretch;
    for (let at = 0; at < stretch; at++) {
      const index = Number(from) + at;
      this.#leaves.addUnsorted(leaves.subarray(at * hashLength), index);
      if (this.#rows === null) continue;
      this.#identities.addUnsorted(identities.subarray(at * identityLength), index);
    }
  }
}

async function fromEntries(
  store: Pick<Reader, "scan">,
  format: LogFormat,
  from: bigint,
): Promise<{ readonly leaves: Uint8Array; readonly identities: Uint8Array }> {
  const placed = await readPlaced(store, from, stretch);
  const leaves = placed.map(({ entry }) => leafHash(entry));
  const identities = placed.map((one, at) =>
    identityOfStored(format, one, leaves[at] ?? new Uint8Array()),
  );
  const missing = new Uint8Array((stretch - placed.length) * hashLength);
  return { leaves: concat(...leaves, missing), identities: concat(...identities, missing) };
}
