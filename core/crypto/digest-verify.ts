/**
 * Signatures over a digest that somebody else has computed: ECDSA (DER) and RSA PKCS#1 v1.5. node:crypto hashes what it verifies,
 * so this is done by a small addon over the OpenSSL inside Node, or, where that was not built, by slower code with the same answers.
 */
import { constants, publicDecrypt } from "node:crypto";
import { createRequire } from "node:module";
import type * as Nist from "@noble/curves/nist.js";
import * as der from "../formats/der.ts";
import { concat, decodeHex, equalBytes } from "../formats/encoding.ts";
import { Malformed } from "../formats/malformed.ts";
import { loadAddon } from "./addon.ts";
import { type HashName, hashLengths } from "./hash.ts";
import { isEcdsa, isRsa, type PublicKey } from "./keys.ts";

const load = createRequire(import.meta.url);

/** Decides whether `signature` is the key's over `digest`. */
export type DigestVerifier = (
  key: PublicKey,
  hash: HashName,
  digest: Uint8Array,
  signature: Uint8Array,
) => boolean;

/** OpenSSL's answer; null where the addon was not built or belongs to another Node. */
export const verifyDigestNative: DigestVerifier | null = loadNative();

/** The same answer without the addon. */
export const verifyDigestPure: DigestVerifier = (key, hash, digest, signature) => {
  if (!isVerifiable(key, hash, digest)) return false;
  return isEcdsa(key.algorithm)
    ? verifyEcdsa(key, digest, signature)
    : verifyRsa(key, hash, { digest, signature });
};

/**
 * True if `signature` is the key's over `digest`. Never throws for what an attacker may send. False for Ed25519, which signs
 * messages only, and for a digest that has not the length of its hash.
 */
export const verifyDigest: DigestVerifier = verifyDigestNative ?? verifyDigestPure;

function loadNative(): DigestVerifier | null {
  const addon = loadAddon();
  if (addon === null) return null;
  return (key, hash, digest, signature) =>
    isVerifiable(key, hash, digest) && addon.verify(key.spki, hash, digest, signature);
}

function isVerifiable(key: PublicKey, hash: HashName, digest: Uint8Array): boolean {
  return (isEcdsa(key.algorithm) || isRsa(key.algorithm)) && digest.length === hashLengths[hash];
}

const curves = {
  "ecdsa-p256": { curve: "p256", octets: 32 },
  "ecdsa-p384": { curve: "p384", octets: 48 },
  "ecdsa-p521": { curve: "p521", octets: 66 },
} as const;

function verifyEcdsa(key: PublicKey, digest: Uint8Array, signature: Uint8Array): boolean {
  // isVerifiable has let through ECDSA keys only.
  const { curve: name, octets } = curves[key.algorithm as keyof typeof curves];
  // It takes 12 MiB, and where the addon is nobody comes here.
  const { [name]: curve } = load("@noble/curves/nist.js") as typeof Nist;
  const point = key.spki.subarray(key.spki.length - 2 * octets - 1);
  try {
    const compact = compactSignature(signature, octets);
    return curve.verify(compact, digest, point, { prehash: false, lowS: false, format: "compact" });
  } catch {
    // Malformed, or r or s out of range.
    return false;
  }
}

/** ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } as r and s of fixed width. */
function compactSignature(signature: Uint8Array, octets: number): Uint8Array {
  const fields = der.walk(der.readDer(signature), "ECDSA signature");
  const numbers = [der.readUnsigned(fields.take("r")), der.readUnsigned(fields.take("s"))];
  fields.end();
  const compact = new Uint8Array(2 * octets);
  for (const [index, number] of numbers.entries()) {
    if (number.length > octets) throw new Malformed("ECDSA signature: out of range");
    compact.set(number, (index + 1) * octets - number.length);
  }
  return compact;
}

/** DER of DigestInfo up to the digest (RFC 8017 §9.2, note 1). */
const digestInfos = {
  sha256: decodeHex("3031300d060960864801650304020105000420"),
  sha384: decodeHex("3041300d060960864801650304020205000430"),
  sha512: decodeHex("3051300d060960864801650304020305000440"),
} as const satisfies Record<HashName, Uint8Array>;

/** RFC 8017 §8.2.2: the encoded message is built anew and compared, never parsed. */
function verifyRsa(
  key: PublicKey,
  hash: HashName,
  { digest, signature }: { readonly digest: Uint8Array; readonly signature: Uint8Array },
): boolean {
  const length = (key.keyObject.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const info = concat(digestInfos[hash], digest);
  const padding = new Uint8Array(length - info.length - 3).fill(0xff);
  const expected = concat(Uint8Array.of(0, 1), padding, Uint8Array.of(0), info);
  if (signature.length !== length) return false;
  try {
    const opened = publicDecrypt(
      { key: key.keyObject, padding: constants.RSA_NO_PADDING },
      signature,
    );
    return equalBytes(opened, expected);
  } catch {
    // The signature is not below the modulus.
    return false;
  }
}
