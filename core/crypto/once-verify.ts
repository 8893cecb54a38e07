/**
 * One verification with a key that comes once, as those of requesters do. node:crypto makes a key object for it, which costs as much
 * as the verification; the addon reads the key and verifies in one call. Where it was not built, node:crypto gives the same answers.
 */
import { type Addon, loadAddon } from "./addon.ts";
import { digestOf } from "../formats/digest.ts";
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

/** Handing fewer than these to another thread costs as much as verifying them. */
const worthAThread = 4;
/** More are shared out, so that the first do not wait for the last. */
const mostTogether = 16;

/**
 * Verifies what comes in one turn of the event loop on other threads, where there are several with keys of P-256; alone, and every other
 * key, on this one.
 */
export function gatheredVerifier(): VerifyLater {
  const addon = loadAddon();
  let waiting: Waiting[] = [];
  const decide = (native: Addon): void => {
    const all = waiting;
    waiting = [];
    for (let from = 0; from < all.length; from += mostTogether) {
      const some = all.slice(from, from + mostTogether);
      if (some.length < worthAThread) decideHere(some);
      else void decideElsewhere(some, native);
    }
  };
  return async (key, data, signature) => {
    if (addon === null || key.algorithm !== "ecdsa-p256") return verifyOnce(key, data, signature);
    return await new Promise((resolve) => {
      if (waiting.length === 0) setImmediate(decide, addon);
      waiting.push({ key, data, signature, resolve });
    });
  };
}

interface Waiting {
  readonly key: PublicKey;
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
  readonly resolve: (isGood: boolean) => void;
}

function decideHere(waiting: readonly Waiting[]): void {
  for (const { key, data, signature, resolve } of waiting) {
    resolve(verifyOnce(key, data, signature));
  }
}

async function decideElsewhere(waiting: readonly Waiting[], addon: Addon): Promise<void> {
  try {
    const areGood = await addon.verifyMany(
      waiting.map(({ key }) => key.spki),
      waiting.map(({ data }) => digestOf("sha256", data)),
      waiting.map(({ signature }) => signature),
    );
    for (const [at, { resolve }] of waiting.entries()) resolve(areGood[at] === true);
  } catch {
    // The thread did not do it, which is no word about the signatures.
    decideHere(waiting);
  }
}
