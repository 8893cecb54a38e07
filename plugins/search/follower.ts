/**
 * Keeps the index at the logs' heels. How far it is stands in the index's own file, written with what was indexed; so whatever ends this
 * process, the index goes on where it was. An index that is damaged, or that is of another log than the one that is there, is thrown
 * away and made anew. Nothing here can fail in a way that anybody else would notice.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { equalBytes } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import type { AnswerOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { listLogs, readEntries } from "../../events/log.ts";
import { type IndexThread, IndexUnavailable } from "./client.ts";
import { subjectsBeside } from "./describe.ts";
import type { SearchContext } from "./manifest.ts";

/** Within a second of the log. */
const pollMs = 200;
/** One transaction: whoever searches waits a few milliseconds for it at most. */
const entriesAtOnce = 128;
const backOff = { firstMs: 500, mostMs: 30_000 };

/** A log as the log room tells it. */
export interface KnownLog {
  readonly log: string;
  readonly format: Listed["format"];
  readonly logId: Uint8Array;
  readonly size: bigint;
  readonly firstIndex: bigint;
  readonly treeId?: string | undefined;
}

type Listed = AnswerOf<typeof listLogs>["logs"][number];

/** A log, and how much of it is in the index. */
export interface Followed extends KnownLog {
  readonly indexed: bigint;
}

/** Follows until it is disposed. */
export class Follower implements AsyncDisposable {
  readonly #context: SearchContext;
  readonly #thread: IndexThread;
  readonly #logs = new Map<string, Followed>();
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #woken = new AbortController();

  constructor(context: SearchContext, thread: IndexThread) {
    this.#context = context;
    this.#thread = thread;
    this.#done = this.#run();
  }

  /** Every log that has been seen. */
  logs(): readonly Followed[] {
    return [...this.#logs.values()];
  }

  /** Throws the index away. It is made anew from now on. */
  async rebuild(): Promise<void> {
    await this.#thread.call("rebuild", {});
    this.#logs.clear();
    this.#woken.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { draining } = this.#context;
    const stop = AbortSignal.any([this.#stop.signal, draining]);
    let pauseMs = backOff.firstMs;
    // One round after the other: an index has one writer.
    while (!stop.aborted) {
      this.#woken = new AbortController();
      let waitMs = pollMs;
      try {
        await this.#round(stop);
        pauseMs = backOff.firstMs;
      } catch (thrown) {
        this.#logs.clear();
        this.#explain(thrown);
        waitMs = pauseMs;
        pauseMs = Math.min(2 * pauseMs, backOff.mostMs);
      }
      const signal = AbortSignal.any([stop, this.#woken.signal]);
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Tells the journal why the index does not follow. */
  #explain(thrown: unknown): void {
    const { journal } = this.#context;
    if (thrown instanceof IndexUnavailable) {
      const event = thrown.isDamage ? "search-index-made-anew" : "search-index-unavailable";
      journal.warn(event, { reason: thrown.message });
      return;
    }
    const { code, message } = Failure.from(thrown);
    journal.warn("search-delayed", { code, message });
  }

  async #round(stop: AbortSignal): Promise<void> {
    const { logs } = await this.#context.ask(listLogs, {});
    for (const log of logs.flatMap(begun)) {
      const known = this.#logs.get(log.log);
      const indexed = known === undefined ? await this.#join(log) : known.indexed;
      this.#logs.set(log.log, { ...log, indexed });
      await this.#catchUp(log, stop);
    }
  }

  /** How much of the log is in the index, once it is sure that it is this log. */
  async #join(log: KnownLog): Promise<bigint> {
    const { size, lastHash } = await this.#thread.call("join", { log: log.log, logId: log.logId });
    const indexed = BigInt(size);
    if (indexed === 0n) return 0n;
    if (indexed <= log.size) {
      const [last] = await this.#read(log.log, indexed - 1n, 1);
      if (last !== undefined && equalBytes(leafHash(last.entry), lastHash)) return indexed;
    }
    await this.#thread.call("rebuild", {});
    throw new IndexUnavailable({
      message: `the log "${log.log}" is not the one that is in the index`,
      isDamage: true,
    });
  }

  async #catchUp({ log, size, ...rest }: KnownLog, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const { indexed } = this.#logs.get(log) ?? { indexed: size };
      if (indexed >= size) return;
      const left = size - indexed;
      const limit = left < BigInt(entriesAtOnce) ? Number(left) : entriesAtOnce;
      const entries = await this.#read(log, indexed, limit);
      if (entries.length === 0) return;
      const extent = await this.#thread.call("add", {
        log,
        first: Number(indexed),
        entries: entries.map((row) => ({
          entry: row.entry,
          subjects: subjectsBeside(row),
          atMs: Number(row.integratedAtMs),
        })),
      });
      // Not there if it was thrown away meanwhile.
      if (this.#logs.has(log))
        this.#logs.set(log, { ...rest, log, size, indexed: BigInt(extent.size) });
    }
  }

  async #read(log: string, from: bigint, limit: number) {
    const { entries } = await this.#context.ask(readEntries, { log, from, limit });
    return entries;
  }
}

/** None if the log waits for another to end. */
function begun({ name: log, format, logId, size, firstIndex, treeId }: Listed): KnownLog[] {
  return logId === undefined ? [] : [{ log, format, logId, size, firstIndex, treeId }];
}
