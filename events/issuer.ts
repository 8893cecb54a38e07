/** Short-lived code-signing certificates. */
import * as v from "valibot";
import { bytes, bytesUpTo, hash, uint } from "./bytes.ts";
import { ask, fact } from "./contract.ts";
import { keyLabel } from "./hsm.ts";

/** How the requester shows that it holds the key. */
export const keyProof = v.variant("kind", [
  v.strictObject({
    kind: v.literal("possession"),
    /** SubjectPublicKeyInfo, DER. */
    publicKey: bytesUpTo(8_192),
    /** A signature by that key over the principal's challenge, with the key's default hash. */
    possession: bytesUpTo(4_096),
  }),
  v.strictObject({
    kind: v.literal("request"),
    /** A PKCS#10 CertificationRequest, DER. Only its key and self-signature are looked at. */
    request: bytesUpTo(65_536),
  }),
]);

/** Issues a certificate with an embedded SCT. */
export const issueCertificate = ask("issuer", "issueCertificate", {
  question: v.strictObject({
    idToken: v.pipe(v.string(), v.maxLength(16_384)),
    proof: keyProof,
  }),
  /** Leaf first, root last, each DER. */
  answer: v.strictObject({ chain: v.array(bytes) }),
  failures: [
    "identity-rejected",
    "issuer-unavailable",
    "key-malformed",
    "key-insecure",
    "request-malformed",
    "possession-unproven",
    "lint-refused",
    "log-unavailable",
    "key-unavailable",
    "time-unavailable",
  ],
  deadlineMs: 20_000,
});

/** The chains this issuer's leaves end with. */
export const trustBundle = ask("issuer", "trustBundle", {
  question: v.strictObject({}),
  /** Issuing CA first, root last, each DER. */
  answer: v.strictObject({ chains: v.array(v.array(bytes)) }),
  failures: [],
  deadlineMs: 2_000,
});

/**
 * An operator's: from now on certificates are issued with this key, which must have its chain. What is under way is finished with the
 * key it began with. Durable before it is answered; the key that is in use already is no error.
 */
export const activateIssuer = ask("issuer", "activateIssuer", {
  question: v.strictObject({ key: keyLabel }),
  answer: v.strictObject({
    /** When it was put into use: nothing was issued by the one before it with a later notBefore. */
    activatedAtMs: uint,
    lifetimeSeconds: v.number(),
  }),
  failures: ["access-denied", "operation-refused", "key-unavailable"],
  deadlineMs: 10_000,
});

/** A certificate was issued; it is in the CT log at `ctIndex`. */
export const certificateIssued = fact(
  "issuer",
  "certificateIssued",
  v.strictObject({
    /** Serial number, unsigned big-endian. */
    serial: bytes,
    oidcIssuer: v.string(),
    subject: v.string(),
    san: v.string(),
    tokenDigest: hash,
    publicKeyHash: hash,
    certificate: bytes,
    ctTimestampMs: uint,
    issuedAtMs: uint,
  }),
);

/** A request was refused, or given up after its precertificate was signed. `serial` is present from the intent on. */
export const certificateRefused = fact(
  "issuer",
  "certificateRefused",
  v.strictObject({
    /** The failure code. */
    code: v.string(),
    /** The reason, without secrets. */
    reason: v.string(),
    serial: v.optional(bytes),
    oidcIssuer: v.optional(v.string()),
    subject: v.optional(v.string()),
    tokenDigest: hash,
    refusedAtMs: uint,
  }),
);
