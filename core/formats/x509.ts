/**
 * X.509 certificates, version 3 (RFC 5280). Parsing keeps the bytes of everything that is signed or compared; what an extension
 * means is decided by whoever reads it.
 */
import * as der from "./der.ts";
import { DerCursor } from "./der-cursor.ts";
import { digestOf } from "./digest.ts";
import { concat, encodeUtf8 } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import {
  algorithms,
  type Extension,
  extensionOids,
  extensionsTag,
  maxSerialOctets,
  type SignatureAlgorithm,
  type TbsCertificate,
  versionThree,
} from "./x509-tbs.ts";

export {
  type Extension,
  extensionOids,
  formatTbs,
  type SignatureAlgorithm,
  signatureOids,
  type TbsCertificate,
} from "./x509-tbs.ts";

/** A whole certificate and the parts that are signed, compared or hashed. */
export interface Certificate extends TbsCertificate {
  readonly der: Uint8Array;
  readonly tbs: Uint8Array;
  readonly signature: Uint8Array;
}

/** Key purposes (RFC 5280 §4.2.1.12). */
export const keyPurposes = {
  codeSigning: "1.3.6.1.5.5.7.3.3",
  timeStamping: "1.3.6.1.5.5.7.3.8",
  /** RFC 6962 §3.1: a certificate that signs precertificates. */
  precertificateSigning: "1.3.6.1.4.1.11129.2.4.4",
} as const;

/** The one subject alternative name of a leaf. */
export interface SubjectAltName {
  readonly kind: "email" | "uri" | "otherName";
  readonly value: string;
}

/** Fulcio's user name form of otherName. */
const userNameOid = "1.3.6.1.4.1.57264.1.7";

/** @throws {Malformed} unless `bytes` are one certificate in DER, inner and outer algorithm equal. */
export function parseCertificate(bytes: Uint8Array): Certificate {
  const at = new DerCursor(bytes);
  at.take("certificate");
  const outer = at.enter("certificate");
  at.take("tbsCertificate", der.tags.sequence);
  const tbs = at.encoded();
  const { fields, algorithm } = readTbs(at);
  at.take("signatureAlgorithm", der.tags.sequence);
  const isSame = at.is(algorithm);
  at.take("signature");
  const signature = at.bitString();
  at.leave(outer, "");
  if (!isSame) throw new Malformed("certificate: inner and outer signature algorithm differ");
  const { serial, issuer, subject, notBefore, notAfter, publicKey } = fields;
  const { signatureAlgorithm, extensions } = fields;
  return {
    serial,
    issuer,
    subject,
    notBefore,
    notAfter,
    publicKey,
    signatureAlgorithm,
    extensions,
    der: bytes,
    tbs,
    signature,
  };
}

/** @throws {Malformed} unless `bytes` are one TBSCertificate in DER. */
export function parseTbs(bytes: Uint8Array): TbsCertificate {
  const at = new DerCursor(bytes);
  at.take("tbsCertificate");
  return readTbs(at).fields;
}

/** A certificate from its signed part and its signature. */
export function formatCertificate(
  tbs: Uint8Array,
  algorithm: SignatureAlgorithm,
  signature: Uint8Array,
): Uint8Array {
  return der.sequence(tbs, algorithms[algorithm], der.bitString(signature));
}

/** A name of organisation and common name, each a UTF8String in an RDN of its own. */
export function formatName(name: {
  readonly commonName: string;
  readonly organization?: string;
}): Uint8Array {
  const attribute = (oid: string, value: string) =>
    der.setOf(der.sequence(der.oid(oid), der.utf8String(value)));
  const organization =
    name.organization === undefined ? [] : [attribute("2.5.4.10", name.organization)];
  return der.sequence(...organization, attribute("2.5.4.3", name.commonName));
}

/** The value of a subjectAltName extension with one name. @throws {Malformed} if an e-mail address or URI is not ASCII. */
export function subjectAltName(san: SubjectAltName): Uint8Array {
  switch (san.kind) {
    case "email":
      return der.sequence(der.implicit(1, der.ascii(san.value)));
    case "uri":
      return der.sequence(der.implicit(6, der.ascii(san.value)));
    case "otherName": {
      const value = der.explicit(0, der.tlv(der.tags.utf8String, encodeUtf8(san.value)));
      return der.sequence(der.implicit(0, concat(der.oid(userNameOid), value), true));
    }
  }
}

/** The names of a subjectAltName extension, those of other kinds left out. @throws {Malformed} if it is broken or empty. */
export function readSubjectAltNames(extension: Extension): readonly SubjectAltName[] {
  const names = der.expectTag(der.readDer(extension.value), der.tags.sequence, "names").children();
  if (names.length === 0) throw new Malformed("subjectAltName: empty");
  return names.flatMap((name): SubjectAltName[] => {
    if (name.tag === 0x81) return [{ kind: "email", value: der.readAscii(name) }];
    if (name.tag === 0x86) return [{ kind: "uri", value: der.readAscii(name) }];
    if (name.tag !== 0xa0) return [];
    const other = der.walk(name, "otherName", 0xa0);
    if (der.readOid(other.take("type")) !== userNameOid) return [];
    const value = der.walk(other.take("value", 0xa0), "otherName value", 0xa0);
    const text = der.readUtf8(value.take("text"));
    value.end();
    other.end();
    return [{ kind: "otherName", value: text }];
  });
}

/** SHA-1 of the key's BIT STRING (RFC 5280 §4.2.1.2, method 1). It identifies, it does not protect. */
export function keyIdentifier(spki: Uint8Array): Uint8Array {
  const at = new DerCursor(spki);
  at.take("public key");
  const outer = at.enter("public key");
  at.take("algorithm", der.tags.sequence);
  at.take("key");
  const bits = at.bitString();
  at.leave(outer, "");
  return digestOf("sha1", bits);
}

/** The extension with this object identifier. */
export function findExtension(
  certificate: { readonly extensions: readonly Extension[] },
  oid: string,
): Extension | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid);
}

/** Basic constraints; without the extension no certificate is a CA. @throws {Malformed} if the extension is broken. */
export function readBasicConstraints(certificate: { readonly extensions: readonly Extension[] }): {
  readonly isCa: boolean;
  readonly pathLength: bigint | null;
} {
  const extension = findExtension(certificate, extensionOids.basicConstraints);
  if (extension === undefined) return { isCa: false, pathLength: null };
  const fields = der.walk(der.readDer(extension.value), "basicConstraints");
  const flag = fields.maybe(der.tags.boolean);
  const length = fields.maybe(der.tags.integer);
  fields.end();
  const isCa = flag !== null && der.readBoolean(flag);
  if (flag !== null && !isCa) throw new Malformed("basicConstraints: default written out");
  return { isCa, pathLength: length === null ? null : der.readInteger(length) };
}

/** Key purposes of the extended key usage; null without the extension. @throws {Malformed} if it is broken or empty. */
export function readKeyPurposes(certificate: {
  readonly extensions: readonly Extension[];
}): readonly string[] | null {
  const extension = findExtension(certificate, extensionOids.extendedKeyUsage);
  if (extension === undefined) return null;
  const list = der.expectTag(der.readDer(extension.value), der.tags.sequence, "key purposes");
  if (list.children().length === 0) throw new Malformed("extKeyUsage: empty");
  return list.children().map(der.readOid);
}

/** Bits of the key usage by RFC 5280 §4.2.1.3's numbers; null without the extension. */
export function readKeyUsage(certificate: {
  readonly extensions: readonly Extension[];
}): ReadonlySet<number> | null {
  const extension = findExtension(certificate, extensionOids.keyUsage);
  if (extension === undefined) return null;
  const { content } = der.expectTag(der.readDer(extension.value), der.tags.bitString, "bit string");
  const bits = new Set<number>();
  for (let bit = 0; bit < (content.length - 1) * 8; bit++) {
    if (((content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0) bits.add(bit);
  }
  return bits;
}

/*
 * TBSCertificate ::= SEQUENCE { version [0] EXPLICIT INTEGER DEFAULT v1, serialNumber INTEGER, signature AlgorithmIdentifier,
 *   issuer Name, validity SEQUENCE { Time, Time }, subject Name, subjectPublicKeyInfo SEQUENCE,
 *   issuerUniqueID [1] OPTIONAL, subjectUniqueID [2] OPTIONAL, extensions [3] EXPLICIT OPTIONAL }
 */
function readTbs(at: DerCursor): {
  readonly fields: TbsCertificate;
  /** AlgorithmIdentifier. */
  readonly algorithm: Uint8Array;
} {
  const { what: whole } = at;
  const outer = at.enter("tbsCertificate");
  const hasVersion = at.maybe(0xa0);
  const isThree = hasVersion && at.is(versionThree);
  if (hasVersion && !isThree) throw new Malformed("certificate: neither version 1 nor 3");
  at.take("serialNumber");
  const serial = readSerial(at);
  at.take("signature", der.tags.sequence);
  const algorithm = at.encoded();
  const signatureAlgorithm = readIdentifier(at);
  at.take("issuer", der.tags.sequence);
  const issuer = at.encoded();
  at.take("validity");
  const fields = at.enter("validity");
  const notBefore = readValidityTime(at, "notBefore");
  const notAfter = readValidityTime(at, "notAfter");
  at.leave(fields, "tbsCertificate");
  at.take("subject", der.tags.sequence);
  const subject = at.encoded();
  at.take("subjectPublicKeyInfo", der.tags.sequence);
  const publicKey = at.encoded();
  const extensions = at.maybe(extensionsTag) ? readExtensions(at) : [];
  at.leave(outer, whole);
  if (!isThree && extensions.length > 0) {
    throw new Malformed("certificate: extensions in version 1");
  }
  const names = { issuer, subject, publicKey, signatureAlgorithm };
  return { fields: { serial, notBefore, notAfter, ...names, extensions }, algorithm };
}

function readIdentifier(at: DerCursor): string {
  const outer = at.enter("algorithm");
  at.take("identifier");
  const oid = at.oid();
  at.skip(outer, "tbsCertificate");
  return oid;
}

function readSerial(at: DerCursor): Uint8Array {
  const serial = at.unsigned();
  if (at.to - at.from > maxSerialOctets) throw new Malformed("certificate: serial too long");
  return serial;
}

/** RFC 5280 §4.1.2.5: UTCTime, which goes to 2049 and is in its one form if it is DER; GeneralizedTime only outside of its years, without fractions. */
function readValidityTime(at: DerCursor, part: string): Date {
  at.take(part);
  const time = der.timeIn(at.tag, at.bytes, at.from, at.to);
  if (at.tag !== der.tags.utcTime && !at.is(der.time(time))) {
    throw new Malformed("certificate: time in the wrong form");
  }
  return time;
}

function readExtensions(at: DerCursor): readonly Extension[] {
  const outer = at.enter("extensions", extensionsTag);
  at.take("list", der.tags.sequence);
  const inner = at.enter("extensions");
  if (at.isDone) throw new Malformed("certificate: empty extensions");
  const extensions: Extension[] = [];
  while (!at.isDone) extensions.push(readExtension(at));
  at.leave(inner, "extensions");
  at.leave(outer, "tbsCertificate");
  if (hasTwice(extensions)) throw new Malformed("certificate: an extension twice");
  return extensions;
}

/** More than that are nobody's but an attacker's, and comparing each with each would be slow. */
const fewExtensions = 32;

function hasTwice(extensions: readonly Extension[]): boolean {
  if (extensions.length > fewExtensions) {
    return new Set(extensions.map(({ oid }) => oid)).size !== extensions.length;
  }
  return extensions.some(({ oid }, at) => {
    for (let before = 0; before < at; before++) if (extensions[before]?.oid === oid) return true;
    return false;
  });
}

function readExtension(at: DerCursor): Extension {
  at.take("extension");
  const outer = at.enter("extension");
  at.take("identifier");
  const oid = at.oid();
  const isWritten = at.maybe(der.tags.boolean);
  const critical = isWritten && at.boolean();
  at.take("value");
  const value = at.octetString();
  at.leave(outer, "extensions");
  if (isWritten && !critical) throw new Malformed("extension: default written out");
  return { oid, critical, value };
}
