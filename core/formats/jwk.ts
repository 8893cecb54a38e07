/** RSA public keys as JSON Web Keys: RFC 7517, with the RFC 7638 SHA-256 thumbprint as key id. */
import { createHash, createPublicKey } from "node:crypto";
import { encodeBase64Url, encodeUtf8 } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** A public RSA key for verifying RS256 signatures. */
export interface RsaJwk {
  readonly kty: "RSA";
  readonly use: "sig";
  readonly alg: "RS256";
  /** RFC 7638 thumbprint: the same key has the same id for ever. */
  readonly kid: string;
  readonly n: string;
  readonly e: string;
}

/** The JWK of an RSA SubjectPublicKeyInfo (DER). @throws {Malformed} if it is anything else. */
export function rsaJwk(publicKey: Uint8Array): RsaJwk {
  const { kty, n, e } = exportJwk(publicKey);
  if (kty !== "RSA" || n === undefined || e === undefined)
    throw new Malformed("jwk: not an RSA key");
  // RFC 7638 §3.2: exactly these members, in this order.
  const thumbprint = createHash("sha256")
    .update(encodeUtf8(JSON.stringify({ e, kty, n })))
    .digest();
  return { kty, use: "sig", alg: "RS256", kid: encodeBase64Url(thumbprint), n, e };
}

function exportJwk(publicKey: Uint8Array): { kty?: string; n?: string; e?: string } {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
    return key.export({ format: "jwk" });
  } catch (cause) {
    throw new Malformed("jwk: not a SubjectPublicKeyInfo", { cause });
  }
}
