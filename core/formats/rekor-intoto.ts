/** Rekor's `intoto` entries, versions 0.0.1 and 0.0.2 (rekor v1.5): attestations in a DSSE envelope whose payload is not stored. */
import { type Envelope, parseEnvelope } from "./dsse.ts";
import {
  decodeBase64,
  decodeHex,
  decodeUtf8,
  encodeBase64,
  encodeHex,
  encodeUtf8,
} from "./encoding.ts";
import type { JsonValue } from "./json.ts";
import { Malformed } from "./malformed.ts";
import {
  child,
  content,
  formatVerifier,
  type JsonObject,
  maxEnvelopeSignatures,
  object,
  parseVerifier,
  sha256,
  text,
  type Verifier,
} from "./rekor-members.ts";

/** Version 0.0.1: the envelope's exact text, and the one key that is said to have signed it. */
export interface Intoto1 {
  readonly kind: "intoto";
  readonly version: "0.0.1";
  readonly envelopeText: string;
  readonly envelope: Envelope;
  readonly verifier: Verifier;
}

/** Version 0.0.2: the envelope in members of its own, each signature with its key. */
export interface Intoto2 {
  readonly kind: "intoto";
  readonly version: "0.0.2";
  readonly envelope: Envelope;
  /** One a signature: the key, and the PEM as it was sent, which is what the entry keeps. */
  readonly keys: readonly { readonly verifier: Verifier; readonly pem: Uint8Array }[];
  /** SHA-256 of the envelope as the client wrote it: only the client can know. */
  readonly envelopeHash: Uint8Array;
}

/** Reads the spec of version 0.0.1. @throws {Malformed} {UnreadableVerifier} */
export function parseIntoto1(spec: JsonObject): Intoto1 {
  const envelopeText = text(child(spec, "content"), "envelope");
  const envelope = parseEnvelope(envelopeText);
  requireFew(envelope.signatures);
  const verifier = parseVerifier(content(spec, "publicKey"));
  return { kind: "intoto", version: "0.0.1", envelopeText, envelope, verifier };
}

/** Reads the spec of version 0.0.2. @throws {Malformed} {UnreadableVerifier} */
export function parseIntoto2(spec: JsonObject): Intoto2 {
  const parts = child(spec, "content");
  const proposed = child(parts, "envelope");
  const signatures = proposed["signatures"];
  if (!Array.isArray(signatures)) throw new Malformed("rekor: signatures: expected an array");
  requireFew(signatures);
  const members = signatures.map((one: JsonValue) => object(one, "signature"));
  const hash = child(parts, "hash");
  if (text(hash, "algorithm") !== "sha256") throw new Malformed("rekor: hash is not sha256");
  const envelopeHash = decodeHex(text(hash, "value"));
  if (envelopeHash.length !== 32) throw new Malformed("rekor: hash value is not 32 bytes long");
  // Payload and signatures are base64 of the envelope's own base64: read as the envelope that they come from.
  const envelope = parseEnvelope(
    JSON.stringify({
      payload: decodeUtf8(decodeBase64(text(proposed, "payload"))),
      payloadType: text(proposed, "payloadType"),
      signatures: members.map((one) => ({
        ...(Object.hasOwn(one, "keyid") && { keyid: text(one, "keyid") }),
        sig: decodeUtf8(content(one, "sig")),
      })),
    }),
  );
  if (envelope.payload.length === 0) throw new Malformed("rekor: the payload is empty");
  const keys = members.map((one) => {
    const pem = content(one, "publicKey");
    return { verifier: parseVerifier(pem), pem };
  });
  return { kind: "intoto", version: "0.0.2", envelope, keys, envelopeHash };
}

/** What is stored of version 0.0.1. */
export function intoto1Spec({ envelopeText, envelope, verifier }: Intoto1): JsonValue {
  return {
    content: {
      hash: hashMember(sha256(encodeUtf8(envelopeText))),
      payloadHash: hashMember(sha256(envelope.payload)),
    },
    publicKey: formatVerifier(verifier),
  };
}

/** What is stored of version 0.0.2. */
export function intoto2Spec({ envelope, keys, envelopeHash }: Intoto2): JsonValue {
  const signatures = envelope.signatures.map(({ keyid, signature }, at): JsonValue => {
    const pem = keys[at]?.pem;
    if (pem === undefined) throw new Malformed("rekor: a signature without its key");
    const sig = encodeBase64(encodeUtf8(encodeBase64(signature)));
    const named = keyid === undefined || keyid === "" ? {} : { keyid };
    return { ...named, publicKey: encodeBase64(pem), sig };
  });
  return {
    content: {
      envelope: { payloadType: envelope.payloadType, signatures },
      hash: hashMember(envelopeHash),
      payloadHash: hashMember(sha256(envelope.payload)),
    },
  };
}

function requireFew(signatures: readonly unknown[]): void {
  if (signatures.length === 0) throw new Malformed("rekor: signatures: expected at least one");
  if (signatures.length > maxEnvelopeSignatures) {
    throw new Malformed(`rekor: more than ${maxEnvelopeSignatures} signatures`);
  }
}

function hashMember(hash: Uint8Array): JsonValue {
  return { algorithm: "sha256", value: encodeHex(hash) };
}
