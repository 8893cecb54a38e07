/**
 * JSON Web Key Sets (RFC 7517) of OIDC issuers. A key that is not plainly a public signature key of an accepted kind and size is
 * left out, as RFC 7517 §5 wants; a key id that two keys share is ambiguous and finds none.
 */
import { KeyObject } from "node:crypto";
import { importJWK } from "jose";
import { decodeBase64Url } from "../../core/formats/encoding.ts";
import { parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { type Claims, isObject, type SignatureAlgorithm, signatureAlgorithms } from "./id-token.ts";

/** The usable keys of an issuer. */
export interface KeySet {
  /**
   * The key with that id, imported for the algorithm; null if there is none that fits. Without an id, the one key that fits if there
   * is exactly one.
   */
  find(keyId: string | null, algorithm: SignatureAlgorithm): Promise<KeyObject | null>;
}

const maxKeys = 100;
const minRsaBits = 2_048;
const maxRsaBits = 8_192;

/** Algorithms by key: RFC 7518 §3.1, RFC 8037 §3.1. */
const algorithmsOf: { readonly [kind: string]: readonly SignatureAlgorithm[] } = {
  RSA: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  "EC P-256": ["ES256"],
  "EC P-384": ["ES384"],
  "EC P-521": ["ES512"],
  "OKP Ed25519": ["EdDSA"],
};

/** @throws {Malformed} if it is not a key set. */
export function parseJwks(bytes: Uint8Array): KeySet {
  const document = parseJsonBytes(bytes);
  const listed = isObject(document) ? document["keys"] : undefined;
  if (!Array.isArray(listed)) throw new Malformed("jwks: no keys");
  if (listed.length > maxKeys) throw new Malformed(`jwks: more than ${maxKeys} keys`);
  const keys = listed.flatMap((one) => {
    const key = isObject(one) ? usable(one) : null;
    return key === null ? [] : [key];
  });
  return {
    // No asynchronous function: it is done for every token, and nearly always the key is there.
    find(keyId, algorithm) {
      const named = keyId === null ? keys : keys.filter((key) => key.id === keyId);
      const fitting = named.filter((key) => key.algorithms.includes(algorithm));
      const [only] = fitting;
      const isOne = (keyId === null ? fitting : named).length === 1;
      return only === undefined || !isOne ? nobodys : only.imported(algorithm);
    },
  };
}

const nobodys = Promise.resolve(null);

interface Key {
  readonly id: string | null;
  readonly algorithms: readonly SignatureAlgorithm[];
  readonly imported: (algorithm: SignatureAlgorithm) => Promise<KeyObject | null>;
}

function usable(jwk: Claims): Key | null {
  const { kty, kid = null, alg, use = "sig", key_ops: operations } = jwk;
  const algorithms = typeof kty === "string" ? algorithmsOf[kindOf(kty, jwk)] : undefined;
  const verifies =
    operations === undefined || (Array.isArray(operations) && operations.includes("verify"));
  const named = kid === null || typeof kid === "string";
  // A set that publishes a private half has lost the key already.
  if (algorithms === undefined || use !== "sig" || !verifies || !named || Object.hasOwn(jwk, "d"))
    return null;
  if (kty === "RSA" && !isSoundRsa(jwk)) return null;
  const stated = signatureAlgorithms.find((known) => known === alg);
  if (alg !== undefined && (stated === undefined || !algorithms.includes(stated))) return null;
  return {
    id: kid,
    algorithms: stated === undefined ? algorithms : [stated],
    imported: importer(jwk),
  };
}

function kindOf(kty: string, jwk: Claims): string {
  const { crv } = jwk;
  return kty !== "RSA" && typeof crv === "string" ? `${kty} ${crv}` : kty;
}

/** Modulus of 2048 to 8192 bits, odd; exponent 65537. */
function isSoundRsa({ n, e }: Claims): boolean {
  if (typeof n !== "string" || e !== "AQAB") return false;
  try {
    const modulus = decodeBase64Url(n);
    const [first = 0] = modulus;
    const bits = modulus.length * 8 - (Math.clz32(first) - 24);
    return (
      first !== 0 && bits >= minRsaBits && bits <= maxRsaBits && ((modulus.at(-1) ?? 0) & 1) === 1
    );
  } catch {
    return false;
  }
}

/** Imports at most once an algorithm; a key that cannot be imported (a point off the curve) is like no key. */
function importer(jwk: Claims): Key["imported"] {
  const { kty, crv, x, y, n, e } = jwk;
  const members = Object.entries({ kty, crv, x, y, n, e });
  const bare = Object.fromEntries(members.filter(([, value]) => typeof value === "string"));
  const keys = new Map<SignatureAlgorithm, Promise<KeyObject | null>>();
  const load = async (algorithm: SignatureAlgorithm): Promise<KeyObject | null> => {
    try {
      const key = await importJWK(bare, algorithm);
      return key instanceof Uint8Array ? null : KeyObject.from(key);
    } catch {
      return null;
    }
  };
  return (algorithm) => {
    const known = keys.get(algorithm);
    if (known !== undefined) return known;
    const loaded = load(algorithm);
    keys.set(algorithm, loaded);
    return loaded;
  };
}
