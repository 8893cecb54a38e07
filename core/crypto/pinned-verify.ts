/**
 * Verification with one key again and again, as the vault does with its own before it releases a signature. For P-256 the addon keeps
 * a table of the key's multiples, which halves the time; every other key, and a machine without the addon, is node:crypto's.
 */
import { createPublicKey, verify } from "node:crypto";
import { decodeHex, equalBytes } from "../formats/encoding.ts";
import { loadAddon } from "./addon.ts";

/** Decides whether `signature` is the key's over `message`, whose digest by the key's hash is at hand. Never throws. */
export type PinnedVerifier = (
  message: Uint8Array,
  signature: Uint8Array,
  digest: Uint8Array,
) => boolean;

/** Making the table costs as much as this many verifications, so a key must have come this often before it gets one. */
const worthTable = 1_000;

/** Makes ready to verify with a key (SubjectPublicKeyInfo in DER, from a trusted place), whose signatures are over `hash`, or with null over the message. */
export function pinnedVerifier(spki: Uint8Array, hash: "sha256" | "sha384" | null): PinnedVerifier {
  const byNode = pinnedByNode(spki, hash);
  if (hash !== "sha256") return byNode;
  let seen = 0;
  let best = byNode;
  return (message, signature, digest) => {
    if (++seen === worthTable) best = pinnedNative(spki) ?? byNode;
    return best(message, signature, digest);
  };
}

/** With the addon's table; null without the addon, and for keys that are not of P-256. */
export function pinnedNative(spki: Uint8Array): PinnedVerifier | null {
  const addon = loadAddon();
  const point = pointOf(spki);
  if (point === null || addon === null) return null;
  const pinned = addon.pin(point);
  if (pinned === null) return null;
  return (_message, signature, digest) => addon.verifyPinned(pinned, digest, signature);
}

/** With node:crypto, which hashes the message itself. */
export function pinnedByNode(spki: Uint8Array, hash: "sha256" | "sha384" | null): PinnedVerifier {
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  return (message, signature) => {
    try {
      return verify(hash, message, key, signature);
    } catch {
      // OpenSSL reports some broken signatures as errors rather than as false.
      return false;
    }
  };
}

/** SubjectPublicKeyInfo of an uncompressed point of P-256 up to the point (RFC 5480 §2): id-ecPublicKey, prime256v1. */
const p256Prefix = decodeHex("3059301306072a8648ce3d020106082a8648ce3d030107034200");
const pointBytes = 65;

function pointOf(spki: Uint8Array): Uint8Array | null {
  const { length } = p256Prefix;
  const isP256 =
    spki.length === length + pointBytes && equalBytes(spki.subarray(0, length), p256Prefix);
  return isP256 ? spki.subarray(length) : null;
}
