/** Proof of possession: the requester signs the principal's challenge, or its own certificate request. */
import {
  importPublicKey,
  type KeyAlgorithm,
  KeyInsecure,
  type PublicKey,
  readPublicKey,
} from "../../core/crypto/keys.ts";
import type { VerifyLater } from "../../core/crypto/once-verify.ts";
import { verifySigned } from "../../core/crypto/signed.ts";
import { parseCsr } from "../../core/formats/csr.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import type { issueCertificate } from "../../events/issuer.ts";

/** What came with the request, in either form. */
export type KeyProof = QuestionOf<typeof issueCertificate>["proof"];

/** A key that somebody claims to hold, and how to find out. */
export interface Claim {
  /** SubjectPublicKeyInfo as it was sent; not yet looked at. */
  readonly publicKey: Uint8Array;
  readonly isProven: (key: PublicKey, challenge: string, verify: VerifyLater) => Promise<boolean>;
}

/** @throws {Failure} request-malformed if there is no key to be found. */
export function readClaim(proof: KeyProof): Claim {
  if (proof.kind === "possession") {
    const { publicKey, possession } = proof;
    return {
      publicKey,
      isProven: (key, challenge, verify) => verify(key, encodeUtf8(challenge), possession),
    };
  }
  try {
    const { publicKey, signedBytes: data, ...made } = parseCsr(proof.request);
    const isProven = async (key: PublicKey): Promise<boolean> =>
      await Promise.resolve(verifySigned(key, { data, ...made }));
    return { publicKey, isProven };
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new Failure("request-malformed", "the certificate signing request could not be parsed", {
      cause,
    });
  }
}

/**
 * The claimed key, once it is accepted and its possession proven.
 *
 * @throws {Failure} key-malformed, key-insecure, possession-unproven or key-not-permitted
 */
export async function proveClaim(
  claim: Claim,
  challenge: string,
  {
    permitted,
    verifyProof,
  }: { readonly permitted: ReadonlySet<KeyAlgorithm>; readonly verifyProof: VerifyLater },
): Promise<PublicKey> {
  const key = readKey(claim.publicKey, readPublicKey);
  if (!(await claim.isProven(key, challenge, verifyProof))) {
    // Nothing verifies with a point that is on no curve, and then that is what is wrong.
    readKey(claim.publicKey, importPublicKey);
    throw new Failure("possession-unproven", "the proof of possession does not verify");
  }
  if (!permitted.has(key.algorithm)) {
    throw new Failure("key-not-permitted", `keys of type ${key.algorithm} are not certified here`);
  }
  return key;
}

function readKey(spki: Uint8Array, read: (spki: Uint8Array) => PublicKey): PublicKey {
  try {
    return read(spki);
  } catch (cause) {
    if (cause instanceof KeyInsecure) throw new Failure("key-insecure", cause.message, { cause });
    if (!(cause instanceof Malformed)) throw cause;
    throw new Failure("key-malformed", "the public key could not be parsed", { cause });
  }
}
