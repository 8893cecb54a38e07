/** The signature itself, over the artifact or over a statement about it. */
import type { HashName } from "../../../core/crypto/hash.ts";
import { defaultHashes, importPublicKey } from "../../../core/crypto/keys.ts";
import { verifySignature } from "../../../core/crypto/verify.ts";
import type { Content, DigestAlgorithm } from "../../../core/formats/bundle.ts";
import { pae } from "../../../core/formats/dsse.ts";
import { equalBytes } from "../../../core/formats/encoding.ts";
import type { Artifact } from "./artifact.ts";
import { NotVerified } from "./not-verified.ts";
import { verifyStatement } from "./statement.ts";

/** Verifies a signature over a digest. Given from outside, because what implements it is slow to load and rarely needed. */
export type VerifyDigest = (
  spki: Uint8Array,
  hash: HashName,
  digest: Uint8Array,
  signature: Uint8Array,
) => boolean;

/** What the signature has to be about. */
export interface Signed {
  readonly content: Content;
  readonly artifact: Artifact;
  /** In-toto predicate type that is demanded; null for any. */
  readonly predicateType: string | null;
  /** For artifacts of which only digests are known. */
  readonly verifyDigest: VerifyDigest;
}

/** Does nothing if the key signed the artifact or a statement about it. @throws {NotVerified} otherwise. */
export function verifyContent(spki: Uint8Array, signed: Signed): void {
  const { content, artifact, predicateType } = signed;
  if (content.kind === "dsseEnvelope") {
    const input = pae(content.payloadType, content.payload);
    if (!verifySignature(importPublicKey(spki), input, content.signature)) throw wrongSignature();
    verifyStatement(content, artifact, predicateType);
    return;
  }
  if (predicateType !== null) {
    throw new NotVerified("artifact", "the bundle holds a signature, not an attestation");
  }
  if (content.digest !== null) {
    const real = artifact.digest(hashNames[content.digest.algorithm]);
    if (!equalBytes(real, content.digest.value)) {
      throw new NotVerified("artifact", "the bundle is for another artifact: the digests differ");
    }
  }
  if (!verifyMessage(spki, signed)) throw wrongSignature();
}

const hashNames: Readonly<Record<DigestAlgorithm, HashName>> = {
  SHA2_256: "sha256",
  SHA2_384: "sha384",
  SHA2_512: "sha512",
};

function verifyMessage(spki: Uint8Array, { content, artifact, verifyDigest }: Signed): boolean {
  const key = importPublicKey(spki);
  if (artifact.bytes !== null) return verifySignature(key, artifact.bytes, content.signature);
  const hash = defaultHashes[key.algorithm];
  if (hash === null) {
    throw new NotVerified("signature", "Ed25519 signs whole artifacts, and only a digest is known");
  }
  return verifyDigest(spki, hash, artifact.digest(hash), content.signature);
}

function wrongSignature(): NotVerified {
  return new NotVerified("signature", "the signature does not verify");
}
