/**
 * The one profile of leaf certificates, byte for byte Fulcio's (fulcio docs/certificate-specification.md, RFC 5280, RFC 6962 §3.1):
 * version 3, empty subject, and the extensions keyUsage, extKeyUsage, subjectKeyIdentifier, authorityKeyIdentifier,
 * subjectAltName, Fulcio's own, then the poison of a precertificate or the SCT list of a certificate.
 */
import * as der from "./der.ts";
import { equalBytes } from "./encoding.ts";
import {
  type FulcioClaims,
  fulcioArc,
  fulcioArcs,
  fulcioExtensions,
  readFulcioExtensions,
} from "./fulcio-oids.ts";
import { Malformed } from "./malformed.ts";
import {
  type Extension,
  extensionOids,
  findExtension,
  formatTbs,
  keyIdentifier,
  keyPurposes,
  parseTbs,
  readSubjectAltNames,
  type SignatureAlgorithm,
  signatureOids,
  subjectAltName,
  type SubjectAltName,
  type TbsCertificate,
} from "./x509.ts";

export {
  correspond,
  type Unpoisoned,
  unpoison,
  withoutPoison,
  withoutSctList,
  withSctList,
} from "./leaf-end.ts";

/** Everything that differs between two leaves of one issuer. */
export interface LeafFields {
  /** Twenty octets, unsigned big-endian, first bit zero and second one: positive and of one length. */
  readonly serial: Uint8Array;
  /** The issuing CA's subject, DER. */
  readonly issuerName: Uint8Array;
  /** The issuing CA's subject key identifier. */
  readonly authorityKeyId: Uint8Array;
  /** The algorithm of the issuing CA's key. */
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly san: SubjectAltName;
  /** Fulcio's extensions in their order, see {@link fulcioExtensions}. */
  readonly fulcio: readonly Extension[];
}

/** How a leaf ends: with the poison, with an SCT list (TLS form), or, only on the way from one to the other, with neither. */
export type LeafEnd =
  | { readonly kind: "poison" }
  | { readonly kind: "sctList"; readonly list: Uint8Array }
  | { readonly kind: "none" };

/** What a key's keyring entry allows its leaves to be. */
export interface LeafProfile {
  readonly issuerName: Uint8Array;
  readonly authorityKeyId: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly maxLifetimeSeconds: number;
  /** Bounds of notBefore, both inclusive. */
  readonly notBeforeFrom: Date;
  readonly notBeforeTo: Date;
  /** True if leaves without poison and without SCT list are allowed: those whose SCT comes beside them. */
  readonly bare?: boolean;
}

/** Octets of a serial number. */
export const serialLength = 20;

/** The size from which a leaf is refused. */
export const maxLeafBytes = 8_192;

/** The signed part of a leaf. @throws {Malformed} if a field cannot be expressed. */
export function formatLeafTbs(fields: LeafFields, end: LeafEnd): Uint8Array {
  const subjectKeyId = der.octetString(keyIdentifier(fields.publicKey));
  const authorityKeyId = der.sequence(der.implicit(0, fields.authorityKeyId));
  return formatTbs({
    serial: fields.serial,
    issuer: fields.issuerName,
    subject: emptyName,
    notBefore: fields.notBefore,
    notAfter: fields.notAfter,
    publicKey: fields.publicKey,
    signatureAlgorithm: fields.signatureAlgorithm,
    extensions: [
      digitalSignature,
      codeSigning,
      { oid: extensionOids.subjectKeyIdentifier, critical: false, value: subjectKeyId },
      { oid: extensionOids.authorityKeyIdentifier, critical: false, value: authorityKeyId },
      { oid: extensionOids.subjectAltName, critical: true, value: subjectAltName(fields.san) },
      ...fields.fulcio,
      ...ending(end),
    ],
  });
}

/**
 * Holds a TBSCertificate against the profile: what it says is read, checked and written anew, and must come out as the same bytes,
 * so that nothing outside the profile can be in it.
 *
 * @throws {Malformed} naming the rule that is broken.
 */
export function checkLeafTbs(
  tbs: Uint8Array,
  profile: LeafProfile,
): { readonly fields: LeafFields; readonly end: LeafEnd } {
  const parsed = parseTbs(tbs);
  demand(tbs.length < maxLeafBytes, "size");
  demand(parsed.serial.length === serialLength && (parsed.serial[0] ?? 0) >= 0x40, "serial");
  demand(equalBytes(parsed.issuer, profile.issuerName), "issuer name");
  demand(
    parsed.signatureAlgorithm === signatureOids[profile.signatureAlgorithm],
    "signature algorithm",
  );
  checkValidity(parsed, profile);
  const end = readEnd(parsed);
  demand(end.kind !== "none" || profile.bare === true, "poison or sct list");
  const fields: LeafFields = {
    serial: parsed.serial,
    issuerName: profile.issuerName,
    authorityKeyId: profile.authorityKeyId,
    signatureAlgorithm: profile.signatureAlgorithm,
    notBefore: parsed.notBefore,
    notAfter: parsed.notAfter,
    publicKey: parsed.publicKey,
    san: readSan(parsed),
    fulcio: readFulcio(parsed),
  };
  demand(equalBytes(formatLeafTbs(fields, end), tbs), "canonical form");
  return { fields, end };
}

/** True if the leaf names exactly this principal: its subject alternative name and every one of Fulcio's extensions. */
export function namesPrincipal(
  fields: LeafFields,
  principal: FulcioClaims & { readonly san: SubjectAltName },
): boolean {
  const wanted = fulcioExtensions(principal);
  return (
    fields.san.kind === principal.san.kind &&
    fields.san.value === principal.san.value &&
    fields.fulcio.length === wanted.length &&
    wanted.every((extension, at) => sameExtension(extension, fields.fulcio[at]))
  );
}

const emptyName = der.sequence();

/** digitalSignature: bit 0. */
const digitalSignature: Extension = {
  oid: extensionOids.keyUsage,
  critical: true,
  value: der.bitString(Uint8Array.of(0x80), 7),
};

const codeSigning: Extension = {
  oid: extensionOids.extendedKeyUsage,
  critical: false,
  value: der.sequence(der.oid(keyPurposes.codeSigning)),
};

const poison: Extension = {
  oid: extensionOids.poison,
  critical: true,
  value: der.nullValue(),
};

function ending(end: LeafEnd): readonly Extension[] {
  switch (end.kind) {
    case "poison":
      return [poison];
    case "sctList":
      return [{ oid: extensionOids.sctList, critical: false, value: der.octetString(end.list) }];
    case "none":
      return [];
  }
}

function demand(isMet: boolean, rule: string): void {
  if (!isMet) throw new Malformed(`leaf profile: ${rule}`);
}

function checkValidity(parsed: TbsCertificate, profile: LeafProfile): void {
  const from = parsed.notBefore.getTime();
  const lifetimeMs = parsed.notAfter.getTime() - from;
  demand(lifetimeMs > 0 && lifetimeMs <= profile.maxLifetimeSeconds * 1_000, "lifetime");
  demand(
    from >= profile.notBeforeFrom.getTime() && from <= profile.notBeforeTo.getTime(),
    "not before",
  );
}

function readEnd(parsed: TbsCertificate): LeafEnd {
  const last = parsed.extensions.at(-1);
  if (last?.oid === extensionOids.poison) return { kind: "poison" };
  if (last?.oid !== extensionOids.sctList) return { kind: "none" };
  return { kind: "sctList", list: der.readOctetString(der.readDer(last.value)) };
}

/** Fulcio's extensions: known ones, ascending, none critical, each encoded as its arc demands, the issuer named twice alike. */
function readFulcio(parsed: TbsCertificate): readonly Extension[] {
  const found = parsed.extensions.filter(({ oid }) => oid.startsWith(`${fulcioArc}.`));
  const values = readFulcioExtensions({ extensions: found });
  const arcs = Object.keys(values); // integer keys come in ascending order
  demand(
    found.length === arcs.length &&
      found.every(({ oid, critical }, at) => !critical && oid === `${fulcioArc}.${arcs[at]}`),
    "fulcio extensions",
  );
  const issuer = values[fulcioArcs.issuerV2] ?? "";
  demand(issuer !== "" && issuer === values[fulcioArcs.issuer], "fulcio issuer");
  return found;
}

function readSan(parsed: TbsCertificate): SubjectAltName {
  const extension = findExtension(parsed, extensionOids.subjectAltName);
  const names = extension === undefined ? [] : readSubjectAltNames(extension);
  const [name] = names;
  if (name === undefined || names.length !== 1 || name.value === "") {
    throw new Malformed("leaf profile: subject alternative name");
  }
  return name;
}

function sameExtension(wanted: Extension, found: Extension | undefined): boolean {
  return (
    found !== undefined &&
    wanted.oid === found.oid &&
    wanted.critical === found.critical &&
    equalBytes(wanted.value, found.value)
  );
}
