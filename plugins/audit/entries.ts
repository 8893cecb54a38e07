/** What a log's entry says, for the trail: which certificate, which artifact, which signer. Entries come from anybody. */
import { hash } from "node:crypto";
import * as v from "valibot";
import { decodeBase64, decodeUtf8, encodeHex } from "../../core/formats/encoding.ts";
import { fulcioArcs, readFulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import {
  type HashedRekordText,
  readHashedRekordText,
} from "../../core/formats/hashed-rekord-text.ts";
import { parseJson } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { parsePemBlocks } from "../../core/formats/pem.ts";
import { storedKeySpki } from "../../core/formats/rekor-rekord.ts";
import { parseMerkleTreeLeaf } from "../../core/formats/sct.ts";
import {
  type Certificate,
  extensionOids,
  findExtension,
  parseCertificate,
  parseTbs,
  readBasicConstraints,
  readSubjectAltNames,
  type TbsCertificate,
} from "../../core/formats/x509.ts";
import type { AnswerOf } from "../../events/contract.ts";
import type { readEntries } from "../../events/log.ts";
import type { BodyOf } from "./record.ts";

type Stored = AnswerOf<typeof readEntries>["entries"][number];
type Signer = BodyOf<"signature-entry">["signers"][number];
type Digest = BodyOf<"signature-entry">["digests"][number];
type Source = BodyOf<"issued">["source"];

/** First byte of a Rekor body, which is JSON; a MerkleTreeLeaf begins with its version, 0. */
const brace = 0x7b;

/** The record of an entry. One that cannot be read is recorded too, as such. */
export function recordEntry(
  log: string,
  { index: number, entry, integratedAtMs }: Stored,
  source: Source,
): BodyOf<"certificate-entry"> | BodyOf<"signature-entry"> {
  const at = new Date(Number(integratedAtMs)).toISOString();
  const [index, hashed] = [String(number), encodeHex(leafHash(entry))];
  const leaf = entry[0] === brace ? null : readLeaf(entry);
  // Members in the order in which a record has them: what is in order need not be put in order.
  if (leaf === null) {
    const { digests, signers, type } = entry[0] === brace ? readBody(entry) : unreadable;
    const kind = "signature-entry";
    return { at, digests, index, kind, leafHash: hashed, log, signers, source, type };
  }
  const { contentSha256, isAuthority, of, serial } = leaf;
  const kind = "certificate-entry";
  return { at, contentSha256, index, isAuthority, kind, leafHash: hashed, log, of, serial, source };
}

/** Null if it cannot be read: the trail goes on. */
function readLeaf(leaf: Uint8Array) {
  try {
    return readCertificate(leaf);
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return null;
  }
}

function readCertificate(leaf: Uint8Array) {
  const entry = parseMerkleTreeLeaf(leaf);
  if (entry.kind === "precertificate") {
    return describe("precertificate", parseTbs(entry.tbs), entry.tbs);
  }
  return describe("certificate", parseCertificate(entry.certificate), entry.certificate);
}

function describe(
  of: BodyOf<"certificate-entry">["of"],
  certificate: TbsCertificate,
  content: Uint8Array,
) {
  const isAuthority = readBasicConstraints(certificate).isCa;
  const serial = encodeHex(certificate.serial);
  return { of, isAuthority, serial, contentSha256: sha256(content) };
}

const text = v.optional(v.string());
const verifierV2 = v.optional(
  v.object({
    x509Certificate: v.optional(v.object({ rawBytes: v.string() })),
    publicKey: v.optional(v.object({ rawBytes: v.string() })),
  }),
);
const digestV2 = v.optional(v.object({ digest: v.string() }));
const rekorBody = v.object({
  kind: v.string(),
  apiVersion: v.string(),
  spec: v.object({
    // hashedrekord 0.0.1
    data: v.optional(
      v.object({ hash: v.optional(v.object({ algorithm: v.string(), value: v.string() })) }),
    ),
    signature: v.optional(v.object({ publicKey: v.optional(v.object({ content: text })) })),
    // dsse 0.0.1
    envelopeHash: v.optional(v.object({ algorithm: v.string(), value: v.string() })),
    payloadHash: v.optional(v.object({ algorithm: v.string(), value: v.string() })),
    signatures: v.optional(v.array(v.object({ verifier: text }))),
    // Rekor v2
    hashedRekordV002: v.optional(
      v.object({
        data: v.optional(v.object({ algorithm: text, digest: v.string() })),
        signature: v.optional(v.object({ verifier: verifierV2 })),
      }),
    ),
    dsseV002: v.optional(
      v.object({
        payloadHash: digestV2,
        signatures: v.optional(v.array(v.object({ verifier: verifierV2 }))),
      }),
    ),
  }),
});

type Body = v.InferOutput<typeof rekorBody>;

function readBody(bytes: Uint8Array) {
  try {
    const written = decodeUtf8(bytes);
    const known = readHashedRekordText(written);
    if (known !== null) return readHashedRekord(known);
    const read = v.safeParse(rekorBody, parseJson(written));
    if (!read.success) return unreadable;
    const { kind, apiVersion, spec } = read.output;
    return { type: `${kind} ${apiVersion}`, digests: digestsOf(spec), signers: signersOf(spec) };
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return unreadable;
  }
}

/** What nearly all entries are. */
function readHashedRekord({ version, kind, algorithm, digest, verifier }: HashedRekordText) {
  const value = kind === null ? digest : hexOf(digest);
  const digests: Digest[] = [];
  // Hex of whole octets.
  if (value.length % 2 === 0) {
    digests.push({ algorithm: algorithm.replace("SHA2_", "sha"), of: "artifact", value });
  }
  const signer = kind === null ? signerInPem(verifier) : signerInDer(kind, decodeBase64(verifier));
  return { type: `hashedrekord ${version}`, digests, signers: [signer] };
}

function signerInDer(kind: "x509Certificate" | "publicKey", bytes: Uint8Array): Signer {
  return kind === "publicKey" ? keyOf(bytes) : signerOf(bytes);
}

const unreadable = { type: "unknown", digests: [], signers: [] };

function digestsOf({ data, envelopeHash, payloadHash, hashedRekordV002, dsseV002 }: Body["spec"]) {
  const digests: Digest[] = [];
  const add = (of: Digest["of"], algorithm: string, value: string | undefined): void => {
    if (value !== undefined && /^(?:[0-9a-fA-F]{2})+$/.test(value)) {
      digests.push({ algorithm: algorithm.toLowerCase(), of, value: value.toLowerCase() });
    }
  };
  add("artifact", data?.hash?.algorithm ?? "", data?.hash?.value);
  add("envelope", envelopeHash?.algorithm ?? "", envelopeHash?.value);
  add("payload", payloadHash?.algorithm ?? "", payloadHash?.value);
  const v2 = hashedRekordV002?.data;
  if (v2) add("artifact", v2.algorithm?.replace("SHA2_", "sha") ?? "", hexOf(v2.digest));
  const payload = dsseV002?.payloadHash;
  if (payload) add("payload", "sha256", hexOf(payload.digest));
  return digests;
}

function hexOf(base64: string): string {
  return encodeHex(decodeBase64(base64));
}

function signersOf({ signature, signatures, hashedRekordV002, dsseV002 }: Body["spec"]) {
  const pems = [signature?.publicKey?.content, ...(signatures ?? []).map((one) => one.verifier)];
  const raws = [
    hashedRekordV002?.signature?.verifier,
    ...(dsseV002?.signatures ?? []).map((one) => one.verifier),
  ];
  return [
    ...pems.flatMap((pem) => (pem === undefined ? [] : [signerInPem(pem)])),
    ...raws.flatMap((raw) => {
      if (raw?.x509Certificate) return [signerOf(decodeBase64(raw.x509Certificate.rawBytes))];
      return raw?.publicKey ? [keyOf(decodeBase64(raw.publicKey.rawBytes))] : [];
    }),
  ];
}

function signerInPem(base64: string): Signer {
  const stored = decodeUtf8(decodeBase64(base64));
  const [block] = stored.startsWith("-----") ? parsePemBlocks(stored) : [];
  if (block === undefined) return keyIn(stored);
  return block.label === "CERTIFICATE" ? signerOf(block.der) : keyOf(block.der);
}

/** Of a rekord that is not signed by X.509's forms. */
function keyIn(stored: string): Signer {
  try {
    return keyOf(storedKeySpki(stored));
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return {};
  }
}

function keyOf(spki: Uint8Array): Signer {
  return { publicKeySha256: sha256(spki) };
}

function signerOf(der: Uint8Array): Signer {
  const fingerprint = sha256(der);
  try {
    const certificate = parseCertificate(der);
    const { san, oidcIssuer } = nameIn(certificate);
    return {
      fingerprint,
      ...(oidcIssuer !== undefined && { oidcIssuer }),
      publicKeySha256: sha256(certificate.publicKey),
      ...(san !== undefined && { san }),
      serial: encodeHex(certificate.serial),
    };
  } catch (thrown) {
    // Rekor takes certificates that we would not make.
    if (!(thrown instanceof Malformed)) throw thrown;
    return { fingerprint };
  }
}

/** The one name in a certificate and its issuer, as far as they can be read. */
function nameIn(certificate: Certificate) {
  const names = findExtension(certificate, extensionOids.subjectAltName);
  const san = names && readSubjectAltNames(names)[0]?.value;
  const extensions = readFulcioExtensions(certificate);
  const oidcIssuer = extensions[fulcioArcs.issuerV2] ?? extensions[fulcioArcs.issuer];
  return { san: recordable(san), oidcIssuer: recordable(oidcIssuer) };
}

/** A text that a record may hold: one with what I-JSON does not have (RFC 7493 §2.1), which a certificate of anybody's may, could not be read again. */
function recordable(name: string | undefined): string | undefined {
  return name === undefined || /\p{Noncharacter_Code_Point}/u.test(name) ? undefined : name;
}

function sha256(bytes: Uint8Array): string {
  return hash("sha256", bytes, "hex");
}
