/**
 * RSA signatures (RFC 8017 §8.2, over SHA-256) by keys that come again and again, as those of whoever signs in for others do: verified
 * on other threads when several come together. Alone, by keys beyond 4096 bits, and where the addon was not built, by node:crypto here.
 */
import { constants, type KeyObject, verify } from "node:crypto";
import { digestOf } from "../formats/digest.ts";
import { loadAddon } from "./addon.ts";
import { gathering } from "./gathering.ts";

/** True if `signature` is the RSA key's over `data`. */
export type VerifyRsaLater = (
  key: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
) => Promise<boolean>;

/** Verifies what comes in one turn of the event loop together. */
export function gatheredRsaVerifier(): VerifyRsaLater {
  const addon = loadAddon();
  if (addon === null) return async (...claim) => await Promise.resolve(verifyHere(...claim));
  /** Null for a key that the addon does not take. */
  const kept = new WeakMap<KeyObject, { readonly key: object | null }>();
  const keptOf = (key: KeyObject): object | null => {
    const known = kept.get(key);
    if (known !== undefined) return known.key;
    const made = addon.keepRsa(key.export({ format: "der", type: "spki" }));
    kept.set(key, { key: made });
    return made;
  };
  const gathered = gathering<Claim>({
    here: ({ key, data, signature }) => verifyHere(key, data, signature),
    elsewhere: async (claims) =>
      await addon.verifyRsaMany(
        claims.map(({ keptKey }) => keptKey),
        claims.map(({ data }) => digestOf("sha256", data)),
        claims.map(({ signature }) => signature),
      ),
  });
  return async (key, data, signature) => {
    const keptKey = keptOf(key);
    if (keptKey === null) return verifyHere(key, data, signature);
    return await gathered({ key, keptKey, data, signature });
  };
}

interface Claim {
  readonly key: KeyObject;
  /** The same, as the addon has it. */
  readonly keptKey: object;
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
}

function verifyHere(key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  return verify("sha256", data, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
}
