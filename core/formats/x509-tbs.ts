/** What an X.509 certificate says before it is signed (RFC 5280 §4.1), and how that is written. Reading: `x509.ts`. */
import * as der from "./der.ts";
import { DerWriter } from "./der-writer.ts";
import { Malformed } from "./malformed.ts";

/** One extension; `value` is the content of extnValue. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** What a certificate says, before it is signed. Names and algorithms are DER. */
export interface TbsCertificate {
  /** Unsigned big-endian, without leading zeros. */
  readonly serial: Uint8Array;
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  /** Object identifier. */
  readonly signatureAlgorithm: string;
  readonly extensions: readonly Extension[];
}

/** How certificates are signed here. */
export type SignatureAlgorithm = "ecdsa-sha256" | "ecdsa-sha384" | "rsa-sha256";

/** Object identifiers of signature algorithms (RFC 5758 §3.2, RFC 4055 §5). */
export const signatureOids = {
  "ecdsa-sha256": "1.2.840.10045.4.3.2",
  "ecdsa-sha384": "1.2.840.10045.4.3.3",
  "rsa-sha256": "1.2.840.113549.1.1.11",
} as const satisfies Record<SignatureAlgorithm, string>;

/** Extensions this system knows by name. */
export const extensionOids = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  /** RFC 6962 §3.1. */
  poison: "1.3.6.1.4.1.11129.2.4.3",
  /** RFC 6962 §3.3. */
  sctList: "1.3.6.1.4.1.11129.2.4.2",
} as const;

/** RFC 5280 §4.1.2.2. */
export const maxSerialOctets = 20;

/** A version 3 TBSCertificate. @throws {Malformed} if the serial has more than 20 octets. */
export function formatTbs(
  fields: Omit<TbsCertificate, "signatureAlgorithm"> & {
    readonly signatureAlgorithm: SignatureAlgorithm;
  },
): Uint8Array {
  const { extensions } = fields;
  writer.clear();
  for (let at = extensions.length - 1; at >= 0; at--) writeExtension(extensions[at]);
  // The list may be left out but not be empty (RFC 5280 §4.1).
  if (extensions.length > 0) {
    writer.header(der.tags.sequence, 0);
    writer.header(extensionsTag, 0);
  }
  writer.put(fields.publicKey);
  writer.put(fields.subject);
  const { end: validity } = writer;
  writer.put(der.time(fields.notAfter));
  writer.put(der.time(fields.notBefore));
  writer.header(der.tags.sequence, validity);
  writer.put(fields.issuer);
  writer.put(algorithms[fields.signatureAlgorithm]);
  const { end: serial } = writer;
  writer.unsigned(fields.serial);
  if (writer.end - serial > maxSerialOctets + 2)
    throw new Malformed("certificate: serial too long");
  writer.put(versionThree);
  writer.header(der.tags.sequence, 0);
  return writer.take();
}

/** Of version 3: its field in a TBSCertificate. */
export const versionThree = der.explicit(0, der.integer(2n));
/** AlgorithmIdentifiers. */
export const algorithms = {
  "ecdsa-sha256": der.sequence(der.oid(signatureOids["ecdsa-sha256"])),
  "ecdsa-sha384": der.sequence(der.oid(signatureOids["ecdsa-sha384"])),
  "rsa-sha256": der.sequence(der.oid(signatureOids["rsa-sha256"]), der.nullValue()),
} as const satisfies Record<SignatureAlgorithm, Uint8Array>;

/** Identifiers of the extensions that every leaf has, written once: RFC 5280's, RFC 6962's and Fulcio's. */
const writtenOids: ReadonlyMap<string, Uint8Array> = new Map(
  [
    ...Object.values(extensionOids),
    ...Array.from({ length: 32 }, (_, at) => `1.3.6.1.4.1.57264.1.${at + 1}`),
  ].map((oid) => [oid, der.oid(oid)]),
);

/** [3], of a TBSCertificate: its extensions. */
export const extensionsTag = 0xa3;
const isCritical = der.boolean(true);

/** What TBSCertificates are written in, one after the other. It is no state that anybody could see. */
const writer = new DerWriter();

function writeExtension(extension: Extension | undefined): void {
  if (extension === undefined) return;
  const { oid, critical, value } = extension;
  const { end } = writer;
  writer.octetString(value);
  if (critical) writer.put(isCritical);
  writer.put(writtenOids.get(oid) ?? der.oid(oid));
  writer.header(der.tags.sequence, end);
}
