/**
 * What may be logged: the entry is well formed, its key is acceptable, and every signature verifies. A certificate's expiry is not
 * looked at, as upstream does not: that is for whoever verifies the entry later, against the time it was logged.
 */
import { verifyDigest } from "../../core/crypto/digest-verify.ts";
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey, KeyInsecure, type PublicKey } from "../../core/crypto/keys.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { pae } from "../../core/formats/dsse.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  canonicalBody,
  dsseEntry,
  type HashedRekord,
  parseProposedEntry,
  type ProposedDsse,
  type ProposedEntry,
  UnreadableVerifier,
  UnsupportedEntry,
  type Verifier,
} from "../../core/formats/rekor-entry.ts";
import { parseCertificate } from "../../core/formats/x509.ts";
import { Failure } from "../../events/failure.ts";
import { verifyPrehashed } from "./ed25519ph.ts";

/**
 * The canonical body of a proposed entry.
 *
 * @throws {Failure} malformed, entry-unsupported, key-malformed, key-insecure or signature-invalid.
 */
export function admit(proposed: Uint8Array): Uint8Array {
  const entry = parse(proposed);
  return canonicalBody(entry.kind === "dsse" ? admitDsse(entry) : admitHashedRekord(entry));
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
  const key = readKey(entry.verifier);
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
  if (!good) throw invalid("the signature does not verify over the digest with this key");
  return entry;
}

/** Every signature must have a verifier, and every verifier a signature. */
function admitDsse(entry: ProposedDsse) {
  const keys = entry.verifiers.map(readKey);
  const { payloadType, payload, signatures } = entry.envelope;
  const message = pae(payloadType, payload);
  const digest = sha256(message);
  const used = signatures.map(({ signature }) => {
    const at = keys.findIndex((key) =>
      // One hash of a large payload serves all pairs, but Ed25519 takes the message itself.
      key.algorithm === "ed25519"
        ? verifySignature(key, message, signature)
        : verifyDigest(key, "sha256", digest, signature),
    );
    const verifier = entry.verifiers[at];
    if (verifier === undefined) throw invalid("a signature verifies with none of the verifiers");
    return verifier;
  });
  if (entry.verifiers.some((verifier) => !used.includes(verifier))) {
    throw invalid("a verifier verifies none of the signatures, or repeats another");
  }
  return dsseEntry(entry, used);
}

/** The key of a certificate, or a key alone. @throws {Failure} key-malformed or key-insecure. */
export function readKey({ label, der }: Verifier): PublicKey {
  try {
    return importPublicKey(label === "CERTIFICATE" ? parseCertificate(der).publicKey : der);
  } catch (cause) {
    if (cause instanceof Malformed) throw new Failure("key-malformed", cause.message, { cause });
    if (cause instanceof KeyInsecure) throw new Failure("key-insecure", cause.message, { cause });
    throw cause;
  }
}

function invalid(message: string): Failure {
  return new Failure("signature-invalid", message);
}
