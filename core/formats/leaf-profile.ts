/**
 * The one profile of leaf certificates, byte for byte Fulcio's (fulcio docs/certificate-specification.md, RFC 5280, RFC 6962 §3.1):
 * version 3, empty subject, and the extensions keyUsage, extKeyUsage, subjectKeyIdentifier, authorityKeyIdentifier,
 * subjectAltName, Fulcio's own, then the poison of a precertificate or the SCT list of a certificate.
 */
import * as der from "./der.ts";
import { DerCursor } from "./der-cursor.ts";
import { DerWriter } from "./der-writer.ts";
import { concat, equalBytes } from "./encoding.ts";
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

/** The TBSCertificate without its poison, all else as it was. @throws {Malformed} unless there is exactly one. */
export function withoutPoison(tbs: Uint8Array): Uint8Array {
  return without(tbs, poisonId);
}

/** The TBSCertificate without its SCT list, all else as it was. @throws {Malformed} unless there is exactly one. */
export function withoutSctList(tbs: Uint8Array): Uint8Array {
  return without(tbs, sctListId);
}

/** The TBSCertificate with an SCT list (TLS form) as its last extension. @throws {Malformed} if it has one, or a poison. */
export function withSctList(tbs: Uint8Array, list: Uint8Array): Uint8Array {
  const { head, listed, ends } = takeApart(tbs);
  if (ends.length > 0) {
    throw new Malformed("tbsCertificate: has an SCT list or a poison already");
  }
  return putTogether({ head, list, kept: listed });
}

/** A precertificate's TBSCertificate, read once, as what becomes of it. */
export interface Unpoisoned {
  /** Without its poison, all else as it was. */
  readonly bare: Uint8Array;
  /** With an SCT list (TLS form) in the place of the poison. */
  readonly listing: (list: Uint8Array) => Uint8Array;
}

/** Takes the poison off a precertificate that ends with it. @throws {Malformed} if it does not, or has another or an SCT list. */
export function unpoison(tbs: Uint8Array): Unpoisoned {
  const parts = takeApart(tbs);
  const { head, ends } = parts;
  const kept = beforeEnd(parts, poisonId);
  if (kept === null || ends.length !== 1) {
    throw new Malformed("tbsCertificate: expected a poison at the end, and no SCT list");
  }
  return {
    bare: putTogether({ head, kept }),
    listing: (list) => putTogether({ head, kept, list }),
  };
}

/** True if the certificate is its precertificate with the poison, and only that, turned into an SCT list at the end. */
export function correspond(precertificateTbs: Uint8Array, certificateTbs: Uint8Array): boolean {
  const precertificate = takeApart(precertificateTbs);
  const certificate = takeApart(certificateTbs);
  const poisoned = beforeEnd(precertificate, poisonId);
  const logged = beforeEnd(certificate, sctListId);
  return (
    poisoned !== null &&
    logged !== null &&
    equalBytes(precertificate.head, certificate.head) &&
    equalBytes(poisoned, logged)
  );
}

const emptyName = der.sequence();
const poisonId = der.oid(extensionOids.poison);
const sctListId = der.oid(extensionOids.sctList);

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

/** A TBSCertificate's bytes, cut where its extensions begin. */
interface TbsParts {
  /** Everything before the extensions. */
  readonly head: Uint8Array;
  /** The extensions one after the other. */
  readonly listed: Uint8Array;
  /** Those of them that may be at the end, and where they are in them. */
  readonly ends: readonly End[];
}

interface End {
  /** {@link poisonId} or {@link sctListId}. */
  readonly id: Uint8Array;
  readonly from: number;
  readonly to: number;
}

function takeApart(tbs: Uint8Array): TbsParts {
  const at = new DerCursor(tbs);
  at.take("tbsCertificate");
  at.enter("tbsCertificate");
  const { from: headFrom } = at;
  while (!at.isDone) at.take("field");
  // Of the last field, which is nothing but the extensions.
  const headTo = at.start;
  if (at.tag !== 0xa3) throw new Malformed("tbsCertificate: no extensions");
  const outer = at.enter("extensions", 0xa3);
  at.take("list", der.tags.sequence);
  const listed = at.content();
  const { from: start } = at;
  const inner = at.enter("extensions");
  const ends: End[] = [];
  while (!at.isDone) {
    at.take("extension", der.tags.sequence);
    if (tbs[at.from] !== der.tags.oid) throw new Malformed("extension: no identifier");
    const isPoison = at.beginsWith(poisonId);
    if (!isPoison && !at.beginsWith(sctListId)) continue;
    const id = isPoison ? poisonId : sctListId;
    ends.push({ id, from: at.start - start, to: at.to - start });
  }
  at.leave(inner, "extensions");
  at.leave(outer, "tbsCertificate");
  return { head: tbs.subarray(headFrom, headTo), listed, ends };
}

/** The extensions before the last one, which must be called so; null if it is not. */
function beforeEnd({ listed, ends }: TbsParts, id: Uint8Array): Uint8Array | null {
  const last = ends.at(-1);
  if (last?.id !== id || last.to !== listed.length) return null;
  return listed.subarray(0, last.from);
}

/** What TBSCertificates are written in, one after the other. It is no state that anybody could see. */
const writer = new DerWriter();

/** A TBSCertificate of everything before its extensions, those that it keeps, and an SCT list if there is one. */
function putTogether({
  head,
  kept,
  list,
}: {
  readonly head: Uint8Array;
  readonly kept: Uint8Array;
  readonly list?: Uint8Array;
}): Uint8Array {
  writer.clear();
  if (list !== undefined) {
    writer.octetString(list);
    writer.header(der.tags.octetString, 0);
    writer.put(sctListId);
    writer.header(der.tags.sequence, 0);
  }
  writer.put(kept);
  writer.header(der.tags.sequence, 0);
  writer.header(0xa3, 0);
  writer.put(head);
  writer.header(der.tags.sequence, 0);
  return writer.take();
}

/** The TBSCertificate without the one extension that begins with `id`. */
function without(tbs: Uint8Array, id: Uint8Array): Uint8Array {
  const { head, listed, ends } = takeApart(tbs);
  const found = ends.filter((end) => end.id === id);
  const [unwanted, ...more] = found;
  if (unwanted === undefined || more.length > 0) {
    const name = id === poisonId ? extensionOids.poison : extensionOids.sctList;
    throw new Malformed(`tbsCertificate: expected exactly one extension ${name}`);
  }
  const after = listed.subarray(unwanted.to);
  const before = listed.subarray(0, unwanted.from);
  const kept = after.length === 0 ? before : concat(before, after);
  return putTogether({ head, kept });
}
