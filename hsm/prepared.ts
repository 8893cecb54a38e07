/** What a signable becomes before anything is asked of the token: bytes to sign, a claim for the guard, a binding for the ledger. */
import type { SignedPrecertificate } from "./certificate.ts";
import type { Claim } from "./guard.ts";
import type { Binding } from "./ledger-rows.ts";

/** What is about to be signed. */
export interface Prepared {
  /** Each is hashed and signed. */
  readonly messages: readonly Uint8Array[];
  /** What the guard has to judge. */
  readonly claim: Claim;
  /** What the ledger keeps. */
  readonly binding: Binding;
  /** What is answered beside the signatures; it may hold them. */
  readonly signed?: (signatures: readonly Uint8Array[]) => Uint8Array;
  /** Precertificates only: what their certificates are made of. */
  readonly precertificate?: SignedPrecertificate;
}
