/**
 * What the vault signs. It takes structures, never bytes: it formats them itself, so that holding a connection to the vault is
 * not holding its keys. The one exception, a TBSCertificate, is parsed and held against the profile bound to the key.
 */
import * as v from "valibot";
import { bytes, bytesUpTo, hash, uint } from "./bytes.ts";
import { ask } from "./contract.ts";
import { sealedVerdict } from "./identity.ts";

/** Label of a key in the vault's keyring. */
export const keyLabel = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,31}$/));

/** Kinds of key that the vault may hold. Ed25519 signs checkpoints and nothing else. */
export const keyAlgorithm = v.picklist([
  "ecdsa-p256",
  "ecdsa-p384",
  "rsa-2048",
  "rsa-3072",
  "rsa-4096",
  "ed25519",
]);

/** RFC 6962 §3.4 entries, as an SCT signs them. */
const sctEntry = v.variant("kind", [
  v.strictObject({ kind: v.literal("certificate"), timestampMs: uint, certificate: bytes }),
  v.strictObject({
    kind: v.literal("precertificate"),
    timestampMs: uint,
    issuerKeyHash: hash,
    tbs: bytes,
  }),
]);

const tree = {
  size: uint,
  root: hash,
  /** RFC 6962 proof from the size the key signed last (see {@link lastSigned}); empty from size 0 or to the same size. */
  consistencyProof: v.pipe(v.array(hash), v.maxLength(64)),
};

/** Everything that may be signed, by purpose. */
export const signable = v.variant("purpose", [
  /**
   * A precertificate (recognised by the poison), or a certificate that never has SCTs in it. Answer: one signature. A certificate with
   * SCTs is not signed this way: see {@link completeCertificate}.
   */
  v.strictObject({
    purpose: v.literal("certificate"),
    tbs: bytesUpTo(16_384),
    verdict: sealedVerdict,
  }),
  /** SCTs of one log batch (RFC 6962 §3.2, v1, no extensions). Answer: one signature an entry, in order, ECDSA DER. */
  v.strictObject({
    purpose: v.literal("scts"),
    entries: v.pipe(v.array(sctEntry), v.minLength(1), v.maxLength(1024)),
  }),
  /** Rekor v1 signed entry timestamps of one log batch. Answer: one signature an entry, in order, ECDSA DER. */
  v.strictObject({
    purpose: v.literal("signedEntryTimestamps"),
    entries: v.pipe(
      v.array(v.strictObject({ body: bytes, integratedTimeSeconds: uint, index: uint })),
      v.minLength(1),
      v.maxLength(1024),
    ),
  }),
  /** A checkpoint (c2sp.org/tlog-checkpoint) for the key's origin. Answer: one signature, and the note text as `signed`. */
  v.strictObject({ purpose: v.literal("checkpoint"), ...tree }),
  /** An RFC 6962 §3.5 tree head. Answer: one signature. */
  v.strictObject({ purpose: v.literal("treeHead"), ...tree, timestampMs: uint }),
  /** An RFC 3161 token's signed attributes. Answer: one signature; `signed` is the DER of the whole TimeStampToken (CMS). */
  v.strictObject({
    purpose: v.literal("timestamp"),
    hashAlgorithm: v.picklist(["sha256", "sha384", "sha512"]),
    messageImprint: bytesUpTo(64),
    /** Dotted object identifier. */
    policy: v.string(),
    /** Unsigned big-endian, at most 20 bytes. */
    serial: bytesUpTo(20),
    genTimeMs: uint,
    nonce: v.optional(bytesUpTo(20)),
    includeCertificate: v.boolean(),
    /** With the certificate, those above it. */
    includeChain: v.optional(v.boolean()),
  }),
  /** A TUF role's `signed` part as JSON text. The vault re-encodes it canonically. Answer: one signature; `signed` is the canonical JSON. */
  v.strictObject({ purpose: v.literal("tufRole"), role: v.pipe(v.string(), v.maxLength(524_288)) }),
  /** An ID token's claims as JSON text. Answer: one signature; `signed` is the JWS signing input. */
  v.strictObject({ purpose: v.literal("idToken"), claims: v.pipe(v.string(), v.maxLength(8_192)) }),
]);

/** A {@link signable}. */
export type Signable = v.InferOutput<typeof signable>;
/** The reason for a signature. */
export type Purpose = Signable["purpose"];

/** Records an intent, signs, verifies the signature, and answers. */
export const sign = ask("hsm", "sign", {
  question: v.strictObject({ key: keyLabel, signable }),
  answer: v.strictObject({ signatures: v.array(bytes), signed: v.optional(bytes) }),
  failures: ["purpose-refused", "guard-refused", "lint-refused", "key-unavailable"],
  deadlineMs: 10_000,
  batched: true,
});

/**
 * The certificate of a precertificate that {@link sign} has answered a moment ago. The question is held until the vault has also signed
 * an SCT over that precertificate, with one of the named keys; the vault puts it in the place of the poison, and signs. Once each.
 */
export const completeCertificate = ask("hsm", "completeCertificate", {
  question: v.strictObject({
    key: keyLabel,
    /** SHA-256 of the precertificate's TBSCertificate without poison. */
    precertificate: hash,
    /** SHA-256 of the sealed verdict that it was signed under. */
    verdict: hash,
    /** Keys of logs: an SCT of any of them will do. */
    logs: v.pipe(v.array(keyLabel), v.minLength(1), v.maxLength(64)),
  }),
  answer: v.strictObject({
    signature: bytes,
    /** The SignedCertificateTimestampList in the certificate (RFC 6962 §3.3): one SCT. */
    scts: bytesUpTo(1_024),
  }),
  failures: ["purpose-refused", "guard-refused", "lint-refused", "key-unavailable"],
  deadlineMs: 15_000,
  batched: true,
  held: true,
});

/** A key's public half and what is bound to it. */
export const describeKey = ask("hsm", "describeKey", {
  question: v.strictObject({ key: keyLabel }),
  answer: v.strictObject({
    algorithm: keyAlgorithm,
    /** SubjectPublicKeyInfo, DER. */
    publicKey: bytes,
    purposes: v.array(v.string()),
    /** Logs only: the first line of the checkpoints it signs. */
    origin: v.optional(v.string()),
    /** Logs only: the name on the checkpoint's signature line. */
    noteName: v.optional(v.string()),
    /** Timestamp authorities only: the policy they sign under, a dotted object identifier. */
    policy: v.optional(v.string()),
    /** Issuing CAs and timestamp authorities only: its certificate first, root last, each DER. */
    chain: v.optional(v.array(bytes)),
  }),
  failures: ["key-unavailable"],
  deadlineMs: 5_000,
});

/** The newest tree the guard let a log key sign; size 0 and the empty root before the first. */
export const lastSigned = ask("hsm", "lastSigned", {
  question: v.strictObject({ key: keyLabel }),
  answer: v.strictObject({ size: uint, root: hash }),
  failures: ["key-unavailable", "purpose-refused"],
  deadlineMs: 5_000,
});

const keyBinding = {
  label: keyLabel,
  algorithm: keyAlgorithm,
  purposes: v.pipe(
    v.array(v.picklist(["certificate", "scts", "signedEntryTimestamps", "checkpoint", "treeHead"])),
    v.minLength(1),
    v.maxLength(4),
  ),
  askers: v.pipe(v.array(v.picklist(["issuer", "log"])), v.minLength(1), v.maxLength(2)),
  /** Logs only, as in {@link describeKey}. */
  origin: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(255))),
  noteName: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(255))),
};

/**
 * An operator's: generates a key on the open token and binds it in the keyring, durably, before it answers. The same question again
 * gives the same key; a label that is in use for another is refused.
 */
export const generateKey = ask("hsm", "generateKey", {
  question: v.strictObject(keyBinding),
  answer: v.strictObject({
    publicKey: bytes,
    /** CKA_ID on the token. */
    id: bytesUpTo(64),
  }),
  failures: ["access-denied", "operation-refused", "key-unavailable"],
  deadlineMs: 60_000,
});

/**
 * An operator's: ends the use of a log's key, durably, before it answers: it signs nothing from then on, and a ceremony may take it out of
 * the keyring and destroy it. There is no way back. Asked again, it is done already.
 */
export const retireKey = ask("hsm", "retireKey", {
  question: v.strictObject({ key: keyLabel }),
  answer: v.strictObject({}),
  failures: ["access-denied", "operation-refused", "key-unavailable"],
  deadlineMs: 10_000,
});

/**
 * An operator's: gives an issuing key its certificate, once. The chain must end in a root that the keyring knows already; own
 * certificate first, root last.
 */
export const bindChain = ask("hsm", "bindChain", {
  question: v.strictObject({
    key: keyLabel,
    chain: v.pipe(v.array(bytesUpTo(16_384)), v.minLength(2), v.maxLength(8)),
  }),
  answer: v.strictObject({}),
  failures: ["access-denied", "operation-refused", "key-unavailable", "lint-refused"],
  deadlineMs: 10_000,
});

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(64));

/**
 * An operator's: makes an issuing key its own root. The vault writes the certificate, signs it with the key it is about and binds it,
 * durably, before it answers. Only where the CA that issues now is its own root too; where one is above it, that certifies
 * ({@link bindChain}). The same question again gives the same certificate.
 */
export const certifySelf = ask("hsm", "certifySelf", {
  question: v.strictObject({
    key: keyLabel,
    organization: name,
    commonName: name,
    serial: v.pipe(bytesUpTo(20), v.minLength(8)),
    notBeforeMs: uint,
    notAfterMs: uint,
  }),
  answer: v.strictObject({ certificate: bytes }),
  failures: ["access-denied", "operation-refused", "key-unavailable", "lint-refused"],
  deadlineMs: 30_000,
});

/** The CAs of the keyring that are their own roots, each certificate DER: where one took over from another, both. */
export const listOwnRoots = ask("hsm", "listOwnRoots", {
  question: v.strictObject({}),
  answer: v.strictObject({ certificates: v.array(bytes) }),
  failures: ["key-unavailable"],
  deadlineMs: 5_000,
});
