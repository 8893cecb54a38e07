/** What the two loops of a log share, and how it is read from the store at the start and found to be true. */
import type { Context, Store } from "../../core/plugin.ts";
import type { SteadyClock } from "../../core/clock.ts";
import { equalBytes, uintFrom } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { emptyRoot, leafHash } from "../../core/formats/merkle.ts";
import { describeKey, lastSigned, type sign } from "../../events/hsm.ts";
import { Failure } from "../../events/failure.ts";
import type { entriesAppended, Head } from "../../events/log.ts";
import type { Schema } from "../../events/contract.ts";
import { Antispam } from "./antispam.ts";
import { formats, type LogFormat, type Placed } from "./format.ts";
import { identityOfStored } from "./identity.ts";
import { checkHead, headKeyOf, type HeadKey, type TreeToSign } from "./head.ts";
import { type Life, readLife, readRetirement } from "./life.ts";
import type { LogConfig } from "./manifest.ts";
import { PendingEntries, type Pending } from "./pending.ts";
import {
  decodeHeadRow,
  decodeIntent,
  decodePromises,
  frozenKey,
  intentKey,
  layout,
  layoutKey,
  retiredKey,
  stretch,
  tables,
  type Intent,
} from "./rows.ts";
import { HeadPace } from "./pace.ts";
import { RecentEntries } from "./recent.ts";
import { NewestRun, newestRows, readPlaced } from "./runs.ts";
import { Signal } from "./signal.ts";
import { Tree, tileReader } from "./tree.ts";

/** The asks of the vault a log puts. */
type VaultAsk = typeof sign | typeof describeKey | typeof lastSigned;

/** What a log is given by its plugin. */
export interface LogSurroundings {
  readonly config: LogConfig;
  readonly store: Store<readonly [typeof entriesAppended]>;
  readonly ask: Context<Schema, readonly VaultAsk[]>["ask"];
  readonly clock: Context["clock"];
  /** The same clock, under watch: what it does not tell is promised to nobody. */
  readonly steady: SteadyClock;
  readonly journal: Context["journal"];
}

/** A log in memory. */
export interface LogState {
  readonly name: string;
  readonly keyLabel: string;
  readonly format: LogFormat;
  readonly key: HeadKey;
  readonly tree: Tree;
  readonly pending: PendingEntries;
  /** Finds what is in the tree. */
  readonly antispam: Antispam;
  /** Where entries are stored next. */
  readonly newestRun: NewestRun;
  /** The intent as it is stored, which the next commit expects to find; null before the first. */
  intentRow: Uint8Array | null;
  /** The newest tree that is durable. Its root is the only one of its size that may be signed. */
  durable: Intent;
  /** The newest head that is signed and shown; null until the first is. */
  published: Head | null;
  /** Durable entries that are not promised and published yet: consecutive, oldest first. */
  unpublished: Pending[];
  /** When the next head is due. */
  readonly pace: HeadPace;
  readonly recent: RecentEntries;
  /** Signed, but not yet stored. */
  unsaved: Unsaved;
  /** On its way into the store. */
  saving: Unsaved;
  /** Whether it takes entries. */
  life: Life;
  /** Why the log does nothing any more; it must be started again. */
  broken: string | null;
  readonly sequencerWake: Signal;
  readonly publisherWake: Signal;
  /** Rung when entries have been promised and published. */
  readonly releasedWake: Signal;
}

/** What rides in the next commit. */
export interface Unsaved {
  readonly heads: Head[];
  readonly promises: { readonly from: bigint; readonly promises: readonly Uint8Array[] }[];
  readonly settled: Pending[];
}

/** @returns nothing to save. */
export const nothingUnsaved = (): Unsaved => ({ heads: [], promises: [], settled: [] });

/** True if there is nothing to save. */
export function isNothing({ heads, promises, settled }: Unsaved): boolean {
  return heads.length === 0 && promises.length === 0 && settled.length === 0;
}

/** Entries that nobody waits for any more: promised, or published if the log promises nothing. */
export function promisedSize({
  unpublished,
  durable,
}: Pick<LogState, "unpublished" | "durable">): bigint {
  return unpublished[0]?.placed?.index ?? durable.size;
}

const adoptedAtOnce = 256;

/**
 * What the vault signed last with the log's key. Of a retired log nobody asks: the tree that it was frozen with is the last.
 *
 * @throws {Failure} of the ask
 */
export async function lastSignedOf({ ask, config, store }: LogSurroundings): Promise<TreeToSign> {
  const isRetired = (await store.get(tables.state, retiredKey)) !== null;
  const frozen = isRetired ? await store.get(tables.state, frozenKey) : null;
  return frozen === null ? await ask(lastSigned, { key: config.key }) : decodeIntent(frozen);
}

/**
 * Reads a log and proves it: the stored right edge, recomputed, is the intent's tree; the newest head and what the vault signed
 * last are trees of this log.
 *
 * @throws {Failure} log-unavailable with one sentence that says what is wrong, and nothing has been signed or written then.
 */
export async function loadLog(
  surroundings: LogSurroundings,
  signed: TreeToSign,
): Promise<LogState> {
  const { config, store } = surroundings;
  try {
    const format = formats[config.format];
    const key = await keyOf(surroundings, format);
    const intentRow = await store.get(tables.state, intentKey);
    const durable: Intent = intentRow
      ? decodeIntent(intentRow)
      : { size: 0n, root: emptyRoot(), integratedAtMs: 0n };
    if (intentRow !== null) await requireLayout(store, config);
    const newest = await newestEntries(store, durable.size);
    const leaves = newest.map(({ entry }) => leafHash(entry));
    const tree = await Tree.load(durable.size, leaves, tileReader(store));
    await checkTree(tree, durable, signed, config);
    const published = await newestHead(store, tree, { format, key });
    if (published !== null) checkGuard(published, signed, config);
    const pending = new PendingEntries();
    return {
      name: config.name,
      keyLabel: config.key,
      format,
      key,
      tree,
      pending,
      antispam: await Antispam.load(store, format, { size: durable.size, newest }),
      newestRun: NewestRun.of(await newestRows(store), durable),
      intentRow,
      durable,
      published,
      unpublished: await adoptUnpromised(store, { format, pending, size: durable.size }),
      pace: new HeadPace(format.headDelayMs),
      recent: new RecentEntries(),
      unsaved: nothingUnsaved(),
      saving: nothingUnsaved(),
      life: await readLife(store, durable),
      broken: null,
      sequencerWake: new Signal(),
      publisherWake: new Signal(),
      releasedWake: new Signal(),
    };
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    throw new Failure(
      "log-unavailable",
      `log "${config.name}": its store is damaged: ${thrown.message}; restore it, run fsck, and sign nothing before; ` +
        `if its entries are whole, \`chancery log repair ${config.name}\` makes the rest anew`,
      { cause: thrown },
    );
  }
}

async function keyOf(surroundings: LogSurroundings, format: LogFormat): Promise<HeadKey> {
  const { ask, config, store } = surroundings;
  const firstIndex = BigInt(config.firstIndex ?? 0);
  const retirement = await readRetirement(store);
  if (retirement !== null) return headKeyOf({ ...retirement, firstIndex });
  const described = await ask(describeKey, { key: config.key });
  const { publicKey, algorithm, origin, noteName } = described;
  const wrong = (what: string) =>
    new Failure("log-unavailable", `log "${config.name}": the key "${config.key}" ${what}`);
  if (origin === undefined) throw wrong("has no origin in the keyring");
  // RFC 6962 §2.1.4 here, and for Rekor v1 what its clients verify with.
  if (format.promise !== null && algorithm !== "ecdsa-p256") throw wrong("is not ECDSA P-256");
  return headKeyOf({ publicKey, origin, noteName, firstIndex });
}

async function checkTree(
  tree: Tree,
  durable: Intent,
  signed: TreeToSign,
  { name }: LogConfig,
): Promise<void> {
  if (signed.size > durable.size) {
    throw new Failure(
      "log-unavailable",
      `log "${name}": the store holds ${durable.size} entries, but its key has signed a tree of ${signed.size}: ` +
        "the store is older than the vault; restore the newer store, never sign over this one",
    );
  }
  if (!equalBytes(await tree.root(), durable.root)) {
    throw new Malformed("tiles and entries do not give the root of the intent");
  }
  if (!equalBytes(await tree.root(signed.size), signed.root)) {
    throw new Failure(
      "log-unavailable",
      `log "${name}": its key has signed another tree of ${signed.size} entries than the store holds: ` +
        "this store belongs to another history; restore the right one",
    );
  }
}

/** The vault writes down what it signs before it signs it, so a signed head that it does not know of means that it forgot. */
function checkGuard(published: Head, signed: TreeToSign, { name }: LogConfig): void {
  if (published.size <= signed.size) return;
  throw new Failure(
    "log-unavailable",
    `log "${name}": a head of ${published.size} entries is signed, but the vault remembers signing ${signed.size} only: ` +
      "the vault's state is older than the log and could be made to sign a fork; put the newer vault/vault.db back",
  );
}

/** @throws {Failure} log-unavailable unless the store is laid out as it is by this release */
async function requireLayout(store: LogSurroundings["store"], { name }: LogConfig): Promise<void> {
  const found = await store.get(tables.state, layoutKey);
  if (found !== null && equalBytes(found, layout)) return;
  throw new Failure(
    "log-unavailable",
    `log "${name}": its store is laid out as by an earlier release; it is made over by saying, with the instance stopped: chancery log repair ${name}`,
  );
}

/** The entries behind the last complete stretch: nothing else is stored of them. */
async function newestEntries(store: LogSurroundings["store"], size: bigint): Promise<Placed[]> {
  const from = size - (size % BigInt(stretch));
  const newest = await readPlaced(store, from, stretch + 1);
  if (BigInt(newest.length) === size - from) return newest;
  throw new Malformed(
    `there are ${newest.length} entries from ${from} on instead of ${size - from}`,
  );
}

async function newestHead(
  store: LogSurroundings["store"],
  tree: Tree,
  { format, key }: { readonly format: LogFormat; readonly key: HeadKey },
): Promise<Head | null> {
  const [row] = await store.scan(tables.heads, { limit: 1, reverse: true });
  if (row === undefined) return null;
  const head = decodeHeadRow(uintFrom(row.key), row.value);
  if (head.size > tree.size) throw new Malformed(`a head of size ${head.size} is beyond the tree`);
  checkHead(head, key, format);
  if (!equalBytes(await tree.root(head.size), head.root)) {
    throw new Malformed(`the head of size ${head.size} is not of this tree`);
  }
  return head;
}

async function adoptUnpromised(
  store: LogSurroundings["store"],
  log: { readonly format: LogFormat; readonly pending: PendingEntries; readonly size: bigint },
): Promise<Pending[]> {
  const { format, pending, size } = log;
  if (format.promise === null) return [];
  const [row] = await store.scan(tables.promises, { limit: 1, reverse: true });
  let next = row ? uintFrom(row.key) + BigInt(decodePromises(row.value).length) : 0n;
  if (next > size) throw new Malformed(`there are promises up to ${next}, beyond the tree`);
  const adopted: Pending[] = [];
  while (next < size) {
    const read = await readPlaced(store, next, adoptedAtOnce);
    if (read.length === 0) throw new Malformed(`entry ${next} is missing`);
    for (const placed of read) {
      const leaf = leafHash(placed.entry);
      adopted.push(pending.adopt(identityOfStored(format, placed, leaf), leaf, placed));
    }
    next += BigInt(read.length);
  }
  return adopted;
}
