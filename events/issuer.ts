/** Short-lived code-signing certificates. */
import * as v from "valibot";
import { bytes, bytesUpTo, hash, uint } from "./bytes.ts";
import { ask, fact } from "./contract.ts";
import { sct } from "./ct.ts";
import { keyLabel } from "./hsm.ts";
import { principal, provenance } from "./identity.ts";

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

/** Issues a certificate that is in the CT log: its SCT is embedded in it, or comes beside it if the installation is configured so. */
export const issueCertificate = ask("issuer", "issueCertificate", {
  question: v.strictObject({
    idToken: v.pipe(v.string(), v.maxLength(16_384)),
    proof: keyProof,
    /** Where it came from, as far as records go: an IPv4 /24 or an IPv6 /48 (`203.0.113.0/24`). */
    network: v.optional(v.pipe(v.string(), v.maxLength(64))),
  }),
  answer: v.strictObject({
    /** Leaf first, root last, each DER. */
    chain: v.array(bytes),
    /** Present exactly if the certificate embeds none: over the certificate itself (RFC 6962 §3.2, x509_entry). */
    detachedSct: v.optional(sct),
  }),
  failures: [
    "identity-rejected",
    "issuer-unavailable",
    "policy-refused",
    "rate-limited",
    "key-malformed",
    "key-insecure",
    "key-not-permitted",
    "request-malformed",
    "possession-unproven",
    "lint-refused",
    "log-unavailable",
    "log-frozen",
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

/** What is known of a request and of who made it, in both facts. */
const about = {
  /** The request's id at the door: the trace id, which the vault's ledger rows carry too. */
  requestId: v.optional(v.string()),
  /** On what identity's verdict rested. */
  provenance: v.optional(provenance),
};

/** A certificate was issued, and is in the CT log. */
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
    /** What the certificate says besides, so that nobody need parse it; absent in facts of older releases. */
    sanKind: v.optional(principal.entries.san.entries.kind),
    extensions: v.optional(principal.entries.extensions),
    ...about,
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
    san: v.optional(v.string()),
    sanKind: v.optional(principal.entries.san.entries.kind),
    /** What the certificate's extensions would have been. */
    extensions: v.optional(principal.entries.extensions),
    tokenDigest: hash,
    refusedAtMs: uint,
    ...about,
  }),
);

/** Refusals of one kind within one second. Nobody's identity was proven, so nothing in it is anybody's word. */
export const refusalCount = v.strictObject({
  /** The failure code. */
  code: v.string(),
  reason: v.pipe(v.string(), v.maxLength(256)),
  /** What the token said its issuer was; `*` for whatever was too much to tell apart. */
  oidcIssuer: v.optional(v.pipe(v.string(), v.maxLength(2_048))),
  network: v.pipe(v.string(), v.maxLength(64)),
  /** The second, in ms. */
  secondMs: uint,
  count: v.pipe(v.number(), v.integer(), v.minValue(1)),
});

/** A {@link refusalCount}. */
export type RefusalCount = v.InferOutput<typeof refusalCount>;

/** The door's own: requests for certificates that were refused before anybody could be asked. Recorded within a second. */
export const countRefusals = ask("issuer", "countRefusals", {
  question: v.strictObject({ refusals: v.pipe(v.array(refusalCount), v.maxLength(1_024)) }),
  answer: v.strictObject({}),
  failures: [],
  deadlineMs: 2_000,
});

/** Requests were refused before anybody was authenticated. One row a reason, issuer, network and second, however many they were. */
export const refusalsCounted = fact(
  "issuer",
  "refusalsCounted",
  v.strictObject({ refusals: v.array(refusalCount) }),
);
