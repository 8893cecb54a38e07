/** The index: a shard for each log, over one file and one dictionary. It runs in a thread of its own and knows nothing of messages. */
import type { DatabaseSync } from "node:sqlite";
import { equalBytes } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { IndexDamaged, inTransaction, openIndex } from "./database.ts";
import { describeEntry } from "./describe.ts";
import { Dictionary } from "./dictionary.ts";
import {
  countAll,
  type Counted,
  findPage,
  type PageOf,
  type PlacesFound,
  type Search,
} from "./evaluate.ts";
import { type Indexed, indexedBy } from "./indexed.ts";
import { Runs } from "./run.ts";
import { Shard } from "./shard.ts";

/** An entry as the log has it. */
export interface LogEntry {
  readonly entry: Uint8Array;
  /** Digests of an attestation's subjects, which are beside it. */
  readonly subjects: Uint8Array;
  readonly atMs: number;
}

/** How far a log is in the index. */
export interface Extent {
  readonly log: string;
  readonly size: number;
  /** Leaf hash of the last entry; empty if there is none. */
  readonly lastHash: Uint8Array;
}

/** An open index. */
export class Engine implements Disposable {
  readonly #database: DatabaseSync;
  readonly #dictionary: Dictionary;
  readonly #shards = new Map<string, Shard>();
  #filling: Generator<void> | null = null;
  #merging: Generator<void> | null = null;

  /** @throws {IndexDamaged} or what else `isDamage` knows, if it cannot be relied on; what SQLite throws, if it cannot be opened. */
  constructor(path: string) {
    this.#database = openIndex(path);
    try {
      this.#dictionary = new Dictionary(this.#database);
      inTransaction(this.#database, () => new Runs(this.#database).clean());
      for (const row of this.#database
        .prepare("SELECT id, name, logId FROM logs ORDER BY id")
        .all()) {
        // The columns' types are STRICT.
        const { id, name, logId } = row as { id: number; name: string; logId: Uint8Array };
        this.#shards.set(name, new Shard(this.#database, this.#dictionary, { id, name, logId }));
      }
    } catch (thrown) {
      this.#database.close();
      throw thrown;
    }
  }

  /** Takes a log into the index, if it is not there yet. @throws {IndexDamaged} if there is another under its name */
  join(log: string, logId: Uint8Array): Extent {
    const known = this.#shards.get(log);
    if (known === undefined) {
      const add = this.#database.prepare(
        "INSERT INTO logs (name, logId, size, lastHash) VALUES (?, ?, 0, x'')",
      );
      const id = Number(add.run(log, logId).lastInsertRowid);
      this.#shards.set(log, new Shard(this.#database, this.#dictionary, { id, name: log, logId }));
    } else if (!equalBytes(known.log.logId, logId)) {
      throw new IndexDamaged(`the log "${log}" is not the one that is in the index`);
    }
    return this.#extent(this.#shard(log));
  }

  /** How far every log is in the index. */
  extents(): readonly Extent[] {
    return [...this.#shards.values()].map((shard) => this.#extent(shard));
  }

  /**
   * Adds the entries of a log from `first` on, which must be the next; anything else changes nothing. After any error the engine must
   * be closed: what it remembers may be more than what the file has.
   */
  add(log: string, first: number, entries: readonly LogEntry[]): Extent {
    const last = entries.at(-1);
    const indexed = entries.map(({ entry, subjects, atMs }) =>
      indexedBy(describeEntry(entry, subjects), atMs),
    );
    const lastHash = last === undefined ? new Uint8Array() : leafHash(last.entry);
    return this.addRead(log, first, { indexed, lastHash });
  }

  /** The same with entries that have been read already. */
  addRead(
    log: string,
    first: number,
    { indexed, lastHash }: { readonly indexed: readonly Indexed[]; readonly lastHash: Uint8Array },
  ): Extent {
    const shard = this.#shard(log);
    if (first === shard.size && indexed.length > 0) this.addIndexed(log, indexed, lastHash);
    return this.#extent(shard);
  }

  /** Adds the entries that follow, wherever they do. */
  addIndexed(log: string, entries: readonly Indexed[], lastHash: Uint8Array): void {
    this.#shard(log).add(entries, lastHash);
  }

  find(search: Search, page: PageOf): PlacesFound {
    return findPage(this.#all(), search, page);
  }

  count(search: Search, facets: readonly string[]): Counted {
    return countAll(this.#all(), search, facets);
  }

  /** Does some of the work that is due; false if there is none. */
  step(): boolean {
    // A merge may go on for long, and what is not in a run yet is in memory.
    this.#filling ??= this.#due((shard) => shard.filling());
    if (this.#filling !== null) {
      if (this.#filling.next().done === true) this.#filling = null;
      return true;
    }
    this.#merging ??= this.#due((shard) => shard.merging());
    if (this.#merging === null) return false;
    if (this.#merging.next().done === true) this.#merging = null;
    return true;
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #due(of: (shard: Shard) => Generator<void> | null): Generator<void> | null {
    for (const shard of this.#shards.values()) {
      const due = of(shard);
      if (due !== null) return due;
    }
    return null;
  }

  #all(): { shards: readonly Shard[]; dictionary: Dictionary } {
    return { shards: [...this.#shards.values()], dictionary: this.#dictionary };
  }

  #shard(log: string): Shard {
    const shard = this.#shards.get(log);
    if (shard === undefined) throw new TypeError(`the log "${log}" has not joined`);
    return shard;
  }

  #extent({ log: { name }, size, lastHash }: Shard): Extent {
    return { log: name, size, lastHash };
  }
}
