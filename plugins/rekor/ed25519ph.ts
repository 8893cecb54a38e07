/** Ed25519ph (RFC 8032 §5.1.7) when only SHA-512 of the message is at hand: node:crypto does not have it. */
import { createRequire } from "node:module";
import { sha512 } from "../../core/crypto/hash.ts";
import { concat, encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import type * as Ed25519 from "@noble/curves/ed25519.js";

const load = createRequire(import.meta.url);

/** RFC 8032 §2: dom2(1, "") in front of everything that is hashed. */
const domain = concat(encodeUtf8("SigEd25519 no Ed25519 collisions"), Uint8Array.of(1, 0));

const keyLength = 32;

/** True if `signature` is the key's over `digest`, SHA-512 of the message, with an empty context. The key must be acceptable. */
export function verifyPrehashed(
  spki: Uint8Array,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== 64 || digest.length !== 64) return false;
  const publicKey = spki.subarray(spki.length - keyLength);
  const r = signature.subarray(0, 32);
  const s = littleEndian(signature.subarray(32));
  // It takes some MiB, and few entries are of this kind.
  const { Point } = (load("@noble/curves/ed25519.js") as typeof Ed25519).ed25519;
  const order = Point.Fn.ORDER;
  // A larger s would be a second signature of the same meaning.
  if (s >= order) return false;
  const k = littleEndian(sha512(concat(domain, r, publicKey, digest))) % order;
  const expected = Point.BASE.multiplyUnsafe(s).subtract(
    Point.fromBytes(publicKey).multiplyUnsafe(k),
  );
  return equalBytes(expected.toBytes(), r);
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
