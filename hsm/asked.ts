/** Questions for signatures, on their way through the vault. */
import type { Envelope } from "../core/plugin.ts";
import type { Failure } from "../events/failure.ts";
import type { Purpose, Signable } from "../events/hsm.ts";
import type { VaultKey } from "./keyring.ts";
import type { Prepared } from "./prepared.ts";

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
  readonly onSigned?: (
    key: VaultKey,
    prepared: Prepared,
    signatures: readonly Uint8Array[],
  ) => void;
}
