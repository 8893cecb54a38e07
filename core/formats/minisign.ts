/**
 * Signatures and keys of minisign 0.11 and of OpenBSD's signify, whose format is the same without the trusted comment.
 *
 *     untrusted comment: <text>
 *     base64(algorithm[2] || key id[8] || signature[64])
 *     trusted comment: <text>
 *     base64(signature[64] by the same key over signature || <text>)
 *
 * The algorithm is "Ed", Ed25519 over the message, or "ED", Ed25519 over its BLAKE2b-512.
 */
import { concat, decodeBase64, decodeUtf8, encodeBase64, encodeUtf8 } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import { ed25519Spki } from "./note.ts";

/** A public key. */
export interface MinisignKey {
  /** 8 bytes by which signatures name it. */
  readonly id: Uint8Array;
  /** 32 bytes. */
  readonly raw: Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
}

/** A signature. */
export interface MinisignSignature {
  readonly isPrehashed: boolean;
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
  /** What the same key has signed besides: the signature with the trusted comment; null where there is none. */
  readonly trusted: { readonly message: Uint8Array; readonly signature: Uint8Array } | null;
}

const signatureBytes = 64;
const headerBytes = 10;
const keyBytes = 32;

/** The file, or its second line alone. @throws {Malformed} */
export function parseMinisignKey(text: string): MinisignKey {
  const lines = linesOf(text);
  const encoded = lines.length === 2 ? commented(lines, "untrusted comment:") : lines;
  if (encoded.length !== 1) throw new Malformed("minisign key: expected one key");
  const bytes = decodeBase64(encoded[0] ?? "");
  if (bytes.length !== headerBytes + keyBytes || algorithmOf(bytes) !== "Ed") {
    throw new Malformed("minisign key: expected an Ed25519 key with its id");
  }
  const raw = bytes.subarray(headerBytes);
  return { id: bytes.subarray(2, headerBytes), raw, spki: ed25519Spki(raw) };
}

/** As Rekor stores it: base64 of the key without its id. */
export function formatMinisignKey({ raw }: MinisignKey): string {
  return encodeBase64(raw);
}

/** @throws {Malformed} */
export function parseMinisignSignature(text: string): MinisignSignature {
  const [first = "", ...rest] = commented(linesOf(text), "untrusted comment:");
  const bytes = decodeBase64(first);
  const algorithm = algorithmOf(bytes);
  if (bytes.length !== headerBytes + signatureBytes || !/^E[dD]$/.test(algorithm)) {
    throw new Malformed("minisign signature: expected Ed25519, over the message or its BLAKE2b");
  }
  const signature = bytes.subarray(headerBytes);
  return {
    isPrehashed: algorithm === "ED",
    keyId: bytes.subarray(2, headerBytes),
    signature,
    trusted: rest.length === 0 ? null : trustedComment(rest, signature),
  };
}

/** As Rekor stores it: without comments, which nothing verifies later. */
export function formatMinisignSignature(signature: MinisignSignature): string {
  const algorithm = encodeUtf8(signature.isPrehashed ? "ED" : "Ed");
  return `untrusted comment:\n${encodeBase64(concat(algorithm, signature.keyId, signature.signature))}`;
}

function trustedComment(
  lines: readonly string[],
  signed: Uint8Array,
): NonNullable<MinisignSignature["trusted"]> {
  const prefix = "trusted comment: ";
  const [comment = "", encoded = ""] = lines;
  const signature = decodeBase64(encoded);
  if (lines.length !== 2 || !comment.startsWith(prefix) || signature.length !== signatureBytes) {
    throw new Malformed("minisign signature: expected a trusted comment and its signature");
  }
  return { message: concat(signed, encodeUtf8(comment.slice(prefix.length))), signature };
}

function commented(lines: readonly string[], prefix: string): readonly string[] {
  const [comment = "", ...rest] = lines;
  if (!comment.startsWith(prefix)) throw new Malformed(`minisign: expected "${prefix}"`);
  return rest;
}

function linesOf(text: string): readonly string[] {
  return text.replace(/\r?\n$/, "").split(/\r?\n/);
}

function algorithmOf(bytes: Uint8Array): string {
  // Two octets that need not be text.
  return bytes.length < 2 || bytes.some((byte, at) => at < 2 && byte > 0x7f)
    ? ""
    : decodeUtf8(bytes.subarray(0, 2));
}
