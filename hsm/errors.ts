/** The ways PKCS#11 fails, told apart by what to do next. */
import { PinRefused } from "../core/plugin.ts";

/** What a return value asks of the pool. */
export type Remedy =
  /** The session is spoilt: a new one may work. */
  | "new-session"
  /** The device or module is gone: only finalising and initialising again can help. */
  | "new-module"
  /** Never try again with the same PIN. */
  | "stop"
  /** The call itself was wrong. */
  | "none";

/** A PKCS#11 function answered something else than CKR_OK. */
export class HsmError extends Error {
  override readonly name = "HsmError";
  /** The return value, for example 0x30. */
  readonly code: number;
  /** Its name in PKCS#11 v3.1 §5.1, for example `CKR_DEVICE_ERROR`. */
  readonly reason: string;
  /** The function that answered it. */
  readonly operation: string;

  constructor(operation: string, reason: string, code: number) {
    super(`${operation} answered ${reason}: ${advice(reason)}`);
    this.operation = operation;
    this.reason = reason;
    this.code = code;
  }

  get remedy(): Remedy {
    return remedies[this.reason] ?? "new-session";
  }
}

/** The device refused the PIN: the process ends with its own exit code, and nobody starts it again with the same PIN. */
export function pinRefused(reason: string): PinRefused {
  return new PinRefused(
    `the HSM refused the PIN (${reason}); it was tried once and will not be tried again, so that the token is not locked: ` +
      "put the right PIN in place, then start again",
  );
}

/** The vault will not start, or will not go on, because what it found is not what it must find. */
export class VaultRefused extends Error {
  override readonly name = "VaultRefused";
}

/** The HSM does not answer although everything is in place: starting again later may help. */
export class VaultUnavailable extends Error {
  override readonly name = "VaultUnavailable";
}

/** What pkcs11js threw, as an {@link HsmError} if it carries a return value. */
export function translated(operation: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = "code" in error && typeof error.code === "number" ? error.code : null;
  if (code === null) return error;
  const reason = error.message.startsWith("CKR_") ? error.message : `CKR 0x${code.toString(16)}`;
  return new HsmError(operation, reason, code);
}

const remedies: { readonly [reason: string]: Remedy | undefined } = {
  CKR_PIN_INCORRECT: "stop",
  CKR_PIN_LOCKED: "stop",
  CKR_PIN_EXPIRED: "stop",
  CKR_PIN_INVALID: "stop",
  CKR_PIN_LEN_RANGE: "stop",
  CKR_USER_PIN_NOT_INITIALIZED: "stop",
  CKR_DEVICE_ERROR: "new-module",
  CKR_DEVICE_REMOVED: "new-module",
  CKR_DEVICE_MEMORY: "new-module",
  CKR_TOKEN_NOT_PRESENT: "new-module",
  CKR_TOKEN_NOT_RECOGNIZED: "new-module",
  CKR_CRYPTOKI_NOT_INITIALIZED: "new-module",
  CKR_GENERAL_ERROR: "new-module",
  CKR_FUNCTION_FAILED: "new-module",
  CKR_HOST_MEMORY: "new-module",
  CKR_SLOT_ID_INVALID: "new-module",
  CKR_MECHANISM_INVALID: "none",
  CKR_KEY_TYPE_INCONSISTENT: "none",
  CKR_KEY_FUNCTION_NOT_PERMITTED: "none",
};

function advice(reason: string): string {
  switch (remedies[reason]) {
    case "stop":
      return "the PIN is not accepted; do not try it again";
    case "new-module":
      return "the device is not reachable; check that it is plugged in, powered and its files are in place";
    case "none":
      return "the key cannot do this; check the key's type and attributes with pkcs11-tool";
    case "new-session":
    case undefined:
      return "the session cannot be used any more";
  }
}
