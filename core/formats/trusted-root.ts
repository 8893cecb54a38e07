/**
 * Trusted roots: whom a verifier believes. sigstore protobuf-specs 0.5.2, `trusted_root.json` in its media type version 0.1.
 * No `operator` and no `checkpointKeyId` is written: deployed clients refuse them as unknown fields.
 */
import { encodeBase64 } from "./encoding.ts";
import { parseJson } from "./json.ts";
import { Malformed } from "./malformed.ts";
import type { Field } from "./protojson.ts";
import {
  formatTimestamp,
  readBytes,
  readList,
  readMembers,
  readOptionalText,
  readText,
  readTimestamp,
} from "./protojson.ts";

/** The media type every client accepts; others are refused. */
const trustedRootMediaType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

/** A name of protobuf-specs' PublicKeyDetails for a log's key, by its kind (`core/crypto/keys.ts`). */
export function logKeyDetails(algorithm: string): string {
  switch (algorithm) {
    case "ecdsa-p256":
      return "PKIX_ECDSA_P256_SHA_256";
    case "ed25519":
      return "PKIX_ED25519";
  }
  throw new Malformed(`trusted root: a log's key is of P-256 or Ed25519, not ${algorithm}`);
}

/** When something was in use. Both ends belong to it; no end means it still is. */
export interface ValidFor {
  readonly start: Date;
  readonly end: Date | null;
}

/** A transparency log or certificate transparency log. */
export interface TrustedLog {
  readonly baseUrl: string;
  /** SPKI, DER. */
  readonly publicKey: Uint8Array;
  /** A name of protobuf-specs' PublicKeyDetails, such as `PKIX_ECDSA_P256_SHA_256`. */
  readonly keyDetails: string;
  readonly validFor: ValidFor;
  /** 32 bytes; for ECDSA keys SHA-256 of the SPKI. */
  readonly logId: Uint8Array;
}

/** A certificate authority, or a timestamp authority. */
export interface TrustedAuthority {
  /** May be empty. */
  readonly organization: string;
  readonly commonName: string;
  readonly uri: string;
  /** DER, from the issuing certificate (of a timestamp authority: its own) to the root. Not empty. */
  readonly certificates: readonly Uint8Array[];
  readonly validFor: ValidFor;
}

/** Whom a verifier believes. */
export interface TrustedRoot {
  readonly tlogs: readonly TrustedLog[];
  readonly certificateAuthorities: readonly TrustedAuthority[];
  readonly ctlogs: readonly TrustedLog[];
  readonly timestampAuthorities: readonly TrustedAuthority[];
}

/** The file's text, indented, with a final newline. Empty lists are left out. */
export function formatTrustedRoot(root: TrustedRoot): string {
  const json = {
    mediaType: trustedRootMediaType,
    ...section("tlogs", root.tlogs.map(logJson)),
    ...section("certificateAuthorities", root.certificateAuthorities.map(authorityJson)),
    ...section("ctlogs", root.ctlogs.map(logJson)),
    ...section("timestampAuthorities", root.timestampAuthorities.map(authorityJson)),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/**
 * Parses a trusted root, whoever made it. Keys and certificates are left as bytes: one of a kind we do not know must not make the others
 * useless.
 *
 * @throws {Malformed} on another media type, unknown fields, a validity without start, or bytes that are not base64.
 */
export function parseTrustedRoot(text: string): TrustedRoot {
  const root = readMembers(parseJson(text), "trusted root", [
    "mediaType",
    "tlogs",
    "certificateAuthorities",
    "ctlogs",
    "timestampAuthorities",
  ]);
  if (root.mediaType !== trustedRootMediaType) throw new Malformed("trusted root: media type");
  return {
    tlogs: listOf(root.tlogs, "tlogs", parseLog),
    certificateAuthorities: listOf(
      root.certificateAuthorities,
      "certificateAuthorities",
      parseAuthority,
    ),
    ctlogs: listOf(root.ctlogs, "ctlogs", parseLog),
    timestampAuthorities: listOf(root.timestampAuthorities, "timestampAuthorities", parseAuthority),
  };
}

/** True from `start` to `end`, both included. */
export function covers({ start, end }: ValidFor, time: Date): boolean {
  return start <= time && (end === null || time <= end);
}

const maxInstances = 256;
const maxChain = 16;
const hashBytes = 32;

function section(name: string, items: readonly object[]): object {
  return items.length === 0 ? {} : { [name]: items };
}

function logJson({ baseUrl, publicKey, keyDetails, validFor, logId }: TrustedLog): object {
  return {
    baseUrl,
    hashAlgorithm: "SHA2_256",
    publicKey: { rawBytes: encodeBase64(publicKey), keyDetails, validFor: validForJson(validFor) },
    logId: { keyId: encodeBase64(logId) },
  };
}

function authorityJson(authority: TrustedAuthority): object {
  const { organization, commonName, uri, certificates, validFor } = authority;
  return {
    subject: {
      ...(organization === "" ? {} : { organization }),
      ...(commonName === "" ? {} : { commonName }),
    },
    uri,
    certChain: { certificates: certificates.map((der) => ({ rawBytes: encodeBase64(der) })) },
    validFor: validForJson(validFor),
  };
}

function validForJson({ start, end }: ValidFor): object {
  return { start: formatTimestamp(start), ...(end === null ? {} : { end: formatTimestamp(end) }) };
}

function listOf<T>(value: Field, name: string, parse: (item: Field, where: string) => T): T[] {
  const items = readList(value, `trusted root: ${name}`, maxInstances);
  return items.map((item, index) => parse(item, `trusted root: ${name}[${index}]`));
}

function parseLog(value: Field, where: string): TrustedLog {
  const log = readMembers(value, where, ["baseUrl", "hashAlgorithm", "publicKey", "logId"]);
  if (log.hashAlgorithm !== "SHA2_256") throw new Malformed(`${where}: hash algorithm`);
  const key = readMembers(log.publicKey, `${where}.publicKey`, [
    "rawBytes",
    "keyDetails",
    "validFor",
  ]);
  const { keyId } = readMembers(log.logId, `${where}.logId`, ["keyId"]);
  const logId = readBytes(keyId, `${where}.logId`);
  if (logId.length !== hashBytes) throw new Malformed(`${where}.logId: expected 32 bytes`);
  return {
    baseUrl: readText(log.baseUrl, `${where}.baseUrl`),
    publicKey: readBytes(key.rawBytes, `${where}.publicKey`),
    keyDetails: readText(key.keyDetails, `${where}.publicKey.keyDetails`),
    validFor: parseValidFor(key.validFor, `${where}.publicKey.validFor`),
    logId,
  };
}

function parseAuthority(value: Field, where: string): TrustedAuthority {
  const authority = readMembers(value, where, ["subject", "uri", "certChain", "validFor"]);
  const subject = readMembers(authority.subject ?? {}, `${where}.subject`, [
    "organization",
    "commonName",
  ]);
  const chain = readMembers(authority.certChain, `${where}.certChain`, ["certificates"]);
  const certificates = readList(chain.certificates, `${where}.certChain`, maxChain).map((item) =>
    readBytes(readMembers(item, `${where}.certChain`, ["rawBytes"]).rawBytes, `${where}.certChain`),
  );
  if (certificates.length === 0) throw new Malformed(`${where}.certChain: no certificate`);
  return {
    organization: readOptionalText(subject.organization, `${where}.subject`),
    commonName: readOptionalText(subject.commonName, `${where}.subject`),
    uri: readOptionalText(authority.uri, `${where}.uri`),
    certificates,
    validFor: parseValidFor(authority.validFor, `${where}.validFor`),
  };
}

function parseValidFor(value: Field, where: string): ValidFor {
  const { start, end } = readMembers(value, where, ["start", "end"]);
  const from = readTimestamp(start, `${where}.start`);
  const to = end === undefined ? null : readTimestamp(end, `${where}.end`);
  return { start: from, end: to };
}
