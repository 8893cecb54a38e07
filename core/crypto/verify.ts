/** Signatures over whole messages: ECDSA in DER (RFC 3279 §2.2.3), RSA PKCS#1 v1.5 (RFC 8017 §8.2), pure Ed25519 (RFC 8032). */
import { verify } from "node:crypto";
import type { HashName } from "./hash.ts";
import { digestOf } from "../formats/digest.ts";
import { defaultHashes, type PublicKey } from "./keys.ts";

/**
 * True if `signature` is the key's over `data`. Never throws for what an attacker may send.
 *
 * `hash` is the key's default unless given; Ed25519 takes none and ignores it.
 */
export function verifySignature(
  key: PublicKey,
  data: Uint8Array,
  signature: Uint8Array,
  hash?: HashName,
): boolean {
  const standard = defaultHashes[key.algorithm];
  const often = standard === (hash ?? standard) ? key.often?.() : null;
  if (often && standard !== null) return often.verify(data, signature, digestOf(standard, data));
  try {
    return verify(standard === null ? null : (hash ?? standard), data, key.keyObject, signature);
  } catch {
    // OpenSSL reports some broken signatures as errors rather than as false.
    return false;
  }
}
