/** JWS signatures (RFC 7518 §3, RFC 8037 §3.1) with keys that were imported before. */
import { constants, type KeyObject, verify } from "node:crypto";
import { gatheredRsaVerifier } from "../../core/crypto/rsa-later.ts";
import type { SignatureAlgorithm, UnverifiedToken } from "./id-token.ts";

/** True if the key's owner signed the token. Never throws for what a token holds: a signature of another length does not verify. */
type VerifyToken = (token: UnverifiedToken, key: KeyObject) => Promise<boolean>;

/** One call into the library, on this thread; what comes together signed as nearly all tokens are (RS256), on others. */
export function tokenVerifier(): VerifyToken {
  const verifyRsa = gatheredRsaVerifier();
  return (token, key) =>
    token.algorithm === "RS256"
      ? verifyRsa(key, token.signed, token.signature)
      : Promise.resolve(verifies(token, key));
}

function verifies(token: UnverifiedToken, key: KeyObject): boolean {
  const { algorithm, signed, signature } = token;
  const ecdsa = ecdsaLengths[algorithm];
  if (ecdsa !== undefined && signature.length !== ecdsa) return false;
  return verify(hashOf(algorithm), signed, { key, ...parametersOf(algorithm) }, signature);
}

/** RFC 7518 §3.4: R and S, each of the curve's length. */
const ecdsaLengths: { readonly [algorithm in SignatureAlgorithm]?: number } = {
  ES256: 64,
  ES384: 96,
  ES512: 132,
};

function hashOf(algorithm: SignatureAlgorithm): string | null {
  return algorithm === "EdDSA" ? null : `sha${algorithm.slice(2)}`;
}

function parametersOf(algorithm: SignatureAlgorithm) {
  switch (algorithm) {
    case "ES256":
    case "ES384":
    case "ES512":
      return { dsaEncoding: "ieee-p1363" as const };
    case "PS256":
    case "PS384":
    case "PS512":
      return {
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      };
    case "RS256":
    case "RS384":
    case "RS512":
      return { padding: constants.RSA_PKCS1_PADDING };
    case "EdDSA":
      return {};
  }
}
