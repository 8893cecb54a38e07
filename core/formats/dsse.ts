/** Dead Simple Signing Envelope (DSSE protocol and envelope 1.0.2): what a signature covers, and the JSON around it. */
import { concat, decodeBase64, encodeBase64, encodeUtf8 } from "./encoding.ts";
import { type JsonValue, parseJson } from "./json.ts";
import { Malformed } from "./malformed.ts";

/** One signature over {@link pae}. */
interface EnvelopeSignature {
  readonly keyid?: string;
  readonly signature: Uint8Array;
}

/** A payload, its type, and who signed them. */
export interface Envelope {
  readonly payload: Uint8Array;
  /** Printable ASCII without spaces, at most 256 characters: a media type or a URI. */
  readonly payloadType: string;
  /** At least one. */
  readonly signatures: readonly EnvelopeSignature[];
}

const longestPayloadType = 256;
const longestKeyid = 1024;

/** The pre-authentication encoding: `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`. */
export function pae(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = encodeUtf8(payloadType);
  const head = concat(encodeUtf8(`DSSEv1 ${type.length} `), type);
  return concat(head, encodeUtf8(` ${payload.length} `), payload);
}

/**
 * Reads an envelope's JSON text. Every member must be known and spelt exactly: an envelope whose meaning depends on the reader's
 * tolerance is not one.
 *
 * @throws {Malformed}
 */
export function parseEnvelope(text: string): Envelope {
  const members = record(parseJson(text), ["payload", "payloadType", "signatures"], "envelope");
  const payloadType = string(members["payloadType"], "payloadType");
  if (!/^[\x21-\x7e]+$/.test(payloadType) || payloadType.length > longestPayloadType) {
    throw new Malformed("dsse: payloadType is not a media type or URI of at most 256 characters");
  }
  const signatures = members["signatures"];
  if (!Array.isArray(signatures) || signatures.length === 0) {
    throw new Malformed("dsse: signatures: expected at least one");
  }
  return {
    payload: decodeBase64(string(members["payload"], "payload")),
    payloadType,
    signatures: signatures.map(parseSignature),
  };
}

/** An envelope's JSON text, without white space. */
export function formatEnvelope(envelope: Envelope): string {
  return JSON.stringify({
    payload: encodeBase64(envelope.payload),
    payloadType: envelope.payloadType,
    signatures: envelope.signatures.map(({ keyid, signature }) => ({
      ...(keyid !== undefined && { keyid }),
      sig: encodeBase64(signature),
    })),
  });
}

function parseSignature(value: JsonValue): EnvelopeSignature {
  const members = record(value, ["keyid", "sig"], "signature");
  const signature = decodeBase64(string(members["sig"], "sig"));
  if (signature.length === 0) throw new Malformed("dsse: sig is empty");
  const { keyid } = members;
  if (keyid === undefined) return { signature };
  const id = string(keyid, "keyid");
  if (id.length > longestKeyid) throw new Malformed("dsse: keyid is too long");
  return { keyid: id, signature };
}

function record(
  value: JsonValue,
  known: readonly string[],
  what: string,
): { readonly [name: string]: JsonValue } {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Malformed(`dsse: ${what}: expected an object`);
  }
  if (Object.keys(value).some((name) => !known.includes(name))) {
    throw new Malformed(`dsse: ${what}: unknown member`);
  }
  return value as { readonly [name: string]: JsonValue }; // neither null nor an array, as just checked
}

function string(value: JsonValue | undefined, name: string): string {
  if (typeof value !== "string") throw new Malformed(`dsse: ${name}: expected a string`);
  return value;
}
