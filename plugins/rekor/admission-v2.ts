/** What a v2 log takes: the key is of the kind its details say, and the signature verifies over the digest. */
import { verifyDigest } from "../../core/crypto/digest-verify.ts";
import { digest as hash, hashLengths, sha256 } from "../../core/crypto/hash.ts";
import { pae } from "../../core/formats/dsse.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  acceptedKeyDetails,
  canonicalBodyV2,
  type DsseBodyV2,
  type DsseV2,
  type HashedRekordV2,
  parseCreateEntryRequest,
  UnsupportedKeyDetails,
  type VerifierV2,
} from "../../core/formats/rekor-v2.ts";
import { Failure } from "../../events/failure.ts";
import { readKeyOnce, requireKey, subjectsOf } from "./admission.ts";
import { verifyPrehashed } from "./ed25519ph.ts";

/** How a `dsseRequestV002` is logged: as today's verifiers want it, or as those from before 2026-06 do. */
export type DsseForm = "hashedrekord" | "dsse";

/**
 * The kind and canonical body of a requested entry.
 *
 * @throws {Failure} malformed, key-malformed, key-insecure or signature-invalid.
 */
export function admitV2(
  request: Uint8Array,
  dsseForm: DsseForm,
): {
  readonly kind: "hashedrekord" | "dsse";
  readonly body: Uint8Array;
  /** Digests of what an attestation is about. */
  readonly subjects: Uint8Array;
} {
  const asked = parse(request);
  const entry = asked.kind === "dsse" ? admitDsse(asked, dsseForm) : admitHashedRekord(asked);
  const subjects = asked.kind === "dsse" ? subjectsOf(asked.envelope) : new Uint8Array();
  return { kind: entry.kind, body: canonicalBodyV2(entry), subjects };
}

function parse(request: Uint8Array): HashedRekordV2 | DsseV2 {
  try {
    return parseCreateEntryRequest(request);
  } catch (cause) {
    if (cause instanceof Malformed) throw new Failure("malformed", cause.message, { cause });
    if (cause instanceof UnsupportedKeyDetails) {
      throw new Failure("key-insecure", cause.message, { cause });
    }
    throw cause;
  }
}

function admitHashedRekord(entry: HashedRekordV2): HashedRekordV2 {
  const { digest, signature, verifier } = entry;
  if (!isSignedBy(verifier, digest, signature)) {
    throw new Failure("signature-invalid", "the signature does not verify over the digest");
  }
  return entry;
}

function admitDsse(request: DsseV2, form: DsseForm): HashedRekordV2 | DsseBodyV2 {
  const { envelope, verifiers } = request;
  const message = pae(envelope.payloadType, envelope.payload);
  const signatures = envelope.signatures.map(({ signature: content }) => {
    const verifier = verifiers.find((one) => isSignedBy(one, digestFor(one, message), content));
    if (verifier === undefined) {
      throw new Failure("signature-invalid", "a signature verifies with none of the verifiers");
    }
    return { content, verifier };
  });
  if (verifiers.some((one) => !signatures.some(({ verifier }) => verifier === one))) {
    throw new Failure("signature-invalid", "a verifier verifies none of the signatures");
  }
  if (form === "dsse") {
    return { kind: "dsse", payloadHash: sha256(envelope.payload), signatures };
  }
  const [only, ...more] = signatures;
  if (only === undefined || more.length > 0) {
    throw new Failure("malformed", "an envelope with more than one signature is not one entry");
  }
  const { content: signature, verifier } = only;
  return { kind: "hashedrekord", digest: digestFor(verifier, message), signature, verifier };
}

function digestFor({ keyDetails }: VerifierV2, message: Uint8Array): Uint8Array {
  return hash(acceptedKeyDetails[keyDetails].hash, message);
}

/** @throws {Failure} key-malformed, or key-insecure if the key is not of the kind its details say; malformed for another digest's length. */
function isSignedBy(verifier: VerifierV2, digest: Uint8Array, signature: Uint8Array): boolean {
  const details = acceptedKeyDetails[verifier.keyDetails];
  const { kind, rawBytes: der } = verifier;
  const label = kind === "publicKey" ? "PUBLIC KEY" : "CERTIFICATE";
  const key = readKeyOnce({ label, der });
  if (key.algorithm !== details.key) {
    throw new Failure("key-insecure", `the key is ${key.algorithm}, not ${verifier.keyDetails}`);
  }
  if (digest.length !== hashLengths[details.hash]) {
    throw new Failure("malformed", `the digest is not of ${details.hash}`);
  }
  const good =
    key.algorithm === "ed25519"
      ? verifyPrehashed(key.spki, digest, signature)
      : verifyDigest(key, details.hash, digest, signature);
  if (!good) requireKey(key);
  return good;
}
