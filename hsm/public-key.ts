/** Public keys as the device tells them, as DER, and the ECDSA signature forms of PKCS#11 and X.509. */
import { createPublicKey, hash, type KeyObject, verify } from "node:crypto";
import { allocate } from "../core/formats/allocate.ts";
import * as der from "../core/formats/der.ts";
import { concat } from "../core/formats/encoding.ts";
import type { KeyAlgorithm, PublicAttributes, SigningMechanism } from "./pkcs11.ts";

/** How keys of an algorithm sign. */
export interface SigningScheme {
  readonly mechanism: SigningMechanism;
  /** What the message is hashed with before it is signed; null if the key signs the message itself. */
  readonly hash: "sha256" | "sha384" | null;
  /** Length of what C_Sign answers. */
  readonly signatureBytes: number;
}

/** The one way each kind of key signs here. */
export const schemes: { readonly [A in KeyAlgorithm]: SigningScheme } = {
  "ecdsa-p256": { mechanism: "ecdsa", hash: "sha256", signatureBytes: 64 },
  "ecdsa-p384": { mechanism: "ecdsa", hash: "sha384", signatureBytes: 96 },
  "rsa-2048": { mechanism: "rsa-pkcs1", hash: "sha256", signatureBytes: 256 },
  "rsa-3072": { mechanism: "rsa-pkcs1", hash: "sha256", signatureBytes: 384 },
  "rsa-4096": { mechanism: "rsa-pkcs1", hash: "sha256", signatureBytes: 512 },
  ed25519: { mechanism: "eddsa", hash: null, signatureBytes: 64 },
};

const oids = {
  ecPublicKey: "1.2.840.10045.2.1",
  p256: "1.2.840.10045.3.1.7",
  p384: "1.3.132.0.34",
  ed25519: "1.3.101.112",
  rsaEncryption: "1.2.840.113549.1.1.1",
  sha256: "2.16.840.1.101.3.4.2.1",
};

/** SubjectPublicKeyInfo (RFC 5480 §2, RFC 8017 §A.1, RFC 8410 §4). */
export function formatPublicKey(attributes: PublicAttributes): Uint8Array {
  if (attributes.kind === "ec") {
    return der.sequence(
      der.sequence(der.oid(oids.ecPublicKey), der.oid(oids[attributes.curve])),
      der.bitString(attributes.point),
    );
  }
  if (attributes.kind === "ed25519") {
    return der.sequence(der.sequence(der.oid(oids.ed25519)), der.bitString(attributes.point));
  }
  return der.sequence(
    der.sequence(der.oid(oids.rsaEncryption), der.nullValue()),
    der.bitString(der.sequence(der.integer(attributes.modulus), der.integer(attributes.exponent))),
  );
}

/** What C_Sign is given for `message`: its digest, for RSA the DigestInfo around it (RFC 8017 §9.2), for Ed25519 the message. */
export function signingInput(scheme: SigningScheme, message: Uint8Array): Uint8Array {
  return signingInputOf(
    scheme,
    scheme.hash === null ? message : hash(scheme.hash, message, "buffer"),
  );
}

/** As {@link signingInput}, for who has the digest by the scheme's hash (without one, the message) at hand. */
export function signingInputOf(scheme: SigningScheme, digest: Uint8Array): Uint8Array {
  return scheme.mechanism === "rsa-pkcs1" ? concat(digestInfoPrefix, digest) : digest;
}

/** DigestInfo { sha256, NULL } up to the digest. */
const digestInfoPrefix = der
  .sequence(
    der.sequence(der.oid(oids.sha256), der.nullValue()),
    der.octetString(new Uint8Array(32)),
  )
  .subarray(0, -32);

/** What leaves the vault: for ECDSA the DER of r and s (RFC 3279 §2.2.3), of others the signature as it is. */
export function releasedForm(scheme: SigningScheme, raw: Uint8Array): Uint8Array {
  if (scheme.mechanism !== "ecdsa") return raw;
  const half = raw.length / 2;
  const r = unsignedIn(raw, 0, half);
  const s = unsignedIn(raw, half, raw.length);
  const contentBytes = 4 + r.length + s.length;
  // Two numbers of any curve in use, and their headers, are shorter than what needs a longer header than this.
  const out = allocate(2 + contentBytes);
  out[0] = der.tags.sequence;
  out[1] = contentBytes;
  putInteger(out, 2, r);
  putInteger(out, 4 + r.length, s);
  return out;
}

interface Unsigned {
  readonly raw: Uint8Array;
  readonly from: number;
  readonly to: number;
  /** With the octet that a sign needs. */
  readonly length: number;
}

/** The unsigned number in these octets, without zeros in front. */
function unsignedIn(raw: Uint8Array, start: number, to: number): Unsigned {
  let from = start;
  while (from < to - 1 && raw[from] === 0) from++;
  return { raw, from, to, length: to - from + ((raw[from] ?? 0) >= 0x80 ? 1 : 0) };
}

function putInteger(out: Uint8Array, at: number, { raw, from, to, length }: Unsigned): void {
  out[at] = der.tags.integer;
  out[at + 1] = length;
  let place = at + 2 + length - (to - from);
  if (length > to - from) out[place - 1] = 0;
  for (let index = from; index < to; index++) out[place++] = raw[index] ?? 0;
}

/** A verifier for one pinned key; it never throws. */
export function verifier(
  scheme: SigningScheme,
  publicKey: Uint8Array,
): (message: Uint8Array, signature: Uint8Array) => boolean {
  const key = keyObject(publicKey);
  return (message, signature) => {
    try {
      return verify(scheme.hash, message, key, signature);
    } catch {
      return false;
    }
  };
}

/** The node:crypto form of a SubjectPublicKeyInfo. */
export function keyObject(publicKey: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
}
