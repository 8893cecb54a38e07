/** Reading members of proposed Rekor entries, which nobody has vouched for, and what several kinds of entry share. */
import { createHash } from "node:crypto";
import { decodeBase64, decodeUtf8, encodeBase64, encodeUtf8 } from "./encoding.ts";
import type { JsonValue } from "./json.ts";
import { Malformed } from "./malformed.ts";
import { formatPem, parsePemBlocks } from "./pem.ts";

/** A JSON object. */
export type JsonObject = { readonly [name: string]: JsonValue };

/** What verifies a signature: a certificate or a public key, alone in its PEM. */
export interface Verifier {
  readonly label: "CERTIFICATE" | "PUBLIC KEY";
  /** DER, as it was sent: whoever uses the key must refuse what is not DER. */
  readonly der: Uint8Array;
}

/** Most signatures, and most verifiers, of one envelope: each pair may cost a verification. */
export const maxEnvelopeSignatures = 8;

/** Neither a certificate nor a public key can be read where the proposed entry must hold one. */
export class UnreadableVerifier extends Error {
  override readonly name = "UnreadableVerifier";
}

/** `value` as an object. @throws {Malformed} */
export function object(value: JsonValue | undefined, name: string): JsonObject {
  if (value === undefined || value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Malformed(`rekor: ${name}: expected an object`);
  }
  return value as JsonObject; // neither null nor an array, as just checked
}

/** The object called `name`. @throws {Malformed} */
export function child(parent: JsonObject, name: string): JsonObject {
  return object(Object.hasOwn(parent, name) ? parent[name] : undefined, name);
}

/** The text called `name`. @throws {Malformed} */
export function text(parent: JsonObject, name: string): string {
  const value = Object.hasOwn(parent, name) ? parent[name] : undefined;
  if (typeof value !== "string") throw new Malformed(`rekor: ${name}: expected a string`);
  return value;
}

/** The base64 called `name`, of at least one byte. @throws {Malformed} */
export function content(parent: JsonObject, name: string): Uint8Array {
  const bytes = decodeBase64(text(parent, name));
  if (bytes.length === 0) throw new Malformed(`rekor: ${name} is empty`);
  return bytes;
}

/** The verifier in base64 of PEM. @throws {Malformed} {UnreadableVerifier} if it is not one certificate or public key */
export function parseVerifier(pem: Uint8Array): Verifier {
  const [block, ...more] = readPem(decodeUtf8(pem));
  if (block === undefined || more.length > 0) {
    throw new UnreadableVerifier("expected exactly one PEM block, a certificate or a public key");
  }
  const { label, der } = block;
  if (label !== "CERTIFICATE" && label !== "PUBLIC KEY") {
    throw new UnreadableVerifier('the PEM block is neither "CERTIFICATE" nor "PUBLIC KEY"');
  }
  return { label, der };
}

/** Base64 of PEM in its one form. */
export function formatVerifier({ label, der }: Verifier): string {
  return encodeBase64(encodeUtf8(formatPem(label, der)));
}

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

function readPem(pem: string): ReturnType<typeof parsePemBlocks> {
  try {
    return parsePemBlocks(pem);
  } catch (cause) {
    throw new UnreadableVerifier("the certificate or public key is not PEM", { cause });
  }
}
