/** Verification over digests, for artifacts too large to hold: loaded only for them. */
import { importPublicKey } from "../../core/crypto/keys.ts";
import type { Artifact } from "./verify/artifact.ts";
import type { VerifyDigest } from "./verify/signature.ts";

/** Fails if it is called for an artifact that is held: then the bytes themselves are verified. */
export async function loadVerifyDigest(artifact: Artifact): Promise<VerifyDigest> {
  if (artifact.bytes !== null) return () => false;
  const { verifyDigest } = await import("../../core/crypto/digest-verify.ts");
  return (spki, hash, digest, signature) =>
    verifyDigest(importPublicKey(spki), hash, digest, signature);
}
