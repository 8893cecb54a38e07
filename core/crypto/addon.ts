/** The native addon over the OpenSSL inside Node. Its sources are in the folder of the same name and export exactly this. */
import { createRequire } from "node:module";
import type { HashName } from "./hash.ts";

/** What the addon does. */
export interface Addon {
  /** The version of OpenSSL whose headers it was built with. */
  readonly openssl: string;
  readonly verify: (
    spki: Uint8Array,
    hash: HashName,
    digest: Uint8Array,
    signature: Uint8Array,
  ) => boolean;
  /** Makes ready to verify often with one key: an uncompressed point of P-256 or P-384; null if it is not on the curve. */
  readonly pin: (point: Uint8Array) => object | null;
  /** The same, made on another thread: it takes as long as a thousand verifications. */
  readonly pinLater: (point: Uint8Array) => Promise<object | null>;
  readonly verifyPinned: (pinned: object, digest: Uint8Array, signature: Uint8Array) => boolean;
  /** The same for many, on another thread. */
  readonly verifyPinnedMany: (
    pinned: object,
    digests: readonly Uint8Array[],
    signatures: readonly Uint8Array[],
  ) => Promise<boolean[]>;
  /**
   * One verification with each key, on another thread: SubjectPublicKeyInfos of uncompressed points of P-256 (false for every other key),
   * digests by SHA-256, signatures in DER.
   */
  readonly verifyMany: (
    keys: readonly Uint8Array[],
    digests: readonly Uint8Array[],
    signatures: readonly Uint8Array[],
  ) => Promise<boolean[]>;
  /** Keeps an RSA key (SubjectPublicKeyInfo) of at most 4096 bits for {@link verifyRsaMany}; null for every other. */
  readonly keepRsa: (spki: Uint8Array) => object | null;
  /** As {@link verifyMany} with keys that are kept: PKCS#1 v1.5 over SHA-256. */
  readonly verifyRsaMany: (
    kept: readonly object[],
    digests: readonly Uint8Array[],
    signatures: readonly Uint8Array[],
  ) => Promise<boolean[]>;
}

/** The addon; null where it was not built, or was built for another Node or of older sources. */
export function loadAddon(): Addon | null {
  try {
    const addon = createRequire(import.meta.url)("./addon/build/digest-verify.node") as Addon;
    // OpenSSL promises its binary interface within a major version, for later minor ones.
    const [major, minor] = addon.openssl.split(".").map(Number);
    const [ownMajor, ownMinor] = (process.versions.openssl ?? "").split(".").map(Number);
    return major === ownMajor && minor === ownMinor && "verifyRsaMany" in addon ? addon : null;
  } catch {
    return null;
  }
}
