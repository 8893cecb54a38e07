/**
 * Rekor v2 entries (sigstore protobuf-specs 0.5.2, `rekor/v2/entry.proto`; rekor-tiles 2.3): what a client asks to log, and the
 * canonical body, version 0.0.2, that becomes the leaf.
 */
import { type Envelope } from "./dsse.ts";
import { decodeUtf8, encodeBase64, encodeUtf8 } from "./encoding.ts";
import { canonicalize } from "./jcs.ts";
import { type JsonValue, parseJson } from "./json.ts";
import { Malformed } from "./malformed.ts";
import {
  type Field,
  readAnyBytes,
  readList,
  readMembers,
  readOptionalText,
  readText,
} from "./protojson.ts";

/** The version of every body here. */
export const rekorV2Version = "0.0.2";

/** Hash of a key's signatures, by protobuf-specs' PublicKeyDetails: those that rekor-tiles accepts, each for one kind of key. */
export const acceptedKeyDetails = {
  PKIX_ECDSA_P256_SHA_256: { number: 5, key: "ecdsa-p256", hash: "sha256" },
  PKIX_ED25519_PH: { number: 8, key: "ed25519", hash: "sha512" },
  PKIX_RSA_PKCS1V15_2048_SHA256: { number: 9, key: "rsa-2048", hash: "sha256" },
  PKIX_RSA_PKCS1V15_3072_SHA256: { number: 10, key: "rsa-3072", hash: "sha256" },
  PKIX_RSA_PKCS1V15_4096_SHA256: { number: 11, key: "rsa-4096", hash: "sha256" },
  PKIX_ECDSA_P384_SHA_384: { number: 12, key: "ecdsa-p384", hash: "sha384" },
  PKIX_ECDSA_P521_SHA_512: { number: 13, key: "ecdsa-p521", hash: "sha512" },
} as const;

/** A name of PublicKeyDetails that is accepted. */
export type KeyDetails = keyof typeof acceptedKeyDetails;

/**
 * The details under which a log's own note is logged. Ed25519 keys sign notes as they are (c2sp.org/signed-note), not prehashed; nobody's
 * request may say so, because from a digest alone such a signature cannot be verified. Whoever has the note can.
 */
export function signedNoteKeyDetails(algorithm: string): KeyDetails | "PKIX_ED25519" | undefined {
  return algorithm === "ed25519" ? "PKIX_ED25519" : keyDetailsOf(algorithm);
}

/** The details a kind of key is logged under; undefined for a kind that no version 0.0.2 entry has. */
export function keyDetailsOf(algorithm: string): KeyDetails | undefined {
  return keyDetails.find((name) => acceptedKeyDetails[name].key === algorithm);
}

/** What verifies a signature. */
export interface VerifierV2 {
  readonly kind: "x509Certificate" | "publicKey";
  /** DER, as it was sent. */
  readonly rawBytes: Uint8Array;
  readonly keyDetails: KeyDetails;
}

/** A signature over a digest. */
export interface HashedRekordV2 {
  readonly kind: "hashedrekord";
  readonly digest: Uint8Array;
  readonly signature: Uint8Array;
  readonly verifier: VerifierV2;
}

/** A note that a log has signed itself, by the SHA-256 of its text. */
export interface SignedNoteV2 {
  readonly kind: "hashedrekord";
  readonly digest: Uint8Array;
  readonly signature: Uint8Array;
  readonly verifier: Omit<VerifierV2, "keyDetails"> & {
    readonly keyDetails: KeyDetails | "PKIX_ED25519";
  };
}

/** An envelope and who is said to have signed it: the request that newer clients do not send any more. */
export interface DsseV2 {
  readonly kind: "dsse";
  readonly envelope: Envelope;
  readonly verifiers: readonly VerifierV2[];
}

/** A `dsse` body of version 0.0.2, for verifiers from before 2026-06. */
export interface DsseBodyV2 {
  readonly kind: "dsse";
  readonly payloadHash: Uint8Array;
  readonly signatures: readonly { readonly content: Uint8Array; readonly verifier: VerifierV2 }[];
}

/** The key details are of no kind that is accepted here, or none are given. */
export class UnsupportedKeyDetails extends Error {
  override readonly name = "UnsupportedKeyDetails";
}

/** Most signatures, and most verifiers, of one envelope: each pair may cost a verification. */
const maxSignatures = 8;
const names = { sha256: "SHA2_256", sha384: "SHA2_384", sha512: "SHA2_512" } as const;

/**
 * Reads a CreateEntryRequest: exactly one of the two requests, members in lowerCamelCase or as the proto file spells them.
 *
 * @throws {Malformed} also on unknown members.
 * @throws {UnsupportedKeyDetails}
 */
export function parseCreateEntryRequest(bytes: Uint8Array): HashedRekordV2 | DsseV2 {
  const request = members(parseJson(decodeUtf8(bytes)), "request", [
    "hashedRekordRequestV002",
    "dsseRequestV002",
  ]);
  const { hashedRekordRequestV002: hashedRekord, dsseRequestV002: dsse } = request;
  if ((hashedRekord === undefined) === (dsse === undefined)) {
    throw new Malformed(
      "rekor v2: expected exactly one of hashedRekordRequestV002, dsseRequestV002",
    );
  }
  return dsse === undefined ? parseHashedRekord(hashedRekord) : parseDsse(dsse);
}

/** The canonical body: RFC 8785 JSON. */
export function canonicalBodyV2(entry: SignedNoteV2 | DsseBodyV2): Uint8Array {
  if (entry.kind === "hashedrekord") return encodeUtf8(hashedRekordText(entry));
  const { kind, payloadHash, signatures } = entry;
  const spec: JsonValue = {
    dsseV002: {
      payloadHash: { algorithm: names.sha256, digest: encodeBase64(payloadHash) },
      signatures: signatures.map(signatureJson),
    },
  };
  return encodeUtf8(canonicalize({ apiVersion: rekorV2Version, kind, spec }));
}

const keyDetails = Object.keys(acceptedKeyDetails) as readonly KeyDetails[]; // keys of a const object are its key type

/** Written out, because nearly all entries are of this kind: the members in their order, and values that need no escaping. */
function hashedRekordText({ digest, signature, verifier }: SignedNoteV2): string {
  const { kind, rawBytes, keyDetails: details } = verifier;
  const algorithm = names[details === "PKIX_ED25519" ? "sha256" : acceptedKeyDetails[details].hash];
  return (
    `{"apiVersion":"${rekorV2Version}","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"${algorithm}",` +
    `"digest":"${encodeBase64(digest)}"},"signature":{"content":"${encodeBase64(signature)}","verifier":{"keyDetails":"${details}",` +
    `"${kind}":{"rawBytes":"${encodeBase64(rawBytes)}"}}}}}}`
  );
}

function signatureJson(signature: {
  readonly content: Uint8Array;
  readonly verifier: VerifierV2;
}): JsonValue {
  const { kind, rawBytes, keyDetails: details } = signature.verifier;
  return {
    content: encodeBase64(signature.content),
    verifier: { keyDetails: details, [kind]: { rawBytes: encodeBase64(rawBytes) } },
  };
}

function parseHashedRekord(value: Field): HashedRekordV2 {
  const where = "hashedRekordRequestV002";
  const { digest, signature } = members(value, where, ["digest", "signature"]);
  const { content, verifier } = members(signature, `${where}.signature`, ["content", "verifier"]);
  return {
    kind: "hashedrekord",
    digest: readAnyBytes(digest, `${where}.digest`),
    signature: readAnyBytes(content, `${where}.signature.content`),
    verifier: parseVerifier(verifier, `${where}.signature.verifier`),
  };
}

function parseDsse(value: Field): DsseV2 {
  const where = "dsseRequestV002";
  const { envelope, verifiers } = members(value, where, ["envelope", "verifiers"]);
  const parts = members(envelope, `${where}.envelope`, ["payload", "payloadType", "signatures"]);
  const signatures = readList(parts.signatures, `${where}.signatures`, maxSignatures);
  const list = readList(verifiers, `${where}.verifiers`, maxSignatures);
  if (signatures.length === 0 || list.length === 0) {
    throw new Malformed(`${where}: expected at least one signature and one verifier`);
  }
  return {
    kind: "dsse",
    envelope: {
      payload: readAnyBytes(parts.payload, `${where}.payload`),
      payloadType: readText(parts.payloadType, `${where}.payloadType`),
      signatures: signatures.map((item) => {
        const { sig, keyid } = members(item, `${where}.signatures`, ["sig", "keyid"]);
        readOptionalText(keyid, `${where}.signatures.keyid`);
        return { signature: readAnyBytes(sig, `${where}.signatures.sig`) };
      }),
    },
    verifiers: list.map((item) => parseVerifier(item, `${where}.verifiers`)),
  };
}

function parseVerifier(value: Field, where: string): VerifierV2 {
  const verifier = members(value, where, ["x509Certificate", "publicKey", "keyDetails"]);
  const { x509Certificate: certificate, publicKey } = verifier;
  if ((certificate === undefined) === (publicKey === undefined)) {
    throw new Malformed(`rekor v2: ${where}: expected exactly one of x509Certificate, publicKey`);
  }
  const kind = certificate === undefined ? "publicKey" : "x509Certificate";
  const { rawBytes } = members(certificate ?? publicKey, `${where}.${kind}`, ["rawBytes"]);
  return {
    kind,
    rawBytes: readAnyBytes(rawBytes, `${where}.${kind}.rawBytes`),
    keyDetails: parseKeyDetails(verifier.keyDetails),
  };
}

/** An enum's value is its name or its number. */
function parseKeyDetails(value: Field): KeyDetails {
  const found = keyDetails.find(
    (name) => name === value || acceptedKeyDetails[name].number === value,
  );
  if (found === undefined) {
    throw new UnsupportedKeyDetails(`expected one of ${keyDetails.join(", ")}`);
  }
  return found;
}

/** Members in lowerCamelCase or in the proto file's snake_case; one member in both spellings is there twice. */
function members<const Names extends readonly string[]>(
  value: Field,
  where: string,
  wanted: Names,
): Readonly<Record<Names[number], Field>> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Malformed(`rekor v2: ${where}: expected an object`);
  }
  // The common spelling needs no other names.
  if (Object.keys(value).every((name) => wanted.includes(name))) {
    return readMembers(value, `rekor v2: ${where}`, wanted);
  }
  const renamed: Record<string, JsonValue> = {};
  for (const [name, member] of Object.entries(value)) {
    const camel = wanted.includes(name) || !name.includes("_") ? name : camelOf(name, wanted);
    if (Object.hasOwn(renamed, camel)) throw new Malformed(`rekor v2: ${where}: ${camel} twice`);
    renamed[camel] = member;
  }
  return readMembers(renamed, `rekor v2: ${where}`, wanted);
}

function camelOf(name: string, wanted: readonly string[]): string {
  return wanted.find((one) => protoName(one) === name) ?? name;
}

/** The name in the proto file: `hashedRekordRequestV002` is `hashed_rekord_request_v002`. */
function protoName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
