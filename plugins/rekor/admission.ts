/**
 * What may be logged: the entry is well formed, its key is acceptable, and every signature verifies. A certificate's expiry is not
 * looked at, as upstream does not: that is for whoever verifies the entry later, against the time it was logged.
 */
import { verifyDigest } from "../../core/crypto/digest-verify.ts";
import { sha256 } from "../../core/crypto/hash.ts";
import {
  importPublicKey,
  KeyInsecure,
  type PublicKey,
  readPublicKey,
} from "../../core/crypto/keys.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { type Envelope, pae } from "../../core/formats/dsse.ts";
import { inTotoPayloadType, subjectDigests } from "../../core/formats/in-toto-subjects.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  type AdmittedEntry,
  canonicalBody,
  dsseEntry,
  type HashedRekord,
  parseProposedEntry,
  type ProposedDsse,
  type ProposedEntry,
  UnsupportedEntry,
} from "../../core/formats/rekor-entry.ts";
import type { Intoto1, Intoto2 } from "../../core/formats/rekor-intoto.ts";
import { UnreadableVerifier, type Verifier } from "../../core/formats/rekor-members.ts";
import type { Rekord } from "../../core/formats/rekor-rekord.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { Failure } from "../../events/failure.ts";
import { verifyPrehashed } from "./ed25519ph.ts";
import { isMinisigned, isSshSigned } from "./rekord.ts";

/**
 * The canonical body of a proposed entry.
 *
 * @throws {Failure} malformed, entry-unsupported, key-malformed, key-insecure or signature-invalid.
 */
export function admit(proposed: Uint8Array): Uint8Array {
  return admitEntry(proposed).body;
}

/** As {@link admit}, with the digests of what an attestation is about. */
export function admitEntry(proposed: Uint8Array): {
  readonly body: Uint8Array;
  readonly subjects: Uint8Array;
} {
  const entry = parse(proposed);
  const body = canonicalBody(admitted(entry));
  return { body, subjects: "envelope" in entry ? subjectsOf(entry.envelope) : new Uint8Array() };
}

/** The digests of an envelope's subjects, if it holds a statement. */
export function subjectsOf({ payloadType, payload }: Envelope): Uint8Array {
  return payloadType === inTotoPayloadType ? subjectDigests(payload) : new Uint8Array();
}

function admitted(entry: ProposedEntry): AdmittedEntry {
  switch (entry.kind) {
    case "hashedrekord":
      return admitHashedRekord(entry);
    case "dsse":
      return admitDsse(entry);
    case "intoto":
      return entry.version === "0.0.1" ? admitIntoto1(entry) : admitIntoto2(entry);
    case "rekord":
      return admitRekord(entry);
  }
}

function parse(proposed: Uint8Array): ProposedEntry {
  try {
    return parseProposedEntry(proposed);
  } catch (cause) {
    if (cause instanceof Malformed) throw new Failure("malformed", cause.message, { cause });
    if (cause instanceof UnsupportedEntry) {
      throw new Failure("entry-unsupported", cause.message, { cause });
    }
    if (cause instanceof UnreadableVerifier) {
      throw new Failure("key-malformed", cause.message, { cause });
    }
    throw cause;
  }
}

function admitHashedRekord(entry: HashedRekord): HashedRekord {
  const key = readKeyOnce(entry.verifier);
  const { hashAlgorithm, digest, signature } = entry;
  if (key.algorithm === "ed25519" && hashAlgorithm !== "sha512") {
    throw new Failure(
      "key-insecure",
      "Ed25519 does not sign a digest: use Ed25519ph with sha512, or a dsse entry",
    );
  }
  const good =
    key.algorithm === "ed25519"
      ? verifyPrehashed(key.spki, digest, signature)
      : verifyDigest(key, hashAlgorithm, digest, signature);
  if (good) return entry;
  requireKey(key);
  throw invalid("the signature does not verify over the digest with this key");
}

/** Every signature must have a verifier, and every verifier a signature. */
function admitDsse(entry: ProposedDsse) {
  const keys = entry.verifiers.map(readKey);
  const signs = messageOf(entry.envelope);
  const used = entry.envelope.signatures.map(({ signature }) => {
    const at = keys.findIndex((key) => signs(key, signature));
    const verifier = entry.verifiers[at];
    if (verifier === undefined) throw invalid("a signature verifies with none of the verifiers");
    return verifier;
  });
  if (entry.verifiers.some((verifier) => !used.includes(verifier))) {
    throw invalid("a verifier verifies none of the signatures, or repeats another");
  }
  return dsseEntry(entry, used);
}

/** The one key that the entry names must have made one of the signatures. */
function admitIntoto1(entry: Intoto1): Intoto1 {
  const key = readKey(entry.verifier);
  const signs = messageOf(entry.envelope);
  if (entry.envelope.signatures.some(({ signature }) => signs(key, signature))) return entry;
  throw invalid("the key verifies none of the signatures");
}

/** Every signature must be that of the key beside it. */
function admitIntoto2(entry: Intoto2): Intoto2 {
  const keys = entry.keys.map(({ verifier }) => readKey(verifier));
  const signs = messageOf(entry.envelope);
  const isGood = entry.envelope.signatures.every(({ signature }, at) => {
    const key = keys[at];
    return key !== undefined && signs(key, signature);
  });
  if (!isGood) throw invalid("a signature does not verify with its key");
  return entry;
}

function admitRekord(entry: Rekord): Rekord {
  if (isGoodRekord(entry)) return entry;
  throw invalid("the signature does not verify over the data with this key");
}

function isGoodRekord({ data, digest, signature: by }: Rekord): boolean {
  switch (by.format) {
    case "x509":
      return isBy(readKey(by.verifier), { message: data, digest }, by.content);
    case "ssh":
      return isSshSigned(readKey({ label: "PUBLIC KEY", der: by.key.spki }), data, by);
    case "minisign":
      return isMinisigned(readKey({ label: "PUBLIC KEY", der: by.key.spki }), data, by);
  }
}

interface Message {
  readonly message: Uint8Array;
  /** SHA-256 of the message. */
  readonly digest: Uint8Array;
}

/** Whether a key has signed the envelope. One hash of a large payload serves all pairs. */
function messageOf({ payloadType, payload }: Envelope) {
  const message = pae(payloadType, payload);
  const signed = { message, digest: sha256(message) };
  return (key: PublicKey, signature: Uint8Array): boolean => isBy(key, signed, signature);
}

/** Everything but Ed25519, which takes the message itself, signs SHA-256 here, whatever its curve, as rekor does. */
function isBy(key: PublicKey, { message, digest }: Message, signature: Uint8Array): boolean {
  return key.algorithm === "ed25519"
    ? verifySignature(key, message, signature)
    : verifyDigest(key, "sha256", digest, signature);
}

/**
 * {@link readKey} with {@link readPublicKey}, for one verification: whoever finds that nothing verifies must {@link requireKey}.
 *
 * @throws {Failure} key-malformed or key-insecure.
 */
export function readKeyOnce(verifier: Verifier): PublicKey {
  return keyOf(verifier, readPublicKey);
}

/** Tells a key that is none from one that has not made a signature. @throws {Failure} key-malformed */
export function requireKey({ spki: der }: PublicKey): void {
  readKey({ label: "PUBLIC KEY", der });
}

/** The key of a certificate, or a key alone. @throws {Failure} key-malformed or key-insecure. */
function readKey(verifier: Verifier): PublicKey {
  return keyOf(verifier, importPublicKey);
}

function keyOf({ label, der }: Verifier, read: typeof importPublicKey): PublicKey {
  try {
    return read(label === "CERTIFICATE" ? parseCertificate(der).publicKey : der);
  } catch (cause) {
    if (cause instanceof Malformed) throw new Failure("key-malformed", cause.message, { cause });
    if (cause instanceof KeyInsecure) throw new Failure("key-insecure", cause.message, { cause });
    throw cause;
  }
}

function invalid(message: string): Failure {
  return new Failure("signature-invalid", message);
}
