/**
 * One verification with a key that comes once, as those of requesters do. node:crypto makes a key object for it, which costs as much
 * as the verification; the addon reads the key and verifies in one call. Where it was not built, node:crypto gives the same answers.
 */
import { loadAddon } from "./addon.ts";
import { digestOf } from "../formats/digest.ts";
import { gathering } from "./gathering.ts";
import { defaultHashes, type PublicKey } from "./keys.ts";
import { verifySignature } from "./verify.ts";

/**
 * True if `signature` is the key's over `data`, by the hash that goes with the key. Never throws for what an attacker may send, not
 * even for a point that is on no curve: who wants to say why imports the key.
 */
export const verifyOnce: (key: PublicKey, data: Uint8Array, signature: Uint8Array) => boolean =
  withAddon() ?? verifySignature;

function withAddon(): typeof verifyOnce | null {
  const addon = loadAddon();
  if (addon === null) return null;
  return (key, data, signature) => {
    const hash = defaultHashes[key.algorithm];
    // Ed25519 signs messages and no digests.
    if (hash === null) return verifySignature(key, data, signature);
    return addon.verify(key.spki, hash, digestOf(hash, data), signature);
  };
}

/** As {@link verifyOnce}, answered later. */
export type VerifyLater = (
  key: PublicKey,
  data: Uint8Array,
  signature: Uint8Array,
) => Promise<boolean>;

/**
 * Verifies what comes in one turn of the event loop on other threads, where there are several with keys of P-256; alone, and every other
 * key, on this one.
 */
export function gatheredVerifier(): VerifyLater {
  const addon = loadAddon();
  if (addon === null) return async (...claim) => await Promise.resolve(verifyOnce(...claim));
  const gathered = gathering<Claim>({
    here: ({ key, data, signature }) => verifyOnce(key, data, signature),
    elsewhere: async (claims) =>
      await addon.verifyMany(
        claims.map(({ key }) => key.spki),
        claims.map(({ data }) => digestOf("sha256", data)),
        claims.map(({ signature }) => signature),
      ),
  });
  return (key, data, signature) =>
    key.algorithm === "ecdsa-p256"
      ? gathered({ key, data, signature })
      : Promise.resolve(verifyOnce(key, data, signature));
}

interface Claim {
  readonly key: PublicKey;
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
}
