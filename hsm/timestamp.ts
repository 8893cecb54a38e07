/** RFC 3161 tokens. */
import type { Signable } from "../events/hsm.ts";
import { Failure } from "../events/failure.ts";
import type { VaultKey } from "./keyring.ts";
import type { Prepared } from "./signable.ts";

/** @throws {Failure} purpose-refused */
export function prepareTimestamp(
  _signable: Extract<Signable, { purpose: "timestamp" }>,
  key: VaultKey,
  _nowMs: number,
): Prepared {
  throw new Failure("purpose-refused", `the keyring binds no timestamp policy to ${key.label}`);
}
