/**
 * Rekor v1 entries (rekor v1.5, `hashedrekord` 0.0.1 and `dsse` 0.0.1): what a client proposes, the canonical body that becomes the
 * leaf, the bytes a signed entry timestamp covers, and entry ids.
 */
import { createHash } from "node:crypto";
import { type Envelope, parseEnvelope } from "./dsse.ts";
import {
  decodeBase64,
  decodeHex,
  decodeUtf8,
  encodeBase64,
  encodeHex,
  encodeUtf8,
  uintBytes,
  uintFrom,
} from "./encoding.ts";
import { canonicalize } from "./jcs.ts";
import { type JsonValue, parseRequestJson } from "./json.ts";
import { Malformed } from "./malformed.ts";
import { formatPem, parsePemBlocks } from "./pem.ts";

/** Digest algorithms of `hashedrekord`, with their lengths in bytes. */
const digestLengths = { sha256: 32, sha384: 48, sha512: 64 } as const;

/** A digest algorithm that `hashedrekord` takes. */
export type EntryHash = keyof typeof digestLengths;

/** What verifies a signature: a certificate or a public key, alone in its PEM. */
export interface Verifier {
  readonly label: "CERTIFICATE" | "PUBLIC KEY";
  /** DER, as it was sent: whoever uses the key must refuse what is not DER. */
  readonly der: Uint8Array;
}

/** A signature over the digest of something that stays with its owner. */
export interface HashedRekord {
  readonly kind: "hashedrekord";
  readonly hashAlgorithm: EntryHash;
  readonly digest: Uint8Array;
  readonly signature: Uint8Array;
  readonly verifier: Verifier;
}

/** An envelope and those who are said to have signed it. */
export interface ProposedDsse {
  readonly kind: "dsse";
  /** The exact text that was sent: its hash is part of the entry. */
  readonly envelopeText: string;
  readonly envelope: Envelope;
  readonly verifiers: readonly Verifier[];
}

/** What a client may propose. */
export type ProposedEntry = HashedRekord | ProposedDsse;

/** A `dsse` entry once it is known who made which signature. */
export interface Dsse {
  readonly kind: "dsse";
  /** SHA-256 of the envelope's text. */
  readonly envelopeHash: Uint8Array;
  /** SHA-256 of the payload. */
  readonly payloadHash: Uint8Array;
  readonly signatures: readonly { readonly signature: Uint8Array; readonly verifier: Verifier }[];
}

/** Most signatures, and most verifiers, of one envelope: each pair may cost a verification. */
const maxEnvelopeSignatures = 8;

/** The proposed entry is JSON, but of a kind or version that is not taken here. */
export class UnsupportedEntry extends Error {
  override readonly name = "UnsupportedEntry";
}

/** Neither a certificate nor a public key can be read where the proposed entry must hold one. */
export class UnreadableVerifier extends Error {
  override readonly name = "UnreadableVerifier";
}

/**
 * Reads a ProposedEntry. Members it does not know are ignored, as upstream does; a `url` anywhere is refused, because nothing is
 * ever fetched for a client.
 *
 * @throws {Malformed}
 * @throws {UnsupportedEntry} for another kind or version.
 * @throws {UnreadableVerifier} if a certificate or public key is not one block of PEM.
 */
export function parseProposedEntry(bytes: Uint8Array): ProposedEntry {
  const entry = object(parseRequestJson(bytes), "entry");
  refuseUrls(entry);
  const kind = text(entry, "kind");
  const version = text(entry, "apiVersion");
  if ((kind !== "hashedrekord" && kind !== "dsse") || version !== "0.0.1") {
    throw new UnsupportedEntry("only hashedrekord 0.0.1 and dsse 0.0.1 are accepted here");
  }
  const spec = child(entry, "spec");
  return kind === "hashedrekord" ? parseHashedRekord(spec) : parseDsse(spec);
}

/** The canonical body, which is the leaf: RFC 8785 JSON of `apiVersion`, `kind` and `spec`. */
export function canonicalBody(entry: HashedRekord | Dsse): Uint8Array {
  const { kind } = entry;
  const spec = kind === "dsse" ? dsseSpec(entry) : hashedRekordSpec(entry);
  return encodeUtf8(canonicalize({ apiVersion: "0.0.1", kind, spec }));
}

/** The `dsse` entry of an envelope whose signatures were made by `verifiers`, one each and in their order. */
export function dsseEntry(proposed: ProposedDsse, verifiers: readonly Verifier[]): Dsse {
  return {
    kind: "dsse",
    envelopeHash: sha256(encodeUtf8(proposed.envelopeText)),
    payloadHash: sha256(proposed.envelope.payload),
    signatures: proposed.envelope.signatures.map(({ signature }, at) => {
      const verifier = verifiers[at];
      if (verifier === undefined) throw new Malformed("rekor: a signature without its verifier");
      return { signature, verifier };
    }),
  };
}

/** What a signed entry timestamp signs: RFC 8785 JSON; `logIndex` counts over all shards. */
export function formatSetPayload(fields: {
  readonly body: Uint8Array;
  readonly integratedTimeSeconds: bigint;
  readonly logId: Uint8Array;
  readonly logIndex: bigint;
}): Uint8Array {
  // Written out, because JCS numbers are doubles and these are not; all four values need no escaping.
  const members = [
    `"body":"${encodeBase64(fields.body)}"`,
    `"integratedTime":${fields.integratedTimeSeconds}`,
    `"logID":"${encodeHex(fields.logId)}"`,
    `"logIndex":${fields.logIndex}`,
  ];
  return encodeUtf8(`{${members.join(",")}}`);
}

/** 80 hex digits: the tree id as 16, then the leaf hash. */
export function entryId(treeId: bigint, leafHash: Uint8Array): string {
  return encodeHex(uintBytes(treeId, 8)) + encodeHex(leafHash);
}

/** Reads an entry id, or a bare leaf hash of 64 digits. @throws {Malformed} */
export function parseEntryId(id: string): {
  /** Absent from a bare leaf hash. */
  readonly treeId?: bigint;
  readonly leafHash: Uint8Array;
} {
  const bytes = decodeHex(id);
  if (bytes.length === 32) return { leafHash: bytes };
  if (bytes.length !== 40) throw new Malformed("rekor: an entry id has 64 or 80 hex digits");
  return { treeId: uintFrom(bytes.subarray(0, 8)), leafHash: bytes.subarray(8) };
}

function parseHashedRekord(spec: JsonObject): HashedRekord {
  const hash = child(child(spec, "data"), "hash");
  const hashAlgorithm = text(hash, "algorithm");
  if (!isEntryHash(hashAlgorithm)) {
    throw new Malformed("rekor: hash algorithm is not sha256, sha384 or sha512");
  }
  // Upstream takes upper-case digits; the entry's identity must not depend on them.
  const digest = decodeHex(text(hash, "value").toLowerCase());
  if (digest.length !== digestLengths[hashAlgorithm]) {
    throw new Malformed(`rekor: hash value is not ${digestLengths[hashAlgorithm]} bytes long`);
  }
  const signature = child(spec, "signature");
  return {
    kind: "hashedrekord",
    hashAlgorithm,
    digest,
    signature: nonEmpty(decodeBase64(text(signature, "content")), "signature"),
    verifier: parseVerifier(text(child(signature, "publicKey"), "content")),
  };
}

function parseDsse(spec: JsonObject): ProposedDsse {
  const proposed = child(spec, "proposedContent");
  const envelopeText = text(proposed, "envelope");
  const envelope = parseEnvelope(envelopeText);
  const verifiers = proposed["verifiers"];
  if (!Array.isArray(verifiers) || verifiers.length === 0) {
    throw new Malformed("rekor: verifiers: expected at least one");
  }
  if (Math.max(verifiers.length, envelope.signatures.length) > maxEnvelopeSignatures) {
    throw new Malformed(`rekor: more than ${maxEnvelopeSignatures} signatures or verifiers`);
  }
  return {
    kind: "dsse",
    envelopeText,
    envelope,
    verifiers: verifiers.map((verifier: JsonValue) => {
      if (typeof verifier !== "string") throw new Malformed("rekor: a verifier is not a string");
      return parseVerifier(verifier);
    }),
  };
}

/** Base64 of PEM, as `publicKey.content` and `verifiers` hold it. */
function parseVerifier(content: string): Verifier {
  const pem = decodeUtf8(nonEmpty(decodeBase64(content), "public key"));
  const [block, ...more] = readPem(pem);
  if (block === undefined || more.length > 0) {
    throw new UnreadableVerifier("expected exactly one PEM block, a certificate or a public key");
  }
  const { label, der } = block;
  if (label !== "CERTIFICATE" && label !== "PUBLIC KEY") {
    throw new UnreadableVerifier('the PEM block is neither "CERTIFICATE" nor "PUBLIC KEY"');
  }
  return { label, der };
}

function readPem(pem: string): ReturnType<typeof parsePemBlocks> {
  try {
    return parsePemBlocks(pem);
  } catch (cause) {
    throw new UnreadableVerifier("the certificate or public key is not PEM", { cause });
  }
}

function hashedRekordSpec(entry: HashedRekord): JsonValue {
  return {
    data: { hash: { algorithm: entry.hashAlgorithm, value: encodeHex(entry.digest) } },
    signature: {
      content: encodeBase64(entry.signature),
      publicKey: { content: formatVerifier(entry.verifier) },
    },
  };
}

function dsseSpec(entry: Dsse): JsonValue {
  const signatures = entry.signatures.map(({ signature, verifier }) => ({
    signature: encodeBase64(signature),
    verifier: formatVerifier(verifier),
  }));
  // Upstream sorts by the base64 text; both are ASCII, so UTF-16 order is byte order.
  signatures.sort((a, b) => (a.signature < b.signature ? -1 : Number(a.signature > b.signature)));
  return {
    envelopeHash: { algorithm: "sha256", value: encodeHex(entry.envelopeHash) },
    payloadHash: { algorithm: "sha256", value: encodeHex(entry.payloadHash) },
    signatures,
  };
}

function formatVerifier({ label, der }: Verifier): string {
  return encodeBase64(encodeUtf8(formatPem(label, der)));
}

function refuseUrls(value: JsonValue): void {
  if (value === null || typeof value !== "object") return;
  if (Object.hasOwn(value, "url")) {
    throw new Malformed("rekor: a url is not accepted: send the content itself");
  }
  for (const member of Object.values(value)) refuseUrls(member);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

function isEntryHash(name: string): name is EntryHash {
  return Object.hasOwn(digestLengths, name);
}

function nonEmpty(bytes: Uint8Array, what: string): Uint8Array {
  if (bytes.length === 0) throw new Malformed(`rekor: ${what} is empty`);
  return bytes;
}

/** A JSON object. */
type JsonObject = { readonly [name: string]: JsonValue };

function object(value: JsonValue | undefined, name: string): JsonObject {
  if (value === undefined || value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Malformed(`rekor: ${name}: expected an object`);
  }
  return value as JsonObject; // neither null nor an array, as just checked
}

function child(parent: JsonObject, name: string): JsonObject {
  return object(Object.hasOwn(parent, name) ? parent[name] : undefined, name);
}

function text(parent: JsonObject, name: string): string {
  const value = Object.hasOwn(parent, name) ? parent[name] : undefined;
  if (typeof value !== "string") throw new Malformed(`rekor: ${name}: expected a string`);
  return value;
}
