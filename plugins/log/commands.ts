/**
 * The log's part of `fsck`: recomputes every tree from its raw entries, without trusting a hash or an index that is stored, and
 * checks everything signed. It reads beside a running log: what is newer than the intent it began with is left to the next run.
 */
import { equalBytes, uintFrom } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { emptyRoot, leafHash } from "../../core/formats/merkle.ts";
import type { Reader, Write } from "../../core/storage.ts";
import { IdentityRows } from "./antispam.ts";
import { ChainCheck } from "./extra-data.ts";
import { checkFacts, type ReadFact } from "./fact-check.ts";
import { formats, type Placed } from "./format.ts";
import { checkHead, headKeyOf, type TreeToSign } from "./head.ts";
import type { LogConfig } from "./manifest.ts";
import { checkStrays } from "./strays.ts";
import {
  decodeHeadRow,
  decodeIntent,
  decodePromises,
  intentKey,
  layout,
  layoutKey,
  numberKey,
  tables,
} from "./rows.ts";
import { identityOfStored } from "./identity.ts";
import { entriesBeyond, lastRun, readPlaced } from "./runs.ts";
import { Tree } from "./tree.ts";

export { firstIndexOf } from "./first-index.ts";
export { readRetirement } from "./life.ts";
export { Irreparable, repairLog } from "./repair.ts";

/** Something that is not as it must be. */
export interface Finding {
  /** An `error` is damage or a broken promise; a `warning` is owed and will be made good by the running log. */
  readonly severity: "error" | "warning";
  readonly log: string;
  readonly text: string;
}

/** A log to be checked. */
export interface CheckedLog {
  readonly name: string;
  readonly format: LogConfig["format"];
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly origin: string;
  /** Name on the checkpoints' signature lines; the origin up to its first space if absent. */
  readonly noteName?: string;
  /** Index of its first entry over all shards; 0 if absent. */
  readonly firstIndex?: bigint;
  /** True if the chains beside its entries are to be looked at. */
  readonly hasChains?: boolean;
}

/** What {@link fsckLogs} needs. */
export interface FsckQuestion {
  /** A reader of the partition of the log with this name. */
  readonly openReader: (log: string) => Promise<Reader>;
  readonly logs: readonly CheckedLog[];
  /** The newest tree the vault signed with the log's key, or null if it cannot be asked. */
  readonly lastSigned: (log: string) => Promise<TreeToSign | null>;
  /** Name and body of a fact as the kernel stores it; without it, only gaps between facts are seen. @throws {Malformed} */
  readonly readFact?: ReadFact;
  /** True if tiles and indices are also looked through for rows that no entry leads to. */
  readonly deep?: boolean;
}

const pageSize = 512;

/** Every finding about the given logs; none if all is well. */
export async function fsckLogs(question: FsckQuestion): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const log of question.logs) {
    const report = (severity: Finding["severity"], text: string) =>
      findings.push({ severity, log: log.name, text });
    try {
      // Asked first: the store may only be newer than what the vault says.
      const signed = await question.lastSigned(log.name);
      await using reader = await question.openReader(log.name);
      const { readFact = null, deep = false } = question;
      await new Check(log, { reader, report, readFact }).run(signed);
      if (deep) {
        await checkStrays(reader, { ...log, report: (text) => report("error", text) });
      }
    } catch (thrown) {
      report("error", `cannot be checked: ${thrown instanceof Error ? thrown.message : "unknown"}`);
    }
  }
  return findings;
}

class Check {
  readonly #log: CheckedLog;
  readonly #reader: Reader;
  readonly #report: (severity: Finding["severity"], text: string) => void;
  readonly #tree = new Tree(async () => null);
  readonly #identities = new IdentityRows();
  readonly #chains = new ChainCheck();
  readonly #readFact: ReadFact | null;
  #newestMs = 0n;

  constructor(
    log: CheckedLog,
    parts: {
      readonly reader: Reader;
      readonly report: (severity: Finding["severity"], text: string) => void;
      readonly readFact: ReadFact | null;
    },
  ) {
    this.#log = log;
    this.#reader = parts.reader;
    this.#report = parts.report;
    this.#readFact = parts.readFact;
  }

  async run(signed: TreeToSign | null): Promise<void> {
    const row = await this.#reader.get(tables.state, intentKey);
    const intent = row ? decodeIntent(row) : { size: 0n, root: emptyRoot(), integratedAtMs: 0n };
    const trees = await this.#signedTrees(intent.size, signed);
    await this.#atSize(trees);
    if (row !== null) await this.#layout();
    while (this.#tree.size < intent.size) {
      if (!(await this.#page(intent.size, trees))) return;
    }
    if (!equalBytes(await this.#tree.root(), intent.root)) {
      this.#report(
        "error",
        `the entries do not give the root that is to be signed at ${intent.size}`,
      );
    }
    if (this.#newestMs !== intent.integratedAtMs) {
      this.#report("error", "the newest entry has another time than the intent says");
    }
    await this.#noEntryBeyond();
    await this.#noPromiseBeyond(intent.size);
    await checkFacts(this.#reader, {
      log: this.#log.name,
      size: intent.size,
      readFact: this.#readFact,
      report: (text) => this.#report("error", text),
    });
  }

  async #layout(): Promise<void> {
    const found = await this.#reader.get(tables.state, layoutKey);
    if (found !== null && equalBytes(found, layout)) return;
    const remedy = `stop the instance and say: chancery log repair ${this.#log.name}`;
    this.#report("error", `the store is laid out as by an earlier release; ${remedy}`);
  }

  /** One page of entries; false if there is a gap, behind which nothing can be recomputed. */
  async #page(size: bigint, trees: TreesBySize): Promise<boolean> {
    const from = this.#tree.size;
    const count = size - from < pageSize ? Number(size - from) : pageSize;
    const placed = await readPlaced(this.#reader, from, count);
    for (const entry of placed) {
      this.#entry(entry);
      await this.#atSize(trees);
    }
    await this.#rows(this.#tree.takeWrites());
    await this.#rows(this.#identities.takeWrites());
    await this.#promises(placed, size);
    if (placed.length === count) return true;
    this.#report("error", `entry ${this.#tree.size} of ${size} is missing`);
    return false;
  }

  #entry(placed: Placed): void {
    const { index, entry, integratedAtMs } = placed;
    const format = formats[this.#log.format];
    const leaf = leafHash(entry);
    this.#tree.append(leaf);
    if (integratedAtMs < this.#newestMs) {
      this.#report("error", `entry ${index} has a time before the entry before it`);
    }
    this.#newestMs = integratedAtMs;
    const wrong = this.#log.hasChains === true ? this.#chains.findingOf(placed) : null;
    if (wrong !== null) this.#report("error", `the chain beside entry ${index}: ${wrong}`);
    if (format.identityIsLeafHash) return;
    try {
      this.#identities.add(index, identityOfStored(format, placed, leaf));
    } catch (thrown) {
      if (!(thrown instanceof Malformed)) throw thrown;
      this.#report("error", `entry ${index} is malformed: ${thrown.message}`);
    }
  }

  /** What follows from the entries is stored as soon as it is complete, and never changes. */
  async #rows(wanted: readonly Write[]): Promise<void> {
    for (const { table, key, value } of wanted) {
      const stored = await this.#reader.get(table, key);
      if (stored && value && equalBytes(stored, value)) continue;
      const what =
        table === tables.tiles
          ? `tile ${key[0]}/${uintFrom(key.subarray(1))}`
          : `the antispam index from entry ${uintFrom(key)} on`;
      this.#report("error", `${what} is missing or different`);
    }
  }

  async #promises(placed: readonly Placed[], size: bigint): Promise<void> {
    const { promise } = formats[this.#log.format];
    const [first] = placed;
    if (promise === null || first === undefined) return;
    const promises = await this.#storedPromises(first.index, placed.length);
    const key = headKeyOf(this.#log);
    for (const entry of placed) {
      const made = promises.get(entry.index);
      if (made === undefined) {
        this.#missingPromise(entry.index, size);
        continue;
      }
      this.#noGapBefore(entry.index);
      if (!holds(() => promise.verify(entry, made, key))) {
        this.#report("error", `the promise for entry ${entry.index} does not verify`);
      }
    }
  }

  #owedFrom: bigint | null = null;

  #noGapBefore(index: bigint): void {
    if (this.#owedFrom === null) return;
    const sentence = `there are promises from ${index} on, but none for ${this.#owedFrom}`;
    this.#report("error", sentence);
    this.#owedFrom = null;
  }

  /** The run is read first: a running log has decided on all that it has stored. */
  async #noEntryBeyond(): Promise<void> {
    const last = await lastRun(this.#reader);
    const row = await this.#reader.get(tables.state, intentKey);
    const beyond = entriesBeyond(last, row ? decodeIntent(row).size : 0n);
    if (beyond !== null) this.#report("error", beyond);
  }

  /** A promise for an entry that is not there was one for another. */
  async #noPromiseBeyond(size: bigint): Promise<void> {
    const [last] = await this.#reader.scan(tables.promises, { limit: 1, reverse: true });
    if (last === undefined) return;
    const end = uintFrom(last.key) + BigInt(decodePromises(last.value).length);
    if (end <= size) return;
    this.#report("error", `there are promises up to entry ${end - 1n}, but ${size} entries`);
  }

  /** The newest entries' promises are stored with the next commit; a gap before one that is there is damage. */
  #missingPromise(index: bigint, size: bigint): void {
    if (this.#owedFrom !== null) return;
    this.#owedFrom = index;
    this.#report("warning", `entries ${index} to ${size - 1n} have no stored promise yet`);
  }

  async #storedPromises(from: bigint, count: number): Promise<ReadonlyMap<bigint, Uint8Array>> {
    const end = from + BigInt(count);
    const before = await this.#reader.scan(tables.promises, {
      to: numberKey(from + 1n),
      limit: 1,
      reverse: true,
    });
    const after = await this.#reader.scan(tables.promises, {
      from: numberKey(from + 1n),
      to: numberKey(end),
      limit: count,
    });
    const found = new Map<bigint, Uint8Array>();
    for (const { key, value } of [...before, ...after]) {
      const first = uintFrom(key);
      for (const [at, made] of decodePromises(value).entries()) found.set(first + BigInt(at), made);
    }
    return found;
  }

  /** Every signed tree, checked in itself; against the entries by {@link #atSize}. */
  async #signedTrees(size: bigint, signed: TreeToSign | null): Promise<TreesBySize> {
    const trees: TreesBySize = new Map();
    const add = (tree: TreeToSign, what: string) =>
      trees.set(tree.size, [...(trees.get(tree.size) ?? []), { root: tree.root, what }]);
    if (signed !== null) {
      add(signed, "the tree the vault signed last");
      if (signed.size > size) {
        this.#report(
          "error",
          `the vault has signed a tree of ${signed.size} entries, but the store holds ${size}: it is older than the vault`,
        );
      }
    }
    const key = headKeyOf(this.#log);
    for (let from = 0n; ;) {
      const rows = await this.#reader.scan(tables.heads, {
        from: numberKey(from),
        limit: pageSize,
      });
      for (const row of rows) {
        from = uintFrom(row.key) + 1n;
        if (from > size + 1n) continue;
        const head = decodeHeadRow(uintFrom(row.key), row.value);
        add(head, "the stored head");
        const wrong = whyNot(() => checkHead(head, key, formats[this.#log.format]));
        if (wrong !== null) this.#report("error", wrong);
      }
      if (rows.length < pageSize) return trees;
    }
  }

  async #atSize(trees: TreesBySize): Promise<void> {
    const signed = trees.get(this.#tree.size);
    if (signed === undefined) return;
    const root = await this.#tree.root();
    for (const tree of signed) {
      if (equalBytes(tree.root, root)) continue;
      this.#report("error", `${tree.what} of size ${this.#tree.size} is not of these entries`);
    }
  }
}

type TreesBySize = Map<bigint, readonly { readonly root: Uint8Array; readonly what: string }[]>;

function holds(check: () => boolean): boolean {
  try {
    return check();
  } catch (thrown) {
    if (thrown instanceof Malformed) return false;
    throw thrown;
  }
}

function whyNot(check: () => void): string | null {
  try {
    check();
    return null;
  } catch (thrown) {
    if (thrown instanceof Malformed) return thrown.message;
    throw thrown;
  }
}
