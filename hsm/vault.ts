/**
 * The vault: authorises, records, signs, verifies, releases. All asks of one asker that arrive in one tick are one commit: guard
 * state and intents together, before the first of them is signed. A certificate with SCTs is announced in the commit of its
 * precertificate, and signed without another one. A signature leaves only after it has been verified.
 */
import type { Envelope, Health } from "../core/plugin.ts";
import { Failure } from "../events/failure.ts";
import type { Purpose } from "../events/hsm.ts";
import type { Asked, Judged, SignAnswer, SignQuestion } from "./asked.ts";
import { Announced } from "./announced.ts";
import { completedCertificate } from "./certificate.ts";
import type { SignedTree } from "./guard.ts";
import { Held } from "./held.ts";
import { type Job, newJob } from "./job.ts";
import { isUsed, type VaultKey } from "./keyring.ts";
import { StateUnavailable } from "./ledger.ts";
import { recordAll } from "./recording.ts";
import { testKeys } from "./self-test.ts";
import { prepare } from "./signable.ts";
import { Signer } from "./signer.ts";
import { Signing } from "./signing.ts";
import type { VaultParts } from "./vault-parts.ts";

/** How long outcomes wait for a batch to ride in. */
const idleFlushMs = 50;
const forgetEveryMs = 30_000;

/** A vault that is open. */
export class Vault implements AsyncDisposable {
  readonly #parts: VaultParts;
  readonly #keys: Map<string, VaultKey>;
  readonly #signer: Signer;
  readonly #signing: Signing;
  /** Certificates that wait for their SCTs. */
  readonly held: Held;
  readonly #announced: Announced;
  /** Certificates that can be signed: judged, under rows that are durable. */
  #ready: Judged[] = [];
  #queue: Asked[] = [];
  readonly #running = new Set<Promise<void>>();
  #flushTimer: NodeJS.Timeout | null = null;
  #forgottenAtMs = 0;
  #stateFault: { readonly reason: string; readonly since: Date } | null = null;

  constructor(parts: VaultParts) {
    this.#parts = parts;
    this.#keys = new Map(parts.keyring.keys.map((key) => [key.label, key]));
    this.#signer = new Signer(parts);
    this.#signing = new Signing({
      ...parts,
      signer: this.#signer,
      isWaitedFor: () => this.held.isWaitedFor,
      onFailed: (job) => this.#failed(job),
    });
    this.#announced = new Announced((outcome) => {
      parts.ledger.note(outcome, false);
      this.#flushLater();
    });
    this.held = new Held({
      now: () => parts.clock.now(),
      // At once: what is ready together is told in one go, and nothing more will come with it.
      submit: (asked) => this.#enqueue(asked, queueMicrotask),
      finish: (asked, announced) => this.#finish(asked, announced),
      giveUp: (announced, reason) => this.#announced.giveUp(announced, reason),
      keptMs: 1_000 * parts.limits.verdictFreshSeconds,
      authorise: (label, envelope) => void this.#authorised(label, "certificate", envelope),
      givesScts: (label) => this.#isUsable(label, "scts"),
      prepare: (precertificate, list, nowMs) =>
        completedCertificate(precertificate, list, { ...parts.limits, nowMs }),
    });
  }

  /** Signs with each key, which proves that it is the pinned one and tells how fast it is. @throws {VaultUnavailable} */
  async selfTest(keys: readonly VaultKey[] = this.#parts.keyring.keys): Promise<void> {
    const { ledger, signing } = this.#parts;
    await testKeys(keys.filter(isUsed), { ledger, signing, signer: this.#signer });
  }

  /** The handler of `sign`. @throws {Failure} */
  async sign(question: SignQuestion, envelope: Envelope): Promise<SignAnswer> {
    const { key, signable } = question;
    const { limits } = this.#parts;
    return await new Promise((resolve, reject) => {
      this.#enqueue({
        key,
        purpose: signable.purpose,
        envelope,
        prepare: (bound, nowMs) => prepare(signable, bound, { ...limits, nowMs }),
        resolve,
        reject,
        onSigned: ({ key: bound, prepared: { precertificate }, announced }, signatures) => {
          if (precertificate !== undefined && announced !== null) {
            this.held.keep(bound, precertificate, announced);
          }
          if (signable.purpose !== "scts") return;
          this.held.promised(bound, signable.entries, signatures);
        },
      });
    });
  }

  /** A key of the keyring. @throws {Failure} key-unavailable */
  key(label: string): VaultKey {
    const key = this.#keys.get(label);
    if (key === undefined) {
      throw new Failure("key-unavailable", `the keyring has no key "${label}"`);
    }
    return key;
  }

  /** Takes a key that was made, or bound to something more, while the vault runs. @throws {VaultUnavailable} if it does not sign */
  async adopt(key: VaultKey): Promise<void> {
    const isNew = !this.#keys.has(key.label);
    if (isNew) {
      this.#parts.pool.add(key);
      this.#signer.add(key);
      await this.selfTest([key]);
    }
    this.#keys.set(key.label, key);
  }

  /** The signer, for a key that may be used now. @throws {Failure} key-unavailable */
  signerFor(label: string): Signer {
    this.#requireSound(this.key(label));
    return this.#signer;
  }

  /** The newest tree a log's key signed. @throws {Failure} key-unavailable or purpose-refused */
  lastSigned(label: string): SignedTree {
    const key = this.key(label);
    if (!key.purposes.includes("checkpoint") && !key.purposes.includes("treeHead")) {
      throw new Failure("purpose-refused", `${label} is not a log's key`);
    }
    return this.#parts.guard.lastSigned(label);
  }

  /** From what is at hand. */
  health(): Health {
    const { circuit } = this.#parts.pool;
    if (this.#stateFault) return { status: "failed", ...this.#stateFault };
    const [quarantine] = this.#signer.quarantined.values();
    if (quarantine) return { status: "failed", ...quarantine };
    if (circuit.state === "open") {
      return { status: "failed", reason: circuit.reason, since: circuit.since };
    }
    return { status: "ok" };
  }

  /** Finishes what was accepted and writes the last outcomes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.held.close();
    await this.#settled();
    clearTimeout(this.#flushTimer ?? undefined);
    this.#flush();
    await this.#settled();
  }

  async #settled(): Promise<void> {
    while (this.#queue.length > 0 || this.#ready.length > 0 || this.#running.size > 0) {
      this.#drain();
      await Promise.all(this.#running);
    }
  }

  #enqueue(asked: Asked, later: (then: () => void) => void = setImmediate): void {
    if (this.#queue.length === 0) later(() => this.#drain());
    this.#queue.push(asked);
  }

  #drain(): void {
    const queue = this.#queue;
    this.#queue = [];
    // A commit never mixes askers: each batch is one asker's, in the order they first came.
    const byAsker = Map.groupBy(queue, ({ envelope }) => envelope.from);
    for (const batch of byAsker.values()) {
      this.#keep(this.#batch(batch));
    }
  }

  /** Takes note of work that the vault does not end before. */
  #keep(work: Promise<void>): void {
    const running = work.finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #batch(batch: readonly Asked[]): Promise<void> {
    const judged = batch.map((asked) => this.#judge(asked));
    const { ledger } = this.#parts;
    try {
      // Committed before this returns, so batches are recorded in the order in which they came; durable when it resolves.
      await ledger.transaction(() => {
        this.#forget();
        recordAll(judged, this.#parts);
      });
      this.#stateFault = null;
    } catch (error) {
      this.#rejectAll(judged, error);
      return;
    }
    for (const { job } of judged) {
      if (typeof job?.announced === "number") this.#announced.add(job.announced);
    }
    await this.#signing.signAll(judged);
    this.#flushLater();
  }

  #flushLater(): void {
    // Under load it never comes to that: each batch takes the outcomes of those before it along.
    clearTimeout(this.#flushTimer ?? undefined);
    this.#flushTimer = setTimeout(() => {
      this.#flushTimer = null;
      this.#flush();
    }, idleFlushMs);
  }

  /** Everything that can be said without the guard. */
  #judge(asked: Asked): Judged {
    const { purpose, envelope } = asked;
    try {
      const key = this.#authorised(asked.key, purpose, envelope);
      const nowMs = this.#parts.clock.now().getTime();
      if (nowMs > envelope.deadlineAtMs) {
        throw new Failure("deadline-exceeded", "the asker has stopped waiting");
      }
      const prepared = asked.prepare(key, nowMs);
      const { from: asker, trace } = envelope;
      const job = newJob({ key, purpose, asker, trace, prepared });
      return { asked, job, failure: null };
    } catch (error) {
      if (!(error instanceof Failure)) this.#parts.journal.error("judging-failed", { error });
      return { asked, job: null, failure: Failure.from(error) };
    }
  }

  #authorised(label: string, purpose: Purpose, { from }: Envelope): VaultKey {
    const key = this.key(label);
    if (!key.askers.includes(from)) {
      throw new Failure("purpose-refused", `${label} does not sign for "${from}"`);
    }
    if (!key.purposes.includes(purpose) || !isUsed(key)) {
      throw new Failure("purpose-refused", `${label} does not sign ${purpose}`);
    }
    this.#requireSound(key);
    return key;
  }

  /** @throws {Failure} key-unavailable for a key that gave a bad signature, and while the HSM does not answer */
  #requireSound({ label }: VaultKey): void {
    const quarantine = this.#signer.quarantined.get(label);
    if (quarantine) throw new Failure("key-unavailable", quarantine.reason);
    const { circuit } = this.#parts.pool;
    if (circuit.state === "open") {
      throw new Failure("key-unavailable", "the HSM does not answer; it is tried again by itself");
    }
  }

  #isUsable(label: string, purpose: Purpose): boolean {
    const key = this.#keys.get(label);
    if (key === undefined || !isUsed(key)) return false;
    return key.purposes.includes(purpose) && !this.#signer.quarantined.has(label);
  }

  /** Nothing was signed, or what nobody may have. */
  #failed({ key, announced }: Job): void {
    if (announced !== null) this.#announced.giveUp(announced, "its precertificate was not signed");
    const { quarantined } = this.#signer;
    if (quarantined.has(key.label)) this.held.review((label) => !quarantined.has(label));
  }

  /** Judges the question for a certificate that can be made now, and signs under the row that announced it, which is durable. */
  #finish(asked: Asked, announced: number): void {
    const judged = this.#judge(asked);
    const { job, failure } = judged;
    // After a state that could not be made durable nothing is signed: the question fails like all others then.
    const mayBegin = job !== null && !this.#parts.ledger.broken;
    if (!mayBegin || !this.#announced.begin(announced)) {
      const refusal = failure ?? new Failure("guard-refused", "this certificate has its attempt");
      this.#announced.giveUp(announced, refusal.message);
      const prepare = (): never => {
        throw refusal;
      };
      this.#enqueue({ ...asked, prepare }, queueMicrotask);
      return;
    }
    job.sequence = announced;
    job.isNamedByCore = true;
    if (this.#ready.length === 0) queueMicrotask(() => this.#keep(this.#signReady()));
    this.#ready.push(judged);
  }

  async #signReady(): Promise<void> {
    const ready = this.#ready;
    this.#ready = [];
    await this.#signing.signAll(ready);
    this.#flushLater();
  }

  #rejectAll(judged: readonly Judged[], error: unknown): void {
    const unwritable = error instanceof StateUnavailable;
    const reason = unwritable ? error.message : "internal error";
    this.#parts.journal.error("vault-state-unwritable", { error });
    this.#stateFault ??= { reason, since: this.#parts.clock.now() };
    for (const { asked } of judged) {
      // Nothing could be recorded, so nothing is signed, and not even the refusal can be said with a record.
      asked.reject(new Failure(unwritable ? "key-unavailable" : "internal", reason));
    }
    if (this.#parts.ledger.broken && error instanceof Error) this.#parts.onBroken(error);
  }

  #flush(): void {
    const { ledger, journal, onBroken } = this.#parts;
    const flushed = ledger.flush().catch((error: unknown) => {
      journal.error("vault-state-unwritable", { error });
      if (ledger.broken && error instanceof Error) onBroken(error);
    });
    this.#keep(flushed);
  }

  /** Inside a transaction: now and then, what cannot be used any more anyway. */
  #forget(): void {
    const { guard, clock, limits } = this.#parts;
    const nowMs = clock.now().getTime();
    if (nowMs - this.#forgottenAtMs < forgetEveryMs) return;
    this.#forgottenAtMs = nowMs;
    guard.forget(nowMs - 4_000 * limits.verdictFreshSeconds);
  }
}
