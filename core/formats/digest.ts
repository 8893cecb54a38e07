/** Digests (FIPS 180-4) as arrays that V8 keeps among its own objects; see `allocate.ts` for why that matters. */
import { hash } from "node:crypto";

/** The digest of `bytes`, or of a text's UTF-8, by a hash that node:crypto knows. */
export function digestOf(
  name: "sha1" | "sha256" | "sha384" | "sha512",
  bytes: Uint8Array | string,
): Uint8Array {
  // As text, a character an octet: a buffer would be C memory of its own, which costs more than the hash.
  const text = hash(name, bytes, "latin1");
  const octets = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) octets[at] = text.charCodeAt(at);
  return octets;
}
