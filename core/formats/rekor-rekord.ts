/** Rekor's `rekord` entries, version 0.0.1 (rekor v1.5): a signature of `format` over data that is sent along and not stored. */
import { decodeHex, encodeBase64, encodeHex, equalBytes } from "./encoding.ts";
import type { JsonValue } from "./json.ts";
import { Malformed } from "./malformed.ts";
import {
  child,
  content,
  formatVerifier,
  type JsonObject,
  parseVerifier,
  sha256,
  text,
  type Verifier,
} from "./rekor-members.ts";

/** A signature by a certificate's key or a key alone. */
export interface Rekord {
  readonly kind: "rekord";
  readonly data: Uint8Array;
  /** SHA-256 of the data. */
  readonly digest: Uint8Array;
  readonly signature: Uint8Array;
  readonly verifier: Verifier;
}

/** True for the only format of signatures that is read here; looked at before anything is decoded. */
export function isX509(spec: JsonObject): boolean {
  return text(child(spec, "signature"), "format") === "x509";
}

/** Reads the spec. @throws {Malformed} also if a hash is given that is not the data's {UnreadableVerifier} */
export function parseRekord(spec: JsonObject): Rekord {
  const data = child(spec, "data");
  const signature = child(spec, "signature");
  const bytes = content(data, "content");
  const digest = sha256(bytes);
  if (Object.hasOwn(data, "hash")) {
    const hash = child(data, "hash");
    const isRight = equalBytes(decodeHex(text(hash, "value").toLowerCase()), digest);
    if (text(hash, "algorithm") !== "sha256" || !isRight) {
      throw new Malformed("rekor: the hash is not the data's SHA-256");
    }
  }
  return {
    kind: "rekord",
    data: bytes,
    digest,
    signature: content(signature, "content"),
    verifier: parseVerifier(content(child(signature, "publicKey"), "content")),
  };
}

/** What is stored. */
export function rekordSpec({ digest, signature, verifier }: Rekord): JsonValue {
  return {
    data: { hash: { algorithm: "sha256", value: encodeHex(digest) } },
    signature: {
      content: encodeBase64(signature),
      format: "x509",
      publicKey: { content: formatVerifier(verifier) },
    },
  };
}
