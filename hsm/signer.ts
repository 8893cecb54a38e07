/**
 * Makes the signatures of one intent: attempt, verify, and after an error reconnect and try again under a row of its own. What may
 * exist already is not made a second time: a certificate whose C_Sign failed is abandoned.
 */
import { pinnedVerifier } from "../core/crypto/pinned-verify.ts";
import type { Clock } from "../core/clock.ts";
import type { Journal } from "../core/journal.ts";
import { Failure } from "../events/failure.ts";
import { Checker, type Unchecked } from "./checking.ts";
import { HsmError } from "./errors.ts";
import type { Guard } from "./guard.ts";
import { at, hashOf, intentOf, type Job, outcomeOf } from "./job.ts";
import type { Keyring, VaultKey } from "./keyring.ts";
import { type Ledger, StateUnavailable } from "./ledger.ts";
import type { Pool } from "./pool.ts";
import { releasedForm, schemes, signingInputOf } from "./public-key.ts";

/** What came of a job. */
export interface Signed {
  /** One a message, in order. */
  readonly signatures: Uint8Array[];
  /** The shortest time one of them took. */
  readonly fastestMs: number;
}

/** Which thread signs. */
export type Mode = "sync" | "async";

/** Why a key is not used any more. */
export interface Quarantine {
  readonly reason: string;
  readonly since: Date;
}

interface Parts {
  readonly keyring: Keyring;
  readonly pool: Pool;
  readonly ledger: Ledger;
  readonly guard: Guard;
  readonly clock: Clock;
  readonly journal: Journal;
}

const maxAttempts = 4;

/** Signs for one vault. */
export class Signer {
  readonly #parts: Parts;
  readonly #checkers = new Map<string, Checker>();
  readonly #modes = new Map<string, Mode>();
  readonly #inTrouble = new Set<Job>();
  /** Keys that gave a bad signature, by label. */
  readonly quarantined = new Map<string, Quarantine>();

  constructor(parts: Parts) {
    this.#parts = parts;
    for (const key of parts.keyring.keys) this.add(key);
  }

  /** Makes ready to sign with a key. */
  add({ label, algorithm, publicKey }: VaultKey): void {
    this.#checkers.set(label, new Checker(pinnedVerifier(publicKey, schemes[algorithm].hash)));
  }

  setMode(label: string, mode: Mode): void {
    this.#modes.set(label, mode);
  }

  modeOf(label: string): Mode {
    return this.#modes.get(label) ?? "async";
  }

  /** True while a job that is signed on this thread recovers from an error; said at once, before anything is waited for. */
  get isInTrouble(): boolean {
    return this.#inTrouble.size > 0;
  }

  /** Makes and verifies every signature of a job whose intent is durable; a failure is answered, not thrown. */
  async perform(job: Job, mode: Mode): Promise<Signed | Failure> {
    try {
      return await this.#perform(job, mode);
    } finally {
      this.#inTrouble.delete(job);
    }
  }

  async #perform(job: Job, mode: Mode): Promise<Signed | Failure> {
    const done = job.prepared.messages.map((): Uint8Array | null => null);
    let fastestMs = Infinity;
    for (let attempt = 1; ; attempt++) {
      const { generation } = this.#parts.pool;
      const todo = missing(done);
      const result =
        mode === "sync"
          ? await this.#attemptNow(job, todo, done)
          : await this.#attemptLater(job, todo, done);
      fastestMs = Math.min(fastestMs, result.fastestMs);
      const rest = missing(done);
      const made = todo.length - rest.length + result.bad;
      if (result.error === null) {
        const signatures = done.flatMap((signature) => signature ?? []);
        const signatureHash = hashOf(todo.map((index) => at(signatures, index)));
        const outcome = outcomeOf(job, { status: "ok", made, signatureHash });
        // The guard keeps of a precertificate that it exists, and of nothing else; fsck holds that against this ledger.
        const { kind } = job.prepared.claim;
        const isGuarded = kind === "precertificate" || kind === "bareCertificate";
        this.#parts.ledger.note(outcome, isGuarded);
        return { signatures, fastestMs };
      }
      const failure = await this.#afterError(job, {
        error: result.error,
        made,
        attempt,
        generation,
      });
      if (failure) return failure;
      const stopped = await this.#announceRetry(job, rest);
      if (stopped) return stopped;
    }
  }

  /** Signs on this thread, one after the other until the first error, all before this returns; what was made is verified after it. */
  async #attemptNow(
    job: Job,
    todo: readonly number[],
    done: (Uint8Array | null)[],
  ): Promise<Attempt> {
    const attempt: Attempt = { error: null, bad: 0, fastestMs: Infinity };
    const { pool } = this.#parts;
    const scheme = schemes[job.key.algorithm];
    const made: Made[] = [];
    for (const index of todo) {
      const startedMs = performance.now();
      try {
        const input = signingInputOf(scheme, at(job.digests.signed, index));
        const raw = pool.signNow(job.key.label, scheme, input);
        attempt.fastestMs = Math.min(attempt.fastestMs, performance.now() - startedMs);
        made.push(madeOf(job, index, raw));
      } catch (error) {
        this.#inTrouble.add(job);
        spoil(attempt, error);
        break;
      }
    }
    await this.#take(job, made, { attempt, done });
    return attempt;
  }

  /** Signs on other threads, all at once as far as there are sessions. */
  async #attemptLater(
    job: Job,
    todo: readonly number[],
    done: (Uint8Array | null)[],
  ): Promise<Attempt> {
    const attempt: Attempt = { error: null, bad: 0, fastestMs: Infinity };
    const { pool } = this.#parts;
    const scheme = schemes[job.key.algorithm];
    const each = todo.map(async (index) => {
      if (attempt.error) return;
      try {
        const input = signingInputOf(scheme, at(job.digests.signed, index));
        const raw = await pool.signLater(job.key.label, scheme, input);
        await this.#take(job, [madeOf(job, index, raw)], { attempt, done });
      } catch (error) {
        spoil(attempt, error);
      }
    });
    await Promise.all(each);
    return attempt;
  }

  /** Takes those signatures that are good. */
  async #take(
    { key }: Job,
    made: readonly Made[],
    { attempt, done }: { readonly attempt: Attempt; readonly done: (Uint8Array | null)[] },
  ): Promise<void> {
    const areGood = (await this.#checkers.get(key.label)?.check(made)) ?? [];
    for (const [place, { index, signature }] of made.entries()) {
      if (areGood[place] === true) done[index] = signature;
      else spoil(attempt, new BadSignature());
    }
  }

  /** Records what is known, and decides whether there is another attempt: null if there is. */
  async #afterError(
    job: Job,
    about: {
      readonly error: HsmError | BadSignature;
      readonly made: number;
      readonly attempt: number;
      readonly generation: number;
    },
  ): Promise<Failure | null> {
    const { ledger, pool, journal } = this.#parts;
    const { label } = job.key;
    if (about.error instanceof BadSignature) {
      const reason = `the key ${label} gave a signature that does not verify; it is not used until the vault is started again`;
      ledger.note(outcomeOf(job, { status: "bad", made: about.made }));
      this.quarantined.set(label, { reason, since: this.#parts.clock.now() });
      journal.error("bad-signature", {
        alarm: true,
        key: label,
        purpose: job.purpose,
        row: job.sequence,
      });
      return new Failure("key-unavailable", reason);
    }
    const { reason, operation } = about.error;
    const said = { status: "failed", made: about.made, reason: `${operation} ${reason}` } as const;
    ledger.note(outcomeOf(job, said));
    const row = job.sequence;
    journal.warn("hsm-error", { key: label, operation, reason, attempt: about.attempt, row });
    if (job.purpose === "certificate" && operation === "C_Sign") {
      // The device may have made it: another one would be a second certificate.
      void pool.recover(about.generation);
      return unavailable("the certificate's signature has an unknown outcome; it is abandoned");
    }
    if (about.error.remedy === "none" || about.attempt >= maxAttempts) {
      return unavailable(about.error.message);
    }
    const back = await pool.recover(about.generation);
    return back ? null : unavailable("the HSM does not answer; it is tried again by itself");
  }

  /** A row for the next attempt, durable before it is made. A failure if that cannot be. */
  async #announceRetry(job: Job, rest: readonly number[]): Promise<Failure | null> {
    const { ledger, guard } = this.#parts;
    const retryOf = job.sequence;
    try {
      await ledger.transaction(() => {
        const sequence = ledger.intend({ ...intentOf(job, rest), retryOf });
        guard.follow(retryOf, sequence);
        job.sequence = sequence;
        job.isNamedByCore = false;
      });
      return null;
    } catch (error) {
      if (error instanceof StateUnavailable) return unavailable(error.message);
      throw error;
    }
  }
}

/** A signature in the form in which it leaves if it is good. */
interface Made extends Unchecked {
  readonly index: number;
}

/** @throws {BadSignature} if it has not even the length */
function madeOf({ key, prepared, digests }: Job, index: number, raw: Uint8Array): Made {
  const scheme = schemes[key.algorithm];
  if (raw.length !== scheme.signatureBytes) throw new BadSignature();
  return {
    index,
    message: at(prepared.messages, index),
    digest: at(digests.signed, index),
    signature: releasedForm(scheme, raw),
  };
}

interface Attempt {
  error: HsmError | BadSignature | null;
  /** Signatures that were made and do not verify. */
  bad: number;
  fastestMs: number;
}

/** A bad signature outweighs an error: it means that the key must not be used. */
function spoil(attempt: Attempt, error: unknown): void {
  if (error instanceof BadSignature) {
    attempt.bad += 1;
    attempt.error = error;
    return;
  }
  if (!(error instanceof HsmError)) throw error;
  attempt.error ??= error;
}

/** What the device answered is not a signature by the pinned key over what was asked. */
class BadSignature extends Error {
  override readonly name = "BadSignature";
}

function unavailable(message: string): Failure {
  return new Failure("key-unavailable", message);
}

function missing(done: readonly (Uint8Array | null)[]): number[] {
  return [...done.keys()].filter((index) => done[index] === null);
}
