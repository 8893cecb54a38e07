/**
 * Which keys are certified, by the names of the algorithm registry (sigstore `architecture-docs:algorithm-registry.md`, as Fulcio's
 * `--client-signing-algorithms` takes them).
 */
import type { KeyAlgorithm } from "../../core/crypto/keys.ts";

/** The key of each name. A certificate says nothing of the hash that is signed later, so both names of Ed25519 are one key. */
const keys = {
  "ecdsa-sha2-256-nistp256": "ecdsa-p256",
  "ecdsa-sha2-384-nistp384": "ecdsa-p384",
  "ecdsa-sha2-512-nistp521": "ecdsa-p521",
  ed25519: "ed25519",
  "ed25519-ph": "ed25519",
  "rsa-sign-pkcs1-2048-sha256": "rsa-2048",
  "rsa-sign-pkcs1-3072-sha256": "rsa-3072",
  "rsa-sign-pkcs1-4096-sha256": "rsa-4096",
} as const satisfies { readonly [name: string]: KeyAlgorithm };

/** A name of the registry. */
export type SigningAlgorithm = keyof typeof keys;

/** Every name. */
export const signingAlgorithms = Object.keys(keys) as readonly SigningAlgorithm[]; // keys of a const object are its key type

/** The kinds of keys that these names come to. */
export function keysOf(names: readonly SigningAlgorithm[]): ReadonlySet<KeyAlgorithm> {
  return new Set(names.map((name) => keys[name]));
}
