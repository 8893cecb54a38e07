/** The closed list of ways an ask can fail, and the one error class that crosses the bus. */

/** Who has to act for the ask to succeed. */
export type Blame = "caller" | "operator" | "nobody";

const meanings = {
  malformed: {
    blame: "caller",
    retry: false,
    means: "the question does not match its schema or format",
  },
  "not-found": {
    blame: "caller",
    retry: false,
    means: "there is nothing under that name, index or hash",
  },
  "out-of-range": {
    blame: "caller",
    retry: false,
    means: "the size or index lies outside the tree",
  },
  "identity-rejected": { blame: "caller", retry: false, means: "the ID token is not acceptable" },
  "issuer-unavailable": {
    blame: "operator",
    retry: true,
    means: "the OIDC issuer's keys cannot be fetched",
  },
  "key-malformed": { blame: "caller", retry: false, means: "the public key cannot be parsed" },
  "key-insecure": {
    blame: "caller",
    retry: false,
    means: "the public key is of a kind or size that is not accepted",
  },
  "key-not-permitted": {
    blame: "caller",
    retry: false,
    means: "this installation does not certify keys of this algorithm",
  },
  "request-malformed": {
    blame: "caller",
    retry: false,
    means: "the certificate signing request cannot be parsed",
  },
  "possession-unproven": {
    blame: "caller",
    retry: false,
    means: "the proof of possession does not verify",
  },
  "policy-refused": {
    blame: "caller",
    retry: false,
    means: "the policy does not allow this identity a certificate, now or at all",
  },
  "rate-limited": {
    blame: "caller",
    retry: true,
    means:
      "this identity or its issuer has used up what it may ask for; the details say for how long",
  },
  "signature-invalid": { blame: "caller", retry: false, means: "the signature does not verify" },
  "entry-unsupported": {
    blame: "caller",
    retry: false,
    means: "the entry's kind or version is not accepted here",
  },
  "chain-rejected": {
    blame: "caller",
    retry: false,
    means: "the certificate chain does not lead to an accepted root",
  },
  "access-denied": {
    blame: "caller",
    retry: false,
    means: "the asker has not shown the secret this needs",
  },
  "log-unavailable": {
    blame: "operator",
    retry: true,
    means: "the transparency log did not take the entry",
  },
  "lint-refused": {
    blame: "operator",
    retry: false,
    means: "the certificate would break its profile",
  },
  "key-unavailable": {
    blame: "operator",
    retry: true,
    means: "the HSM has no usable key for this purpose",
  },
  "purpose-refused": {
    blame: "operator",
    retry: false,
    means: "the key may not sign this, or not for this asker",
  },
  "guard-refused": {
    blame: "operator",
    retry: false,
    means: "signing this would shrink, fork or replay what the key signed before",
  },
  "time-unavailable": {
    blame: "operator",
    retry: true,
    means: "the clock is in doubt: it was set, or the time sources disagree",
  },
  "log-frozen": {
    blame: "operator",
    retry: false,
    means: "the transparency log is frozen: it is read for ever and takes nothing more",
  },
  "operation-refused": {
    blame: "operator",
    retry: false,
    means: "an operator asked for what does not fit what is there",
  },
  conflict: {
    blame: "nobody",
    retry: true,
    means: "another commit changed what this one expected",
  },
  overloaded: { blame: "nobody", retry: true, means: "the answerer is applying back-pressure" },
  "deadline-exceeded": {
    blame: "nobody",
    retry: true,
    means: "no answer within the ask's deadline",
  },
  internal: { blame: "operator", retry: false, means: "a bug or an unclassified fault" },
} as const satisfies Record<string, { blame: Blame; retry: boolean; means: string }>;

/** Every code a failure may carry. */
export type FailureCode = keyof typeof meanings;

/** All codes, for schemas and for tests that walk them. */
export const failureCodes = Object.keys(meanings) as readonly FailureCode[]; // keys of a const object are its key type

/** Codes any ask may fail with, declared or not. */
const universal: readonly FailureCode[] = ["malformed", "overloaded", "deadline-exceeded"];

/** What a failure is made with besides its code and message. */
export interface FailureOptions extends ErrorOptions {
  /** See {@link Failure.details}. */
  readonly details?: unknown;
}

/** An ask that did not succeed. `message` may be shown to the caller; `cause` never leaves the process. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  /**
   * What the asker needs for its records, in the form that the ask documents (bytes, text, numbers, plain objects); undefined if
   * there is nothing. Crosses the bus, is checked by whoever reads it, and is never shown to the caller.
   */
  readonly details: unknown;

  constructor(code: FailureCode, message: string, options?: FailureOptions) {
    super(message, options);
    this.code = code;
    this.details = options?.details;
  }

  get blame(): Blame {
    return meanings[this.code].blame;
  }

  get retry(): boolean {
    return meanings[this.code].retry;
  }

  /** Turns anything thrown into a Failure; what was not one becomes a bland `internal`. */
  static from(thrown: unknown): Failure {
    if (thrown instanceof Failure) return thrown;
    return new Failure("internal", "internal error", { cause: thrown });
  }

  /** This failure if its code is among `declared` or universal, else `internal`: no undeclared code leaks out. */
  within(declared: readonly FailureCode[]): Failure {
    if (universal.includes(this.code) || declared.includes(this.code)) return this;
    return new Failure("internal", "internal error", { cause: this });
  }
}
