/**
 * The publisher: has the vault sign the newest durable tree and the promises for its entries, looks at what came, shows the head, and
 * lets those who wait go. Where an answer has the head in it, head and promises are asked for in one tick, so that they travel and are
 * recorded together; a log whose promises stand for themselves has heads at a pace of their own (`pace.ts`), and no promise waits for
 * one. If we crash before the head is stored, a restart asks for the very same tree again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { equalBytes, encodeUtf8 } from "../../core/formats/encoding.ts";
import { formatCheckpoint } from "../../core/formats/checkpoint.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { lastSigned, sign, type Signable } from "../../events/hsm.ts";
import { Failure } from "../../events/failure.ts";
import type { Head } from "../../events/log.ts";
import type { Placed } from "./format.ts";
import { Attempts } from "./attempts.ts";
import { formatHead, type TreeToSign } from "./head.ts";
import type { Pending } from "./pending.ts";
import { promisedSize, type LogState, type LogSurroundings } from "./state.ts";

/**
 * Promises asked for at once, and the bytes of their entries. Few, so that those who wait go on with the first while the vault signs
 * the next: were all of a large batch answered together, services and vault would work by turns.
 */
const maxRunEntries = 64;
const maxRunBytes = 2 * 1024 * 1024;
/** RFC 6962 §3.5 wants a tree head no older than the maximum merge delay; this is well within. */
const maxTreeHeadAgeMs = 3_600_000;
/** How long before the asker stops waiting it is told that there is no head over its entry. */
const marginMs = 250;
/** How long whoever asks for the newest head waits for one that covers what was promised before. */
const patienceMs = 250;

/** Signs and publishes one log. */
export class Publisher {
  readonly #state: LogState;
  readonly #surroundings: LogSurroundings;
  /** What the vault signed last; null when that must be asked again. */
  #signed: TreeToSign | null;
  /** Rounds that let entries go, and those of a head alone. */
  readonly #rounds: Attempts;
  readonly #heads: Attempts;

  constructor(state: LogState, surroundings: LogSurroundings, signed: TreeToSign) {
    this.#state = state;
    this.#surroundings = surroundings;
    this.#signed = signed;
    this.#rounds = new Attempts((failure, thrown) => {
      const isKey = failure.code === "key-unavailable";
      state.pending.blockedBy = isKey ? "key-unavailable" : "log-unavailable";
      this.#explain(failure, thrown);
    });
    this.#heads = new Attempts((failure, thrown) => this.#explain(failure, thrown));
  }

  /** True if a durable tree or entry is not signed yet, or the tree head grows old. */
  isDue(): boolean {
    const { published, durable, unpublished } = this.#state;
    return (
      published === null || published.size < durable.size || unpublished.length > 0 || this.#isOld()
    );
  }

  /** Publishes until `stop`; what fails is tried again, ever more slowly, until it works. */
  async run(stop: AbortSignal): Promise<void> {
    const { format } = this.#state;
    if (format.headDelayMs === 0) await this.#runTogether(stop);
    else await Promise.all([this.#runPromises(stop), this.#runHeads(stop)]);
  }

  /** One round of everything that is due; false if it failed, which is journalled. */
  async attempt(): Promise<boolean> {
    const isDone = await this.#rounds.perform(async () => await this.#round());
    if (isDone) this.#state.pending.blockedBy = "log-unavailable";
    // Whether the vault signed is unknown now.
    else this.#signed = null;
    return isDone;
  }

  /** Resolves when a head covers the first `size` entries. @throws {Failure} when the time is over */
  async cover(size: bigint, remainingMs: number): Promise<void> {
    const { published, pace, pending } = this.#state;
    if (published !== null && published.size >= size) return;
    if (await pace.cover(size, Math.max(0, remainingMs - marginMs))) return;
    const sentence = "the log could not sign a head over the entry in time; ask again";
    throw new Failure(pending.blockedBy, sentence);
  }

  /** Resolves when a head covers what has been promised, or does not come in a moment. */
  async catchUp(): Promise<void> {
    const { published, pace } = this.#state;
    const size = promisedSize(this.#state);
    if ((published !== null && published.size >= size) || this.retryMs > 0) return;
    await pace.cover(size, patienceMs);
  }

  /** Why the newest round that failed did. */
  get lastFailure(): Failure | null {
    const isHead = this.#rounds.retryMs === 0 && this.#heads.retryMs > 0;
    return isHead ? this.#heads.lastFailure : this.#rounds.lastFailure;
  }

  /** Milliseconds until the next try; 0 after success. */
  get retryMs(): number {
    return Math.max(this.#rounds.retryMs, this.#heads.retryMs);
  }

  /** Heads and promises by turns: an answer has both in it. */
  async #runTogether(stop: AbortSignal): Promise<void> {
    // One round at a time: a consistency proof starts from what the round before it had signed.
    while (this.#isRunning(stop)) {
      if (!this.isDue()) await this.#state.publisherWake.wait(this.#untilOldMs());
      else if (!(await this.attempt())) await pause(this.#rounds.retryMs, stop);
    }
  }

  /** Promises as soon as their entries are durable, whatever heads there are. */
  async #runPromises(stop: AbortSignal): Promise<void> {
    while (this.#isRunning(stop)) {
      if (this.#state.unpublished.length === 0) await this.#state.publisherWake.wait();
      else if (!(await this.#promiseNext())) await pause(this.#rounds.retryMs, stop);
    }
  }

  /** Heads at their pace. */
  async #runHeads(stop: AbortSignal): Promise<void> {
    const { pace } = this.#state;
    while (this.#isRunning(stop)) {
      const dueInMs = pace.dueInMs() ?? this.#untilOldMs();
      if (dueInMs !== 0) await pace.wake.wait(dueInMs);
      else if (!(await this.#headNext())) await pause(this.#heads.retryMs, stop);
    }
  }

  #isRunning(stop: AbortSignal): boolean {
    return this.#state.broken === null && !stop.aborted;
  }

  #explain(failure: Failure, thrown: unknown): void {
    this.#surroundings.journal.warn("log.not-published", {
      log: this.#state.name,
      size: this.#state.durable.size,
      code: failure.code,
      reason: thrown instanceof Error ? thrown.message : String(thrown),
    });
  }

  async #promiseNext(): Promise<boolean> {
    const isDone = await this.#rounds.perform(async () => {
      const run = takeRun(this.#state.unpublished);
      this.#release(run, await this.#askPromises(run));
    });
    if (isDone) this.#state.pending.blockedBy = "log-unavailable";
    return isDone;
  }

  async #headNext(): Promise<boolean> {
    const isDone = await this.#heads.perform(async () => {
      const target: TreeToSign = this.#state.durable;
      const proof = await this.#proofTo(target);
      this.#show(await this.#askHead(target, proof), target);
      // So that it is stored.
      this.#state.sequencerWake.ring();
    });
    if (!isDone) this.#signed = null;
    return isDone;
  }

  async #round(): Promise<void> {
    const state = this.#state;
    const target: TreeToSign = state.durable;
    const isHeadDue =
      state.published === null || state.published.size < target.size || this.#isOld();
    const run = state.format.promise === null ? [] : takeRun(state.unpublished);
    const proof = isHeadDue ? await this.#proofTo(target) : [];
    // No await from here to the last ask: they travel as one message.
    const asked = [
      isHeadDue ? this.#askHead(target, proof) : null,
      run.length > 0 ? this.#askPromises(run) : null,
    ] as const;
    const [head, promises] = await settleAll(asked);
    if (head !== null) this.#show(head, target);
    this.#release(run, promises ?? []);
  }

  #show(head: Head, target: TreeToSign): void {
    const state = this.#state;
    this.#signed = target;
    state.published = head;
    state.unsaved.heads.push(head);
    state.pace.shown(head.size, promisedSize(state));
  }

  async #proofTo({ size, root }: TreeToSign): Promise<readonly Uint8Array[]> {
    const { tree, keyLabel, published } = this.#state;
    this.#signed ??= await this.#surroundings.ask(lastSigned, { key: keyLabel });
    const signed = this.#signed;
    // A vault that was restarted on an older state: from there it could be led into a fork.
    if (published !== null && signed.size < published.size) {
      throw new Failure("guard-refused", "the vault has forgotten a head that this log published");
    }
    const forked = signed.size > size || (signed.size === size && !equalBytes(signed.root, root));
    if (forked) {
      throw new Failure("guard-refused", "the key has signed another tree than this log holds");
    }
    return await tree.consistencyProof(signed.size, size);
  }

  async #askHead(target: TreeToSign, consistencyProof: readonly Uint8Array[]): Promise<Head> {
    const { format, key } = this.#state;
    const { size, root } = target;
    const timestampMs = format.hasTreeHead ? this.#treeHeadTime() : null;
    const proof = [...consistencyProof];
    const [checkpoint, treeHead] = await settleAll([
      this.#ask({ purpose: "checkpoint", size, root, consistencyProof: proof }),
      // Asked after the checkpoint, so that the tree is by then the one signed last, and needs no proof.
      timestampMs === null
        ? null
        : this.#ask({ purpose: "treeHead", size, root, consistencyProof: [], timestampMs }),
    ]);
    const text = encodeUtf8(formatCheckpoint({ origin: key.origin, size, root }));
    if (checkpoint?.signed === undefined || !equalBytes(checkpoint.signed, text)) {
      throw new Malformed("the vault signed another checkpoint than was asked for");
    }
    return formatHead(target, key, {
      checkpoint: one(checkpoint.signatures),
      treeHead:
        treeHead === null || timestampMs === null
          ? null
          : { timestampMs, signature: one(treeHead.signatures) },
    });
  }

  async #askPromises(run: readonly Pending[]): Promise<readonly Uint8Array[]> {
    const { format, key } = this.#state;
    const { promise } = format;
    if (promise === null) return [];
    const placed = run.map(placeOf);
    const { signatures } = await this.#ask(promise.signable(placed, key));
    if (signatures.length !== run.length) {
      throw new Malformed(
        `the vault gave ${signatures.length} signatures for ${run.length} entries`,
      );
    }
    return placed.map((entry, at) => {
      const made = promise.fromSignature(signatures[at] ?? new Uint8Array());
      // The vault has verified each with the pinned key: one of the batch shows that it signed what was asked, in the order it was.
      if (at > 0 || promise.verify(entry, made, key)) return made;
      throw new Malformed(`the promise for entry ${entry.index} does not verify`);
    });
  }

  async #ask(signable: Signable) {
    return await this.#surroundings.ask(sign, { key: this.#state.keyLabel, signable });
  }

  /** Lets go of everybody whose entry is promised, or under the head if the log promises nothing. */
  #release(run: readonly Pending[], promises: readonly Uint8Array[]): void {
    const state = this.#state;
    const size = state.published?.size ?? 0n;
    const isPublished = (pending: Pending) => placeOf(pending).index < size;
    const released = state.format.promise === null ? state.unpublished.filter(isPublished) : run;
    state.unpublished.splice(0, released.length);
    const [first] = run;
    if (first !== undefined) {
      state.unsaved.promises.push({ from: placeOf(first).index, promises });
    }
    for (const [at, pending] of released.entries()) {
      pending.promise = promises[at] ?? null;
      state.pending.publish(pending);
      state.recent.add(pending);
    }
    state.unsaved.settled.push(...released);
    if (size < promisedSize(state)) state.pace.fallBehind();
    state.sequencerWake.ring();
    state.releasedWake.ring();
  }

  /** Never before an entry of the tree or the tree head before. */
  #treeHeadTime(): bigint {
    const now = this.#surroundings.steady.now();
    if (now === null) throw new Failure("log-unavailable", "the clock was set; it is in doubt");
    const nowMs = BigInt(now.getTime());
    const { durable, published } = this.#state;
    const earlier = published?.treeHead?.timestampMs ?? 0n;
    if (nowMs < durable.integratedAtMs || nowMs < earlier) {
      throw new Failure("log-unavailable", "the clock stands before the log's newest time");
    }
    return nowMs;
  }

  #isOld(): boolean {
    return this.#untilOldMs() === 0;
  }

  #untilOldMs(): number | undefined {
    // The final tree head of a frozen log stays the last.
    if (this.#state.life.phase === "frozen") return undefined;
    const timestampMs = this.#state.published?.treeHead?.timestampMs;
    if (timestampMs === undefined) return undefined;
    const ageMs = this.#surroundings.clock.now().getTime() - Number(timestampMs);
    return Math.max(0, maxTreeHeadAgeMs - ageMs);
  }
}

/** Not ended by a wake: new entries must not hasten the next try. */
async function pause(ms: number, stop: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal: stop }).catch(() => undefined);
}

function takeRun(unpublished: readonly Pending[]): readonly Pending[] {
  let bytes = 0;
  let count = 0;
  for (const { sizeBytes } of unpublished) {
    bytes += sizeBytes;
    if (count > 0 && (count === maxRunEntries || bytes > maxRunBytes)) break;
    count++;
  }
  return unpublished.slice(0, count);
}

function placeOf({ placed }: Pending): Placed {
  if (placed === null) throw new TypeError("a durable entry has no place");
  return placed;
}

function one(signatures: readonly Uint8Array[]): Uint8Array {
  const [signature, ...more] = signatures;
  if (signature !== undefined && more.length === 0) return signature;
  throw new Malformed("the vault did not give exactly one signature");
}

/** Waits for all, also when one fails, so that no ask of a round is still on its way in the next. */
async function settleAll<A, B>(
  asked: readonly [Promise<A> | null, Promise<B> | null],
): Promise<[A | null, B | null]> {
  const [a, b] = asked;
  await Promise.allSettled(asked.filter((promise) => promise !== null));
  return [a === null ? null : await a, b === null ? null : await b];
}
