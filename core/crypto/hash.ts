/** Hashes (FIPS 180-4) as plain byte arrays. */
import { digestOf } from "../formats/digest.ts";

/** Hashes that signatures here are made over. */
export type HashName = "sha256" | "sha384" | "sha512";

/** Octets of each hash. */
export const hashLengths = { sha256: 32, sha384: 48, sha512: 64 } as const satisfies Record<
  HashName,
  number
>;

/** The digest of `bytes`. */
export function digest(name: HashName, bytes: Uint8Array): Uint8Array {
  return digestOf(name, bytes);
}

/** SHA-256, 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return digest("sha256", bytes);
}

/** SHA-384, 48 bytes. */
export function sha384(bytes: Uint8Array): Uint8Array {
  return digest("sha384", bytes);
}

/** SHA-512, 64 bytes. */
export function sha512(bytes: Uint8Array): Uint8Array {
  return digest("sha512", bytes);
}
