/** One log: what its asks do. Everything shown lies under the published head. */
import { setTimeout as sleep } from "node:timers/promises";
import type { PublicKey } from "../../core/crypto/keys.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { encodeEntryBundle, tileWidth } from "../../core/formats/tile.ts";
import type { Envelope } from "../../core/plugin.ts";
import type { AnswerOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import type {
  appendEntry,
  Candidate,
  freezeLog,
  Head,
  proveConsistency,
  proveInclusion,
  readEntries,
  retireLog,
} from "../../events/log.ts";
import { damaged, outOfRange } from "./refusals.ts";
import { requireFits } from "./entry-limits.ts";
import type { Placed } from "./format.ts";
import { freeze } from "./freeze.ts";
import { finalFailure, isRetired, requireOpen, requireTime } from "./life.ts";
import { promisesOf } from "./promises.ts";
import { Publisher } from "./publisher.ts";
import { identityOfStored } from "./identity.ts";
import { shown } from "./recent.ts";
import { retire } from "./retire.ts";
import { readPlaced } from "./runs.ts";
import { sequence } from "./sequencer.ts";
import { lastSignedOf, loadLog, type LogState, type LogSurroundings } from "./state.ts";

/** How long a stopping log finishes what it has taken. */
const drainMs = 5_000;
const drainStepMs = 10;
const startRetryMs = 250;
/** A freeze that is not done so long before the asker stops waiting is given up. */
const freezeMarginMs = 5_000;
/** A process that was killed may have asks on their way still, and the vault sign for it after we have asked what it signed last. */
const startAttempts = 3;

/** Bytes of entries in one answer, far below what a message may carry. */
const maxPageBytes = 4 * 1024 * 1024;
const readAtOnce = 64;

/** Failures that no waiting cures; a new start may, for instance when the clock was behind. */
const hopeless = new Set(["guard-refused", "purpose-refused", "lint-refused", "log-unavailable"]);

const clockWasSet =
  "the clock was set while the services ran; put it back, or if it is right now confirm it with: chancery timestamp confirm-clock";

/** A published entry with its promise. */
type Published = Placed & { readonly leafHash: Uint8Array; readonly promise: Uint8Array | null };

/** What is answered about an entry that was appended. */
type Appended = AnswerOf<typeof appendEntry>;

/** A running log. */
export class Log implements AsyncDisposable {
  readonly #state: LogState;
  readonly #surroundings: LogSurroundings;
  readonly #publisher: Publisher;
  readonly #stop = new AbortController();
  readonly #loops: Promise<unknown>;
  #isClosing = false;

  /**
   * Loads a log, proves it, and has its newest tree and every owed promise signed: it is ready only after that. Waits for the
   * vault as long as it is not there.
   *
   * @throws {StartRefused} with a sentence that says why this log must not run. @throws {Failure} if a new start may help
   */
  static async start(surroundings: LogSurroundings, draining: AbortSignal): Promise<Log> {
    for (;;) {
      try {
        const signed = await lastSignedOf(surroundings);
        const state = await loadLog(surroundings, signed).catch((thrown: unknown) => {
          throw finalFailure(thrown, surroundings.config.name);
        });
        requireTime(state, surroundings);
        const publisher = new Publisher(state, surroundings, signed);
        for (let refused = 0; publisher.isDue();) {
          if (await publisher.attempt()) continue;
          const failure = publisher.lastFailure;
          if (failure && hopeless.has(failure.code)) refused++;
          if (failure && (refused === startAttempts || draining.aborted)) throw failure;
          await sleep(publisher.retryMs);
        }
        const log = new Log(state, surroundings, publisher);
        draining.addEventListener("abort", () => void log.#drain(), { once: true });
        return log;
      } catch (thrown) {
        if (!(thrown instanceof Failure) || draining.aborted) throw thrown;
        const { name } = surroundings.config;
        if (hopeless.has(thrown.code)) throw thrown;
        surroundings.journal.warn("log.waits-for-vault", { log: name, reason: thrown.message });
        await sleep(startRetryMs);
      }
    }
  }

  private constructor(state: LogState, surroundings: LogSurroundings, publisher: Publisher) {
    this.#state = state;
    this.#surroundings = surroundings;
    this.#publisher = publisher;
    const { signal } = this.#stop;
    this.#loops = Promise.all([sequence(state, surroundings, signal), publisher.run(signal)]);
    // A loop ends only by a bug; then nothing may wait for it for ever.
    this.#loops.catch((thrown: unknown) => {
      state.broken ??= `a loop ended: ${String(thrown)}`;
      surroundings.journal.error("log.broken", { log: state.name, reason: state.broken });
      state.pending.abandon(new Failure("log-unavailable", "the log has stopped"));
    });
  }

  get logId(): Uint8Array {
    return this.#state.key.logId;
  }

  get firstIndex(): bigint {
    return this.#state.key.firstIndex;
  }

  get publicKey(): PublicKey {
    return this.#state.key.publicKey;
  }

  /** True once it takes nothing more, for ever. */
  get isFrozen(): boolean {
    return this.#state.life.phase === "frozen";
  }

  /** True once nothing is asked of its key, for ever. */
  get isRetired(): boolean {
    return isRetired(this.#state);
  }

  /** Why the log does not work, or null. */
  get trouble(): { readonly status: "degraded" | "failed"; readonly reason: string } | null {
    const { broken, name } = this.#state;
    if (broken !== null) return { status: "failed", reason: `log "${name}": ${broken}` };
    if (this.#surroundings.steady.now() === null) {
      return { status: "degraded", reason: `log "${name}" waits: ${clockWasSet}` };
    }
    if (this.#publisher.retryMs === 0) return null;
    const why = this.#publisher.lastFailure?.message ?? "unknown";
    return { status: "degraded", reason: `log "${name}" cannot publish: ${why}` };
  }

  async append(candidate: Candidate, envelope: Envelope, prove = true): Promise<Appended> {
    const { format, pending, sequencerWake } = this.#state;
    this.#checkTakes(candidate);
    const identity = format.identityOf(candidate);
    const looked = new Set<number>();
    let known = pending.find(identity);
    // Nothing comes between the last look and the pool: what is taken into the log meanwhile is seen by the next.
    while (known === null) {
      const next = this.#state.antispam.byIdentity(identity).find((index) => !looked.has(index));
      if (next === undefined) break;
      looked.add(next);
      const stored = await this.#storedAt(BigInt(next), identity);
      if (stored !== null) return await this.#answer(stored, true, { prove, envelope });
      known = pending.find(identity);
    }
    // Looked at again: the log may have been frozen while we looked into the store.
    if (known === null && looked.size > 0) this.#checkTakes(candidate);
    const entry = known ?? pending.add(identity, candidate);
    if (known === null) sequencerWake.ring();
    await pending.wait(entry, this.#remainingMs(envelope));
    const { placed, leafHash: leaf, promise } = entry;
    if (placed === null || leaf === null) throw new TypeError("a published entry has no place");
    const published = { ...placed, leafHash: leaf, promise };
    return await this.#answer(published, known !== null, { prove, envelope });
  }

  async freeze(envelope: Envelope): Promise<AnswerOf<typeof freezeLog>> {
    if (this.#isClosing) throw new Failure("log-unavailable", "the log is stopping");
    const untilMs = envelope.deadlineAtMs - freezeMarginMs;
    const frozenAtMs = await freeze(this.#state, this.#surroundings, untilMs);
    return { head: this.head(), frozenAtMs };
  }

  async retire(): Promise<AnswerOf<typeof retireLog>> {
    if (this.#isClosing) throw new Failure("log-unavailable", "the log is stopping");
    const retiredAtMs = await retire(this.#state, this.#surroundings);
    return { head: this.head(), logId: this.logId, retiredAtMs };
  }

  async entries(from: bigint, limit: number): Promise<AnswerOf<typeof readEntries>["entries"]> {
    const { size } = this.head();
    if (from >= size) return [];
    const count = Number(size - from < BigInt(limit) ? size - from : BigInt(limit));
    const recent = this.#state.recent.slice(from, count);
    if (recent !== null) return recent.map(shown);
    const placed: Placed[] = [];
    let bytes = 0;
    // A page fits into a message whatever its entries are.
    while (placed.length < count && bytes < maxPageBytes) {
      const next = Math.min(readAtOnce, count - placed.length);
      for (const entry of await this.#read(from + BigInt(placed.length), next)) {
        bytes += entry.entry.length + entry.extraData.length;
        if (placed.length > 0 && bytes > maxPageBytes) break;
        placed.push(entry);
      }
    }
    const promises = await promisesOf(this.#state, this.#surroundings.store, {
      from,
      count: placed.length,
    });
    return placed.map((entry, at) => shown({ ...entry, promise: promises[at] ?? null }));
  }

  async find(leaf: Uint8Array): Promise<bigint> {
    const { antispam, tree } = this.#state;
    for (const index of antispam.byLeaf(leaf).map(BigInt)) {
      if (index >= this.head().size) continue;
      if (equalBytes(await tree.leaf(index), leaf)) return index;
    }
    throw new Failure("not-found", "no published entry has this leaf hash");
  }

  /** A head of everything that was promised before, unless the vault takes its time: then the newest published one. */
  async newestHead(): Promise<Head> {
    await this.#publisher.catchUp();
    return this.head();
  }

  /** The newest published head. */
  head(): Head {
    const { published } = this.#state;
    if (published === null) throw new Failure("log-unavailable", "the log has no signed head yet");
    return published;
  }

  async proveInclusion(index: bigint, size: bigint): Promise<AnswerOf<typeof proveInclusion>> {
    const { tree } = this.#state;
    if (size > this.head().size) throw outOfRange("the size is beyond the published tree");
    if (index >= size) throw outOfRange("the index is not below the size");
    return { root: await tree.root(size), proof: await tree.inclusionProof(index, size) };
  }

  async proveConsistency(
    first: bigint,
    second: bigint,
  ): Promise<AnswerOf<typeof proveConsistency>> {
    const { tree } = this.#state;
    if (second > this.head().size) throw outOfRange("the size is beyond the published tree");
    if (first > second) throw outOfRange("the first size is above the second");
    return { root: await tree.root(second), proof: await tree.consistencyProof(first, second) };
  }

  async tile(level: "entries" | number, index: bigint, width: number): Promise<Uint8Array> {
    const hashes = this.head().size >> BigInt(level === "entries" ? 0 : 8 * level);
    const from = index * BigInt(tileWidth);
    if (from + BigInt(width) > hashes) {
      throw new Failure("not-found", "the published tree has no such tile");
    }
    if (level !== "entries") return await this.#state.tree.tileBytes(level, index, width);
    return encodeEntryBundle((await this.#read(from, width)).map(({ entry }) => entry));
  }

  /** Ends; by then the log has drained. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#drain();
    const state = this.#state;
    this.#stop.abort();
    state.publisherWake.ring();
    state.pace.wake.ring();
    state.sequencerWake.ring();
    await Promise.allSettled([this.#loops]);
    state.pending.close();
  }

  /** Takes nothing more, finishes what it has taken if the vault lets it, and tells the others why not. */
  async #drain(): Promise<void> {
    this.#isClosing = true;
    const { pending, pace } = this.#state;
    for (let waitedMs = 0; waitedMs < drainMs; waitedMs += drainStepMs) {
      const isCovered = this.head().size === this.#state.durable.size;
      const isDone = (pending.unpublished === 0 && isCovered) || this.#state.broken !== null;
      if (isDone || this.#publisher.retryMs > 0) break;
      if (!isCovered) pace.hasten();
      await sleep(drainStepMs);
    }
    pending.abandon(new Failure("log-unavailable", "the log is stopping; ask again"));
    pace.abandon();
  }

  #checkTakes(candidate: Candidate): void {
    const { broken, format } = this.#state;
    if (this.#isClosing) throw new Failure("log-unavailable", "the log is stopping");
    if (broken !== null) throw new Failure("log-unavailable", "the log must be restarted");
    requireOpen(this.#state);
    requireFits(format, candidate);
  }

  /** The stored entry at a place, if it is the one with this identity. */
  async #storedAt(index: bigint, identity: Uint8Array): Promise<Published | null> {
    const { format, tree, durable } = this.#state;
    // What is not durable is on its way, and would have been found there.
    if (index >= durable.size) return null;
    if (format.identityIsLeafHash && !equalBytes(await tree.leaf(index), identity)) return null;
    const [placed] = await this.#read(index, 1);
    if (placed === undefined) throw damaged(`entry ${index} is missing`);
    const leaf = leafHash(placed.entry);
    if (!equalBytes(identityOfStored(format, placed, leaf), identity)) return null;
    const [promise] = await promisesOf(this.#state, this.#surroundings.store, {
      from: index,
      count: 1,
    });
    if (promise === undefined && format.promise !== null) {
      throw damaged(`entry ${index} lacks what was promised for it`);
    }
    return { ...placed, leafHash: leaf, promise: promise ?? null };
  }

  async #answer(
    entry: Published,
    known: boolean,
    { prove, envelope }: { readonly prove: boolean; readonly envelope: Envelope },
  ): Promise<Appended> {
    const { tree, key } = this.#state;
    const { index, leafHash: leaf, integratedAtMs, promise } = entry;
    if (prove) await this.#publisher.cover(index + 1n, this.#remainingMs(envelope));
    const head = this.head();
    return {
      index,
      leafHash: leaf,
      logId: key.logId,
      integratedAtMs,
      ...(promise && { promise }),
      known,
      head,
      inclusionProof: prove ? await tree.inclusionProof(index, head.size) : [],
    };
  }

  #remainingMs({ deadlineAtMs }: Envelope): number {
    return deadlineAtMs - this.#surroundings.clock.now().getTime();
  }

  /** Exactly `count` stored entries, each held against the tree. */
  async #read(from: bigint, count: number): Promise<Placed[]> {
    const { tree } = this.#state;
    const read = await readPlaced(this.#surroundings.store, from, count);
    if (read.length !== count) throw damaged(`an entry from ${from} on is missing`);
    for (const { index, entry } of read) {
      if (!equalBytes(leafHash(entry), await tree.leaf(index))) {
        throw damaged(`entry ${index} is not what the tree holds`);
      }
    }
    return read;
  }
}
