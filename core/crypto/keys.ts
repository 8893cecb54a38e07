/**
 * Public keys as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 5480, RFC 8017, RFC 8410) and the one policy on which of them are
 * accepted: EC on P-256, P-384 or P-521; RSA of exactly 2048, 3072 or 4096 bits with exponent 65537; Ed25519 of full order.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { createRequire } from "node:module";
import * as der from "../formats/der.ts";
import { uintFrom } from "../formats/encoding.ts";
import { Malformed } from "../formats/malformed.ts";
import type { HashName } from "./hash.ts";
import {
  isWorthTables,
  type PinnedHash,
  type PinnedVerifier,
  pinnedLater,
} from "./pinned-verify.ts";
import type * as Ed25519 from "@noble/curves/ed25519.js";

const load = createRequire(import.meta.url);

/** A key's kind and size. */
export type KeyAlgorithm =
  "ecdsa-p256" | "ecdsa-p384" | "ecdsa-p521" | "rsa-2048" | "rsa-3072" | "rsa-4096" | "ed25519";

/** A public key that the policy accepts. */
export interface PublicKey {
  readonly algorithm: KeyAlgorithm;
  /** SubjectPublicKeyInfo, DER, the only encoding of this key. */
  readonly spki: Uint8Array;
  readonly keyObject: KeyObject;
  /**
   * Counts a verification by the hash that goes with the key, and gives what is quicker at it than the key object; null until the key
   * has come so often that it was worth making. Keys that stay get it, those of requesters never.
   */
  readonly often?: () => PinnedVerifier | null;
}

/** A well-formed key that the policy refuses: the Failure code `key-insecure`. */
export class KeyInsecure extends Error {
  override readonly name = "KeyInsecure";
}

/** The hash a key signs with unless told otherwise; null for Ed25519, which takes the message as it is. */
export const defaultHashes = {
  "ecdsa-p256": "sha256",
  "ecdsa-p384": "sha384",
  "ecdsa-p521": "sha512",
  "rsa-2048": "sha256",
  "rsa-3072": "sha256",
  "rsa-4096": "sha256",
  ed25519: null,
} as const satisfies Record<KeyAlgorithm, HashName | null>;

/**
 * Reads a key and holds it against the policy.
 *
 * @throws {Malformed} if the bytes are not one key in DER, or name no point of their curve.
 * @throws {KeyInsecure} if they are, but of a kind, size or value that is not accepted.
 */
export function importPublicKey(spki: Uint8Array): PublicKey {
  const key = readPublicKey(spki);
  // OpenSSL checks that a point is on its curve.
  void key.keyObject;
  return key;
}

/**
 * {@link importPublicKey}, but whether a point is on its curve is found out when the key object is first asked for, which costs a
 * fifth of a verification. For who verifies at once: with a point that is on no curve no signature verifies, and who wants to say why
 * imports the key then.
 *
 * @throws {Malformed} {KeyInsecure} as {@link importPublicKey}, but for the point.
 */
export function readPublicKey(spki: Uint8Array): PublicKey {
  const fields = der.walk(der.readDer(spki), "public key");
  const identifier = der.walk(fields.take("algorithm"), "public key algorithm");
  const oid = der.readOid(identifier.take("identifier"));
  const key = fields.take("key");
  fields.end();
  switch (oid) {
    case oids.ec:
      return toKey(checkCurve(identifier, der.readBitString(key)), spki);
    case oids.rsa:
      der.expectTag(identifier.take("parameters"), der.tags.null, "null parameters");
      identifier.end();
      return toKey(checkRsa(der.readBitString(key)), spki);
    case oids.ed25519:
      identifier.end();
      return toKey(checkEd25519(der.readBitString(key)), spki);
    default:
      throw new KeyInsecure(`keys of type ${oid} are not accepted`);
  }
}

/** True for the ECDSA kinds. */
export function isEcdsa(algorithm: KeyAlgorithm): boolean {
  return algorithm.startsWith("ecdsa-");
}

/** True for the RSA kinds. */
export function isRsa(algorithm: KeyAlgorithm): boolean {
  return algorithm.startsWith("rsa-");
}

const oids = {
  ec: "1.2.840.10045.2.1",
  rsa: "1.2.840.113549.1.1.1",
  ed25519: "1.3.101.112",
} as const;

const curves = new Map<string, { readonly algorithm: KeyAlgorithm; readonly octets: number }>([
  ["1.2.840.10045.3.1.7", { algorithm: "ecdsa-p256", octets: 32 }],
  ["1.3.132.0.34", { algorithm: "ecdsa-p384", octets: 48 }],
  ["1.3.132.0.35", { algorithm: "ecdsa-p521", octets: 66 }],
]);

const rsaSizes = new Map<number, KeyAlgorithm>([
  [2048, "rsa-2048"],
  [3072, "rsa-3072"],
  [4096, "rsa-4096"],
]);

const uncompressed = 0x04;
const rsaExponent = 65_537n;
const smallPrimes = primesBelow(752);
const smallPrimeProduct = smallPrimes.reduce((product, prime) => product * BigInt(prime), 1n);

/** Primes whose residues betray a modulus made by Infineon's library (CVE-2017-15361): all are powers of 65537. */
const rocaPrimes = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
const rocaResidues = rocaPrimes.map((prime) => ({ prime: BigInt(prime), powers: powers(prime) }));

/** The caller has walked every octet of `spki`, so this is its only encoding. */
function toKey(algorithm: KeyAlgorithm, spki: Uint8Array): PublicKey {
  return new Key(algorithm, spki);
}

class Key implements PublicKey {
  readonly algorithm: KeyAlgorithm;
  readonly spki: Uint8Array;
  #keyObject: KeyObject | null = null;
  #verified = 0;
  #pinned: PinnedVerifier | null = null;

  constructor(algorithm: KeyAlgorithm, spki: Uint8Array) {
    this.algorithm = algorithm;
    this.spki = spki;
  }

  get keyObject(): KeyObject {
    return (this.#keyObject ??= keyObjectOf(this.spki));
  }

  often(): PinnedVerifier | null {
    const hash = pinnedHashes[this.algorithm];
    if (hash === undefined || this.#pinned !== null) return this.#pinned;
    if (isWorthTables(hash, ++this.#verified)) this.#pin(hash);
    return null;
  }

  /** Once, and what comes meanwhile is verified as before. */
  #pin(hash: PinnedHash): void {
    this.#verified = Number.NEGATIVE_INFINITY;
    pinnedLater(this.spki, hash).then(
      (made) => (this.#pinned = made),
      () => undefined,
    );
  }
}

/** Of the curves that there can be tables for, as in {@link defaultHashes}. */
const pinnedHashes: { readonly [algorithm in KeyAlgorithm]?: PinnedHash } = {
  "ecdsa-p256": "sha256",
  "ecdsa-p384": "sha384",
};

function keyObjectOf(spki: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw new Malformed("public key: not a key of its algorithm", { cause });
  }
}

function checkCurve(identifier: der.DerWalk, point: Uint8Array): KeyAlgorithm {
  const parameters = identifier.take("curve");
  identifier.end();
  if (parameters.tag !== der.tags.oid) throw new KeyInsecure("only named curves are accepted");
  const name = der.readOid(parameters);
  const curve = curves.get(name);
  if (curve === undefined) throw new KeyInsecure(`curve ${name} is not accepted`);
  if (point[0] !== uncompressed || point.length !== 1 + 2 * curve.octets) {
    throw new Malformed("public key: not an uncompressed point of its curve");
  }
  return curve.algorithm;
}

function checkRsa(key: Uint8Array): KeyAlgorithm {
  const { modulus, exponent } = readRsa(key);
  const bits = modulus.toString(2).length;
  const algorithm = rsaSizes.get(bits);
  if (algorithm === undefined) throw new KeyInsecure(`RSA keys of ${bits} bits are not accepted`);
  if (exponent !== rsaExponent) throw new KeyInsecure("only the RSA exponent 65537 is accepted");
  const rest = modulus % smallPrimeProduct;
  if (smallPrimes.some((prime) => rest % BigInt(prime) === 0n)) {
    throw new KeyInsecure("the RSA modulus has a small factor");
  }
  if (rocaResidues.every(({ prime, powers }) => powers.has(modulus % prime))) {
    throw new KeyInsecure("the RSA modulus comes from a broken generator (CVE-2017-15361)");
  }
  return algorithm;
}

/** RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } */
function readRsa(key: Uint8Array): { readonly modulus: bigint; readonly exponent: bigint } {
  const fields = der.walk(der.readDer(key), "RSA key");
  const modulus = der.readUnsigned(fields.take("modulus"));
  const exponent = der.readUnsigned(fields.take("exponent"));
  fields.end();
  return { modulus: uintFrom(modulus), exponent: uintFrom(exponent) };
}

function checkEd25519(encoded: Uint8Array): KeyAlgorithm {
  if (encoded.length !== 32) throw new Malformed("public key: not 32 bytes");
  // Loading it takes longer than all else that the CLI does to verify a signature, and few keys are Ed25519.
  const { ed25519 } = load("@noble/curves/ed25519.js") as typeof Ed25519;
  let point;
  try {
    // Strict RFC 8032 §5.1.3: y below p, a point of the curve, no negative zero.
    point = ed25519.Point.fromBytes(encoded);
  } catch (cause) {
    throw new Malformed("public key: not the canonical encoding of a point", { cause });
  }
  if (point.isSmallOrder()) throw new KeyInsecure("the Ed25519 key is a point of small order");
  return "ed25519";
}

function primesBelow(limit: number): readonly number[] {
  const primes: number[] = [];
  for (let candidate = 2; candidate < limit; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  }
  return primes;
}

function powers(prime: number): ReadonlySet<bigint> {
  const residues = new Set<bigint>();
  for (let power = 1; !residues.has(BigInt(power)); power = (power * 65_537) % prime) {
    residues.add(BigInt(power));
  }
  return residues;
}
