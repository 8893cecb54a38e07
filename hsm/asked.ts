/** Questions for signatures, on their way through the vault. */
import type { Envelope } from "../core/plugin.ts";
import type { Failure } from "../events/failure.ts";
import type { Purpose, Signable } from "../events/hsm.ts";
import type { VaultKey } from "./keyring.ts";
import type { Prepared } from "./prepared.ts";
import type { Job } from "./job.ts";

/** What the ask `sign` brings. */
export interface SignQuestion {
  readonly key: string;
  readonly signable: Signable;
}

/** What is answered. */
export interface SignAnswer {
  readonly signatures: Uint8Array[];
  readonly signed?: Uint8Array;
}

/** A question that is to be judged, recorded and signed, or refused. */
export interface Asked {
  /** Label of the key. */
  readonly key: string;
  readonly purpose: Purpose;
  readonly envelope: Envelope;
  /** What is to be signed, with a key that may. @throws {Failure} */
  readonly prepare: (key: VaultKey, nowMs: number) => Prepared;
  readonly resolve: (answer: SignAnswer) => void;
  readonly reject: (failure: Failure) => void;
  /** Told of a good signature before it is answered. */
  readonly onSigned?: (job: Job, signatures: readonly Uint8Array[]) => void;
}

/** What certificates wait for is signed first: they are signed before the rest. */
export function promisesFirst(judged: readonly Judged[]): readonly Judged[] {
  const promises = judged.filter(({ job }) => job?.purpose === "scts");
  if (promises.length === 0 || promises.length === judged.length) return judged;
  return [...promises, ...judged.filter(({ job }) => job?.purpose !== "scts")];
}

/** A question that has been judged: a job, or why there is none. */
export interface Judged {
  readonly asked: Asked;
  job: Job | null;
  failure: Failure | null;
}
