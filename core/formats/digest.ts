/** Digests (FIPS 180-4) as arrays that V8 keeps among its own objects; see `allocate.ts` for why that matters. */
import { hash } from "node:crypto";

type DigestName = "sha1" | "sha256" | "sha384" | "sha512";

/** The digest of `bytes`, or of a text's UTF-8, by a hash that node:crypto knows. */
export function digestOf(name: DigestName, bytes: Uint8Array | string): Uint8Array {
  // As text, a character an octet: a buffer would be C memory of its own, which costs more than the hash.
  const text = hash(name, bytes, "latin1");
  const octets = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) octets[at] = text.charCodeAt(at);
  return octets;
}

/**
 * Where parts are put together to be hashed, by one call after the other. It is no state that anybody could see, and spares arrays that
 * nobody wants afterwards: under load they would be kept until a whole collection, with the slabs that they are cut from.
 */
const together = new Uint8Array(4 * 1024);

/** The digest of all parts in order, as of one piece. */
export function digestOfAll(name: DigestName, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = length > together.length ? new Uint8Array(length) : together.subarray(0, length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return digestOf(name, whole);
}
