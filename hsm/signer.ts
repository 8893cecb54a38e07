/**
 * Makes the signatures of one intent: attempt, verify, and after an error reconnect and try again under a row of its own. What may
 * exist already is not made a second time: a certificate whose C_Sign failed is abandoned.
 */
import { hash } from "node:crypto";
import { concat, encodeHex } from "../core/formats/encoding.ts";
import type { Clock } from "../core/clock.ts";
import type { Journal } from "../core/journal.ts";
import { Failure } from "../events/failure.ts";
import type { Purpose } from "../events/hsm.ts";
import { HsmError } from "./errors.ts";
import type { Guard } from "./guard.ts";
import type { Keyring, VaultKey } from "./keyring.ts";
import { type Ledger, StateUnavailable } from "./ledger.ts";
import type { IntentRow } from "./ledger-rows.ts";
import type { Pool } from "./pool.ts";
import { releasedForm, schemes, signingInput, verifier } from "./public-key.ts";
import type { Prepared } from "./prepared.ts";

/** An intent that is recorded and may now be signed. */
export interface Job {
  readonly key: VaultKey;
  readonly purpose: Purpose | "selfTest";
  readonly asker: string;
  readonly trace: string;
  readonly prepared: Prepared;
  /** Of the row of the attempt under way. */
  sequence: number;
}

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
  readonly #verifiers = new Map<string, (message: Uint8Array, signature: Uint8Array) => boolean>();
  readonly #modes = new Map<string, Mode>();
  /** Keys that gave a bad signature, by label. */
  readonly quarantined = new Map<string, Quarantine>();

  constructor(parts: Parts) {
    this.#parts = parts;
    for (const key of parts.keyring.keys) this.add(key);
  }

  /** Makes ready to sign with a key. */
  add({ label, algorithm, publicKey }: VaultKey): void {
    this.#verifiers.set(label, verifier(schemes[algorithm], publicKey));
  }

  setMode(label: string, mode: Mode): void {
    this.#modes.set(label, mode);
  }

  modeOf(label: string): Mode {
    return this.#modes.get(label) ?? "async";
  }

  /** The row that announces a job, or the rest of it when it is tried again. */
  intentOf(
    { key, purpose, asker, trace, prepared }: Job,
    rest: readonly Uint8Array[] = prepared.messages,
  ): Omit<IntentRow, "type" | "atMs"> {
    const digests = rest.map((message) => hash("sha256", message, "buffer"));
    const digest = encodeHex(hash("sha256", concat(...digests), "buffer"));
    const { binding } = prepared;
    return { asker, key: key.label, purpose, count: rest.length, hash: digest, binding, trace };
  }

  /** Makes and verifies every signature of a job whose intent is durable; a failure is answered, not thrown. */
  async perform(job: Job, mode: Mode): Promise<Signed | Failure> {
    const done = new Map<number, Uint8Array>();
    let fastestMs = Infinity;
    for (let attempt = 1; ; attempt++) {
      const { generation } = this.#parts.pool;
      const todo = [...job.prepared.messages.keys()].filter((index) => !done.has(index));
      const before = done.size;
      const result = await this.#attempt(job, { todo, done, mode });
      fastestMs = Math.min(fastestMs, result.fastestMs);
      const made = done.size - before + result.bad;
      if (result.error === null) {
        const signatureHash = hashOf(todo.map((index) => done.get(index)));
        this.#parts.ledger.note({ of: job.sequence, status: "ok", made, signatureHash });
        return { signatures: inOrder(done), fastestMs };
      }
      const failure = await this.#afterError(job, {
        error: result.error,
        made,
        attempt,
        generation,
      });
      if (failure) return failure;
      const rest = job.prepared.messages.filter((_, index) => !done.has(index));
      const stopped = this.#announceRetry(job, rest);
      if (stopped) return stopped;
    }
  }

  async #attempt(
    job: Job,
    { todo, done, mode }: { todo: readonly number[]; done: Map<number, Uint8Array>; mode: Mode },
  ): Promise<Attempt> {
    const attempt: Attempt = { error: null, bad: 0, fastestMs: Infinity };
    const { pool } = this.#parts;
    const { label } = job.key;
    if (mode === "async") {
      const each = todo.map(async (index) => {
        if (attempt.error) return;
        try {
          const raw = await pool.signLater(label, ...this.#input(job, index));
          done.set(index, this.#released(job, index, raw));
        } catch (error) {
          spoil(attempt, error);
        }
      });
      await Promise.all(each);
      return attempt;
    }
    for (const index of todo) {
      const startedMs = performance.now();
      try {
        const raw = pool.signNow(label, ...this.#input(job, index));
        attempt.fastestMs = Math.min(attempt.fastestMs, performance.now() - startedMs);
        done.set(index, this.#released(job, index, raw));
      } catch (error) {
        spoil(attempt, error);
        return attempt;
      }
    }
    return attempt;
  }

  #input(job: Job, index: number): [(typeof schemes)["ecdsa-p256"], Uint8Array] {
    const scheme = schemes[job.key.algorithm];
    return [scheme, signingInput(scheme, messageAt(job, index))];
  }

  /** The form that leaves, once it is known to be good. @throws {BadSignature} */
  #released(job: Job, index: number, raw: Uint8Array): Uint8Array {
    const scheme = schemes[job.key.algorithm];
    const complete = raw.length === scheme.signatureBytes;
    const signature = complete ? releasedForm(scheme, raw) : raw;
    const verify = this.#verifiers.get(job.key.label);
    if (complete && verify?.(messageAt(job, index), signature)) return signature;
    throw new BadSignature();
  }

  /** Records what is known, and decides whether there is another attempt: null if there is. */
  async #afterError(
    job: Job,
    at: {
      readonly error: HsmError | BadSignature;
      readonly made: number;
      readonly attempt: number;
      readonly generation: number;
    },
  ): Promise<Failure | null> {
    const { ledger, pool, journal } = this.#parts;
    const { label } = job.key;
    const of = job.sequence;
    if (at.error instanceof BadSignature) {
      const reason = `the key ${label} gave a signature that does not verify; it is not used until the vault is started again`;
      ledger.note({ of, status: "bad", made: at.made });
      this.quarantined.set(label, { reason, since: this.#parts.clock.now() });
      journal.error("bad-signature", { alarm: true, key: label, purpose: job.purpose, row: of });
      return new Failure("key-unavailable", reason);
    }
    const { reason, operation } = at.error;
    ledger.note({ of, status: "failed", made: at.made, reason: `${operation} ${reason}` });
    journal.warn("hsm-error", { key: label, operation, reason, attempt: at.attempt, row: of });
    if (job.purpose === "certificate" && operation === "C_Sign") {
      // The device may have made it: another one would be a second certificate.
      void pool.recover(at.generation);
      return unavailable("the certificate's signature has an unknown outcome; it is abandoned");
    }
    if (at.error.remedy === "none" || at.attempt >= maxAttempts) {
      return unavailable(at.error.message);
    }
    const back = await pool.recover(at.generation);
    return back ? null : unavailable("the HSM does not answer; it is tried again by itself");
  }

  /** A row for the next attempt, durable before it is made. A failure if that cannot be. */
  #announceRetry(job: Job, rest: readonly Uint8Array[]): Failure | null {
    const { ledger, guard } = this.#parts;
    const retryOf = job.sequence;
    try {
      ledger.transaction(() => {
        const sequence = ledger.intend({ ...this.intentOf(job, rest), retryOf });
        guard.follow(retryOf, sequence);
        job.sequence = sequence;
      });
      return null;
    } catch (error) {
      if (error instanceof StateUnavailable) return unavailable(error.message);
      throw error;
    }
  }
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

function messageAt(job: Job, index: number): Uint8Array {
  const message = job.prepared.messages[index];
  if (message === undefined) throw new RangeError(`no message ${index}`);
  return message;
}

function hashOf(signatures: readonly (Uint8Array | undefined)[]): string {
  return encodeHex(hash("sha256", concat(...signatures.flatMap((one) => one ?? [])), "buffer"));
}

function inOrder(done: ReadonlyMap<number, Uint8Array>): Uint8Array[] {
  return [...done].toSorted(([a], [b]) => a - b).map(([, signature]) => signature);
}
