/** Why a bundle was not believed. */

/** The part of the evidence that failed. */
export type Check =
  | "bundle"
  | "log-entry"
  | "signing-time"
  | "certificate"
  | "sct"
  | "signature"
  | "artifact"
  | "identity";

/** A bundle that says something untrue or unproven. Bytes that break their format are `Malformed` instead. */
export class NotVerified extends Error {
  override readonly name = "NotVerified";
  readonly check: Check;

  constructor(check: Check, message: string, options?: ErrorOptions) {
    super(message, options);
    this.check = check;
  }
}
