/**
 * Verification with one key again and again, as the vault does with its own before it releases a signature. For P-256 and P-384 the
 * addon keeps tables of multiples, which makes it two to five times as fast, and verifies on other threads; every other key, and a
 * machine without the addon, is node:crypto's.
 */
import { createPublicKey, verify } from "node:crypto";
import { decodeHex, equalBytes } from "../formats/encoding.ts";
import { type Addon, loadAddon } from "./addon.ts";

/** Verifies signatures of one key. */
export interface PinnedVerifier {
  /** Decides whether `signature` is the key's over `message`, whose digest by the key's hash is at hand. Never throws. */
  readonly verify: (message: Uint8Array, signature: Uint8Array, digest: Uint8Array) => boolean;
  /** Decides about many on another thread; null if this key cannot, or not yet. */
  readonly many: ManyVerifier | null;
}

/** Verifies on another thread. */
export interface ManyVerifier {
  /** How many there must be at once until handing them over costs less than verifying them. */
  readonly worthwhile: number;
  /** Answers in their order. Rejects if the thread cannot do it, which says nothing about the signatures. */
  readonly verify: (
    digests: readonly Uint8Array[],
    signatures: readonly Uint8Array[],
  ) => Promise<readonly boolean[]>;
}

/** The hash that goes with a curve that there can be tables for. */
export type PinnedHash = "sha256" | "sha384";

/** Making the tables costs as much as so many verifications, so a key must have come this often before it gets them. */
const worthTables = { sha256: 1_000, sha384: 50 } as const satisfies Record<PinnedHash, number>;
const worthThread = { sha256: 4, sha384: 1 } as const satisfies Record<PinnedHash, number>;

/** Makes ready to verify with a key (SubjectPublicKeyInfo in DER, from a trusted place), whose signatures are over `hash`, or with null over the message. */
export function pinnedVerifier(spki: Uint8Array, hash: PinnedHash | null): PinnedVerifier {
  if (hash === null) return pinnedByNode(spki, hash);
  let seen = 0;
  let best = pinnedByNode(spki, hash);
  return {
    verify(message, signature, digest) {
      if (++seen === worthTables[hash]) best = pinnedNative(spki, hash) ?? best;
      return best.verify(message, signature, digest);
    },
    get many() {
      return best.many;
    },
  };
}

/** With the addon's tables; null without the addon, and for keys that are not of the curve that goes with the hash. */
export function pinnedNative(spki: Uint8Array, hash: PinnedHash): PinnedVerifier | null {
  const addon = loadAddon();
  const point = pointOf(spki, prefixes[hash]);
  const pinned = point && addon?.pin(point);
  return addon && pinned ? withPinned(addon, pinned, hash) : null;
}

/** {@link pinnedNative}, made on another thread. Rejects if that cannot be done. */
export async function pinnedLater(
  spki: Uint8Array,
  hash: PinnedHash,
): Promise<PinnedVerifier | null> {
  const addon = loadAddon();
  const point = pointOf(spki, prefixes[hash]);
  const pinned = point && (await addon?.pinLater(point));
  return addon && pinned ? withPinned(addon, pinned, hash) : null;
}

/** True once a key that has verified so often should get tables. */
export function isWorthTables(hash: PinnedHash, verified: number): boolean {
  return verified >= worthTables[hash];
}

function withPinned(addon: Addon, pinned: object, hash: PinnedHash): PinnedVerifier {
  return {
    verify: (_message, signature, digest) => addon.verifyPinned(pinned, digest, signature),
    many: manyWith(addon, pinned, worthThread[hash]),
  };
}

function manyWith(addon: Addon, pinned: object, worthwhile: number): ManyVerifier {
  return {
    worthwhile,
    verify: async (digests, signatures) =>
      await addon.verifyPinnedMany(pinned, digests, signatures),
  };
}

/** With node:crypto, which hashes the message itself. */
export function pinnedByNode(spki: Uint8Array, hash: PinnedHash | null): PinnedVerifier {
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  return {
    verify(message, signature) {
      try {
        return verify(hash, message, key, signature);
      } catch {
        // OpenSSL reports some broken signatures as errors rather than as false.
        return false;
      }
    },
    many: null,
  };
}

/** SubjectPublicKeyInfo of an uncompressed point up to the point (RFC 5480 §2): id-ecPublicKey, prime256v1 or secp384r1. */
const prefixes = {
  sha256: { octets: decodeHex("3059301306072a8648ce3d020106082a8648ce3d030107034200"), point: 65 },
  sha384: { octets: decodeHex("3076301006072a8648ce3d020106052b81040022036200"), point: 97 },
} as const satisfies Record<PinnedHash, Prefix>;

interface Prefix {
  readonly octets: Uint8Array;
  /** Bytes of the point behind it. */
  readonly point: number;
}

function pointOf(spki: Uint8Array, { octets, point }: Prefix): Uint8Array | null {
  const { length } = octets;
  const isOfCurve = spki.length === length + point && equalBytes(spki.subarray(0, length), octets);
  return isOfCurve ? spki.subarray(length) : null;
}
