/**
 * What an entry says, as far as it can be read: which artifact, which signer, which names. Entries come from anybody, so whatever cannot
 * be read is left out, and the rest is told.
 */
import { decodeBase64, decodeUtf8, encodeHex } from "../../core/formats/encoding.ts";
import { sha256 } from "../../core/crypto/hash.ts";
import { DerCursor } from "../../core/formats/der-cursor.ts";
import * as der from "../../core/formats/der.ts";
import { fulcioArc, readFulcioExtension } from "../../core/formats/fulcio-oids.ts";
import { readSubjects } from "../../core/formats/in-toto-subjects.ts";
import {
  type HashedRekordText,
  readHashedRekordText,
} from "../../core/formats/hashed-rekord-text.ts";
import { type JsonValue, parseJson } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { parsePemBlocks } from "../../core/formats/pem.ts";
import { storedKeySpki } from "../../core/formats/rekor-rekord.ts";
import { parseMerkleTreeLeaf } from "../../core/formats/sct.ts";
import {
  extensionOids,
  findExtension,
  parseCertificate,
  parseTbs,
  readSubjectAltNames,
  type TbsCertificate,
} from "../../core/formats/x509.ts";

/** A name in a certificate. */
export interface Name {
  readonly kind: "email" | "uri" | "otherName" | "dns" | "ip";
  readonly value: string;
}

/** Who verifies an entry, or the subject of a certificate. Hashes are lower-case hex. */
export interface Signer {
  readonly key?: string;
  readonly certificate?: string;
  readonly sans: readonly Name[];
  readonly extensions: Readonly<{ [arc: string]: string }>;
}

/** A digest in an entry. */
export interface Digest {
  readonly of: "artifact" | "envelope" | "payload" | "subject";
  readonly algorithm: string;
  /** Lower-case hex. */
  readonly value: string;
}

/** An entry. */
export interface Described {
  /** Kind and version of a Rekor entry; `certificate`, `precertificate`; or `unreadable`. */
  readonly kind: string;
  readonly digests: readonly Digest[];
  readonly signers: readonly Signer[];
}

/** Most names of one entry that are looked at: a certificate may hold tens of thousands. */
export const maxNames = 100;
/** Most signers and digests that are looked at. */
const maxSigners = 16;
/** First byte of a Rekor body, which is JSON; a MerkleTreeLeaf begins with its version, 0. */
const brace = 0x7b;

/** Reads a log's entry; `subjects` is from {@link subjectsBeside}. */
export function describeEntry(
  entry: Uint8Array,
  subjects: Uint8Array = new Uint8Array(),
): Described {
  const described = readable(() =>
    entry[0] === brace ? describeBody(entry) : describeLeaf(entry),
  ) ?? { kind: "unreadable", digests: [], signers: [] };
  if (subjects.length === 0) return described;
  const attested = readSubjects(subjects).map((value): Digest => ({
    of: "subject",
    algorithm: "sha256",
    value,
  }));
  return { ...described, digests: [...described.digests, ...attested] };
}

/** What a log keeps beside an entry that is about subjects; not the chain beside a certificate. */
export function subjectsBeside(row: {
  readonly entry: Uint8Array;
  readonly extraData: Uint8Array;
}): Uint8Array {
  return row.entry[0] === brace ? row.extraData : new Uint8Array();
}

function describeLeaf(entry: Uint8Array): Described {
  const leaf = parseMerkleTreeLeaf(entry);
  if (leaf.kind === "certificate") {
    const signers = [certificateSigner(leaf.certificate)];
    return { kind: "certificate", digests: [], signers };
  }
  const signer = readable(() => subjectOf(parseTbs(leaf.tbs)));
  return { kind: "precertificate", digests: [], signers: signer === null ? [] : [signer] };
}

function describeBody(entry: Uint8Array): Described {
  const written = decodeUtf8(entry);
  const known = readHashedRekordText(written);
  if (known !== null) return describeHashedRekord(known);
  const body = parseJson(written);
  const spec = at(body, "spec");
  const v2 = at(spec, "hashedRekordV002") ?? at(spec, "dsseV002");
  return {
    kind: `${textAt(body, "kind") ?? "unknown"} ${textAt(body, "apiVersion") ?? "unknown"}`.slice(
      0,
      64,
    ),
    digests: (v2 === undefined ? digestsOf(spec) : digestsOfV2(v2)).slice(0, maxSigners),
    signers: (v2 === undefined ? signersOf(spec) : signersOfV2(v2)).slice(0, maxSigners),
  };
}

function describeHashedRekord(body: HashedRekordText): Described {
  const { version, kind, algorithm, verifier } = body;
  const hex = version === "0.0.1" ? body.digest : readable(() => hexOf(body.digest));
  const signer = readable(() =>
    kind === null ? signerInPem(verifier) : signerInDer(kind, decodeBase64(verifier)),
  );
  return {
    kind: `hashedrekord ${version}`,
    digests: digestMember("artifact", algorithm.replace("SHA2_", "sha"), hex ?? ""),
    signers: signer === null ? [] : [signer],
  };
}

function hexOf(base64: string): string {
  return encodeHex(decodeBase64(base64));
}

function signerInDer(kind: "x509Certificate" | "publicKey", bytes: Uint8Array): Signer {
  return kind === "publicKey" ? keySigner(bytes) : certificateSigner(bytes);
}

/** hashedrekord and rekord have `data`, dsse its hashes itself, intoto in `content`. */
function digestsOf(spec: JsonValue | undefined): Digest[] {
  const content = at(spec, "content");
  return [
    ...hashMember("artifact", at(spec, "data", "hash")),
    ...hashMember("envelope", at(spec, "envelopeHash") ?? at(content, "hash")),
    ...hashMember("payload", at(spec, "payloadHash") ?? at(content, "payloadHash")),
  ];
}

function hashMember(of: Digest["of"], member: JsonValue | undefined): Digest[] {
  const algorithm = textAt(member, "algorithm");
  const value = textAt(member, "value");
  if (algorithm === undefined || value === undefined) return [];
  return digestMember(of, algorithm, value);
}

function digestMember(of: Digest["of"], algorithm: string, value: string): Digest[] {
  if (!/^(?:[0-9a-fA-F]{2}){1,64}$/.test(value)) return [];
  return [{ of, algorithm: algorithm.toLowerCase().slice(0, 16), value: value.toLowerCase() }];
}

function digestsOfV2(spec: JsonValue): Digest[] {
  const data = at(spec, "data");
  const [of, member] =
    data === undefined
      ? (["payload", at(spec, "payloadHash")] as const)
      : (["artifact", data] as const);
  const bytes = bytesAt(member, "digest");
  if (bytes === null || bytes.length > 64) return [];
  // `HashAlgorithm` of protobuf-specs: SHA2_256 and so on.
  const algorithm = (textAt(member, "algorithm") ?? "").replace("SHA2_", "sha").toLowerCase();
  return [{ of, algorithm: algorithm.slice(0, 16), value: encodeHex(bytes) }];
}

/** dsse names each verifier beside its signature, so does intoto 0.0.2 in its envelope; the others have one key. */
function signersOf(spec: JsonValue | undefined): Signer[] {
  const pems = [
    at(spec, "signature", "publicKey", "content"),
    at(spec, "publicKey"),
    ...listAt(spec, "signatures").map((one) => at(one, "verifier")),
    ...listAt(at(spec, "content", "envelope"), "signatures").map((one) => at(one, "publicKey")),
  ];
  return pems.flatMap((pem) => {
    const signer = typeof pem === "string" ? readable(() => signerInPem(pem)) : null;
    return signer === null ? [] : [signer];
  });
}

function signersOfV2(spec: JsonValue): Signer[] {
  const signatures = [at(spec, "signature"), ...listAt(spec, "signatures")];
  return signatures.flatMap((signature) => {
    const verifier = at(signature, "verifier");
    const certificate = bytesAt(at(verifier, "x509Certificate"), "rawBytes");
    if (certificate !== null) return [certificateSigner(certificate)];
    const key = bytesAt(at(verifier, "publicKey"), "rawBytes");
    return key === null ? [] : [keySigner(key)];
  });
}

function signerInPem(base64: string): Signer {
  const text = decodeUtf8(decodeBase64(base64));
  const [block] = text.startsWith("-----") ? parsePemBlocks(text) : [];
  if (block === undefined) return keySigner(storedKeySpki(text));
  return block.label === "CERTIFICATE" ? certificateSigner(block.der) : keySigner(block.der);
}

function keySigner(spki: Uint8Array): Signer {
  return { key: encodeHex(sha256(spki)), sans: [], extensions: {} };
}

/** Rekor takes certificates that we would not make. */
function certificateSigner(bytes: Uint8Array): Signer {
  const certificate = encodeHex(sha256(bytes));
  const subject = readable(() => subjectOf(parseCertificate(bytes)));
  return { certificate, ...(subject ?? { sans: [], extensions: {} }) };
}

function subjectOf(certificate: TbsCertificate): Signer {
  return {
    key: encodeHex(sha256(certificate.publicKey)),
    sans: namesIn(certificate),
    extensions: extensionsIn(certificate),
  };
}

function namesIn(certificate: TbsCertificate): readonly Name[] {
  const extension = findExtension(certificate, extensionOids.subjectAltName);
  if (extension === undefined) return [];
  const names = readable(() => readSubjectAltNames(extension));
  // Most certificates have one name, and it was read.
  if (names?.length === 1 && isOnlyName(extension.value)) {
    return names.filter(({ value }) => value !== "");
  }
  const others = readable(() => der.readDer(extension.value).children()) ?? [];
  return [...(names ?? []), ...others.flatMap((name) => readable(() => hostName(name)) ?? [])]
    .filter(({ value }) => value !== "")
    .slice(0, maxNames);
}

/** True if the names, which are DER, are one. */
function isOnlyName(names: Uint8Array): boolean {
  const list = new DerCursor(names);
  list.take("names");
  list.enter("names");
  list.take("name");
  return list.isDone;
}

/** dNSName and iPAddress (RFC 5280 §4.2.1.6), which no identity here has. */
function hostName(name: der.DerElement): Name[] {
  if (name.tag === 0x82) return [{ kind: "dns", value: der.readAscii(name) }];
  if (name.tag !== 0x87) return [];
  const bytes = [...name.content];
  if (bytes.length === 4) return [{ kind: "ip", value: bytes.join(".") }];
  const groups = encodeHex(name.content).match(/.{4}/g) ?? [];
  return [{ kind: "ip", value: groups.join(":") }];
}

/** One by one, so that a broken one hides no other. */
function extensionsIn(certificate: TbsCertificate): Signer["extensions"] {
  const values: { [arc: string]: string } = {};
  for (const extension of certificate.extensions) {
    if (!extension.oid.startsWith(fulcioPrefix)) continue;
    const read = readable(() => readFulcioExtension(extension));
    if (read !== null && read.value !== "") values[read.arc] ??= read.value;
  }
  return values;
}

const fulcioPrefix = `${fulcioArc}.`;

function at(value: JsonValue | undefined, ...path: readonly string[]): JsonValue | undefined {
  let here = value;
  for (const name of path) {
    if (here === null || typeof here !== "object" || Array.isArray(here)) return undefined;
    const members = here as { readonly [name: string]: JsonValue }; // neither null nor an array
    here = Object.hasOwn(members, name) ? members[name] : undefined;
  }
  return here;
}

function textAt(value: JsonValue | undefined, name: string): string | undefined {
  const found = at(value, name);
  return typeof found === "string" ? found : undefined;
}

function listAt(value: JsonValue | undefined, name: string): readonly JsonValue[] {
  const found = at(value, name);
  return Array.isArray(found) ? found.slice(0, maxSigners) : [];
}

function bytesAt(value: JsonValue | undefined, name: string): Uint8Array | null {
  const text = textAt(value, name);
  return text === undefined ? null : readable(() => decodeBase64(text));
}

/** Null if it cannot be read. */
function readable<T>(read: () => T): T | null {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return null;
  }
}
