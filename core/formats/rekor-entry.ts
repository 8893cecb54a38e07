/**
 * Rekor v1 entries (rekor v1.5: `hashedrekord` 0.0.1, `dsse` 0.0.1, `intoto` 0.0.1 and 0.0.2, `rekord` 0.0.1): what a client proposes,
 * the canonical body that becomes the leaf, the bytes a signed entry timestamp covers, and entry ids.
 */
import { type Envelope, parseEnvelope } from "./dsse.ts";
import { decodeHex, encodeBase64, encodeHex, encodeUtf8, uintBytes, uintFrom } from "./encoding.ts";
import { canonicalize } from "./jcs.ts";
import { type JsonValue, parseRequestJson } from "./json.ts";
import { Malformed } from "./malformed.ts";
import {
  type Intoto1,
  type Intoto2,
  intoto1Spec,
  intoto2Spec,
  parseIntoto1,
  parseIntoto2,
} from "./rekor-intoto.ts";
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
import {
  hasKnownFormat,
  parseRekord,
  type Rekord,
  rekordFormats,
  rekordSpec,
} from "./rekor-rekord.ts";

/** Digest algorithms of `hashedrekord`, with their lengths in bytes. */
const digestLengths = { sha256: 32, sha384: 48, sha512: 64 } as const;

/** A digest algorithm that `hashedrekord` takes. */
export type EntryHash = keyof typeof digestLengths;

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
export type ProposedEntry = HashedRekord | ProposedDsse | Intoto1 | Intoto2 | Rekord;

/** What is known to hold, and is logged. */
export type AdmittedEntry = HashedRekord | Dsse | Intoto1 | Intoto2 | Rekord;

/** A `dsse` entry once it is known who made which signature. */
export interface Dsse {
  readonly kind: "dsse";
  /** SHA-256 of the envelope's text. */
  readonly envelopeHash: Uint8Array;
  /** SHA-256 of the payload. */
  readonly payloadHash: Uint8Array;
  readonly signatures: readonly { readonly signature: Uint8Array; readonly verifier: Verifier }[];
}

/** The proposed entry is JSON, but of a kind or version that is not taken here. */
export class UnsupportedEntry extends Error {
  override readonly name = "UnsupportedEntry";
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
  const what = `${text(entry, "kind")} ${text(entry, "apiVersion")}`;
  const parse = parsers.get(what);
  if (parse === undefined) throw new UnsupportedEntry(`only ${supported} are accepted here`);
  const spec = child(entry, "spec");
  if (parse === parseRekord && !hasKnownFormat(spec)) {
    const formats = rekordFormats.join(", ");
    throw new UnsupportedEntry(
      `only signatures of the formats ${formats} are accepted in a rekord`,
    );
  }
  return parse(spec);
}

const parsers: ReadonlyMap<string, (spec: JsonObject) => ProposedEntry> = new Map<
  string,
  (spec: JsonObject) => ProposedEntry
>([
  ["hashedrekord 0.0.1", parseHashedRekord],
  ["dsse 0.0.1", parseDsse],
  ["intoto 0.0.1", parseIntoto1],
  ["intoto 0.0.2", parseIntoto2],
  ["rekord 0.0.1", parseRekord],
]);
const supported = [...parsers.keys()].join(", ");

/** The canonical body, which is the leaf: RFC 8785 JSON of `apiVersion`, `kind` and `spec`. */
export function canonicalBody(entry: AdmittedEntry): Uint8Array {
  const { kind } = entry;
  if (kind === "hashedrekord") return encodeUtf8(hashedRekordText(entry));
  const apiVersion = kind === "intoto" ? entry.version : "0.0.1";
  return encodeUtf8(canonicalize({ apiVersion, kind, spec: specOf(entry) }));
}

function specOf(entry: Exclude<AdmittedEntry, HashedRekord>): JsonValue {
  switch (entry.kind) {
    case "dsse":
      return dsseSpec(entry);
    case "intoto":
      return entry.version === "0.0.1" ? intoto1Spec(entry) : intoto2Spec(entry);
    case "rekord":
      return rekordSpec(entry);
  }
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
    signature: content(signature, "content"),
    verifier: parseVerifier(content(child(signature, "publicKey"), "content")),
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
      return parseVerifier(content({ verifier }, "verifier"));
    }),
  };
}

/** Written out, because nearly all entries are of this kind: the members in their order, and values that need no escaping. */
function hashedRekordText({ hashAlgorithm, digest, signature, verifier }: HashedRekord): string {
  return (
    `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"${hashAlgorithm}","value":"${encodeHex(digest)}"}},` +
    `"signature":{"content":"${encodeBase64(signature)}","publicKey":{"content":"${formatVerifier(verifier)}"}}}}`
  );
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

function refuseUrls(value: JsonValue): void {
  if (value === null || typeof value !== "object") return;
  if (Object.hasOwn(value, "url")) {
    throw new Malformed("rekor: a url is not accepted: send the content itself");
  }
  for (const member of Object.values(value)) refuseUrls(member);
}

function isEntryHash(name: string): name is EntryHash {
  return Object.hasOwn(digestLengths, name);
}
