/** Signatures that name their algorithm by object identifier, as certificates and requests do (RFC 5758 §3.2, RFC 4055 §5, RFC 8410 §3). */
import type { Certificate } from "../formats/x509.ts";
import { isEcdsa, isRsa, type PublicKey } from "./keys.ts";
import type { HashName } from "./hash.ts";
import { verifySignature } from "./verify.ts";

/** Data, a signature, and the object identifier of how it was made. */
export interface SignedData {
  readonly data: Uint8Array;
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
}

/** True if `key` made the signature with the algorithm that is named; false for SHA-1, MD5 and everything else not known here. */
export function verifySigned(key: PublicKey, signed: SignedData): boolean {
  const algorithm = algorithms.get(signed.signatureAlgorithm);
  if (algorithm === undefined || algorithm.family !== familyOf(key)) return false;
  return verifySignature(key, signed.data, signed.signature, algorithm.hash);
}

/** True if the certificate's signature is `issuer`'s. Names, purposes and times are not looked at. */
export function isSignedBy(certificate: Certificate, issuer: PublicKey): boolean {
  const { tbs: data, signatureAlgorithm, signature } = certificate;
  return verifySigned(issuer, { data, signatureAlgorithm, signature });
}

type Family = "ecdsa" | "rsa" | "ed25519";

const algorithms: ReadonlyMap<string, { readonly family: Family; readonly hash?: HashName }> =
  new Map<string, { readonly family: Family; readonly hash?: HashName }>([
    ["1.2.840.10045.4.3.2", { family: "ecdsa", hash: "sha256" }],
    ["1.2.840.10045.4.3.3", { family: "ecdsa", hash: "sha384" }],
    ["1.2.840.10045.4.3.4", { family: "ecdsa", hash: "sha512" }],
    ["1.2.840.113549.1.1.11", { family: "rsa", hash: "sha256" }],
    ["1.2.840.113549.1.1.12", { family: "rsa", hash: "sha384" }],
    ["1.2.840.113549.1.1.13", { family: "rsa", hash: "sha512" }],
    ["1.3.101.112", { family: "ed25519" }],
  ]);

function familyOf({ algorithm }: PublicKey): Family {
  if (isEcdsa(algorithm)) return "ecdsa";
  return isRsa(algorithm) ? "rsa" : "ed25519";
}
