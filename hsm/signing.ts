/** Signs what is recorded and durable, in turns, and answers; what was refused is answered among it. */
import { setImmediate as nextTick } from "node:timers/promises";
import { Failure } from "../events/failure.ts";
import { type Asked, type Judged, promisesFirst } from "./asked.ts";
import type { Job } from "./job.ts";
import type { Mode, Signer } from "./signer.ts";
import type { VaultParts } from "./vault-parts.ts";

/** A batch yields to the event loop after so many signatures, which are verified while the next ones are made. */
const signaturesPerTurn = 32;

/** What signing needs of the vault. */
interface SigningParts extends Pick<VaultParts, "journal" | "ledger" | "onBroken"> {
  readonly signer: Signer;
  /** True if certificates wait for SCTs. */
  readonly isWaitedFor: () => boolean;
  /** Told of a job that came to nothing, before it is answered. */
  readonly onFailed: (job: Job) => void;
}

/** Signs for one vault. */
export class Signing {
  readonly #parts: SigningParts;

  constructor(parts: SigningParts) {
    this.#parts = parts;
  }

  /** Signs and answers all of them; never rejects. */
  async signAll(judged: readonly Judged[]): Promise<void> {
    const { signer, isWaitedFor } = this.#parts;
    const settling: Promise<void>[] = [];
    let turn = 0;
    for (const { job, failure, asked } of promisesFirst(judged)) {
      if (!job) {
        this.#refuse(asked, failure ?? new Failure("internal", "internal error"));
        continue;
      }
      const mode = signer.modeOf(job.key.label);
      const settled = this.#settle(asked, job, mode);
      settling.push(settled);
      if (mode === "async") continue;
      // It is signed by now, and verified while the next ones are signed; but where the token has failed, they wait.
      if (signer.isInTrouble) await settled;
      turn += job.prepared.messages.length;
      // So that certificates are made of what is promised, before the rest of the batch.
      const isUrgent = job.purpose === "scts" && isWaitedFor();
      if (isUrgent || turn >= signaturesPerTurn) {
        turn = 0;
        await nextTick();
      }
    }
    await Promise.all(settling);
  }

  #refuse({ key, envelope, reject }: Asked, refusal: Failure): void {
    const { code, message: why } = refusal;
    this.#parts.journal.warn("refused", { key, asker: envelope.from, code, why });
    reject(refusal);
  }

  async #settle(asked: Asked, job: Job, mode: Mode): Promise<void> {
    const { signer, journal, ledger, onBroken, onFailed } = this.#parts;
    try {
      const outcome = await signer.perform(job, mode);
      if (outcome instanceof Failure) {
        onFailed(job);
        asked.reject(outcome);
        // A retry whose row could not be written, perhaps.
        if (ledger.broken) onBroken(outcome);
        return;
      }
      asked.onSigned?.(job, outcome.signatures);
      const signed = job.prepared.signed?.(outcome.signatures);
      asked.resolve({ signatures: outcome.signatures, ...(signed && { signed }) });
    } catch (error) {
      journal.error("signing-failed", { error });
      onFailed(job);
      asked.reject(Failure.from(error));
    }
  }
}
