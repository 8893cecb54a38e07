/** The certificate of a timestamp authority (RFC 3161 §2.3): no CA, for timeStamping alone, signed on the token of its root. */
import { randomBytes, X509Certificate } from "node:crypto";
import * as der from "../../core/formats/der.ts";
import { encodeHex } from "../../core/formats/encoding.ts";
import { formatPem } from "../../core/formats/pem.ts";
import {
  type Extension,
  extensionOids,
  findExtension,
  formatCertificate,
  formatName,
  formatTbs,
  keyIdentifier,
  keyPurposes,
  parseCertificate,
  parseTbs,
  readBasicConstraints,
  readKeyPurposes,
  readKeyUsage,
  type TbsCertificate,
} from "../../core/formats/x509.ts";
import { signatureAlgorithmOf } from "../certificate.ts";
import { VaultRefused } from "../errors.ts";
import type { Bench } from "./bench.ts";
import type { StepOf } from "./script.ts";

const digitalSignature = 0;

const rules: readonly { readonly id: string; readonly holds: (tbs: TbsCertificate) => boolean }[] =
  [
    { id: "timestamp-not-ca", holds: (tbs) => !readBasicConstraints(tbs).isCa },
    {
      id: "timestamp-only-purpose",
      holds: (tbs) => readKeyPurposes(tbs)?.join() === keyPurposes.timeStamping,
    },
    {
      id: "timestamp-purpose-critical",
      holds: (tbs) => findExtension(tbs, extensionOids.extendedKeyUsage)?.critical === true,
    },
    {
      id: "timestamp-key-usage",
      holds: (tbs) => [...(readKeyUsage(tbs) ?? [])].join() === String(digitalSignature),
    },
    {
      id: "timestamp-key-identifiers",
      holds: (tbs) =>
        findExtension(tbs, extensionOids.subjectKeyIdentifier) !== undefined &&
        findExtension(tbs, extensionOids.authorityKeyIdentifier) !== undefined,
    },
    { id: "timestamp-validity-order", holds: ({ notBefore, notAfter }) => notBefore < notAfter },
  ];

/** @throws {VaultRefused} naming every broken rule */
export function lintTimestampTbs(tbs: Uint8Array): void {
  const parsed = parseTbs(tbs);
  const broken = rules.filter(({ holds }) => !holds(parsed)).map(({ id }) => id);
  if (broken.length === 0) return;
  throw new VaultRefused(
    `the timestamp certificate with serial number ${encodeHex(parsed.serial)} breaks ${broken.join(", ")} and is not signed`,
  );
}

/** Writes, lints, signs, reads again and verifies again. It never outlives the certificate of its root. */
export async function performTimestamp(
  bench: Bench,
  step: StepOf<"timestampCertificate">,
): Promise<void> {
  const subject = bench.key(step.key);
  const issuer = bench.key(step.issuer);
  const above = parseCertificate(bench.certificate(step.issuer));
  const notAfter = new Date(bench.startedAt);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + step.years);
  if (notAfter > above.notAfter) {
    throw new VaultRefused(`the certificate of "${step.key}" would outlive "${step.issuer}"`);
  }
  const serial = randomBytes(20);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const signatureAlgorithm = signatureAlgorithmOf(issuer);
  const tbs = formatTbs({
    serial,
    issuer: above.subject,
    subject: formatName(step),
    notBefore: bench.startedAt,
    notAfter,
    publicKey: subject.publicKey,
    signatureAlgorithm,
    extensions: timestampExtensions({ subject: subject.publicKey, issuer: issuer.publicKey }),
  });
  lintTimestampTbs(tbs);
  bench.transcript.write("linted", {
    certificate: step.key,
    kind: "timestamp",
    rules: rules.map(({ id }) => id),
  });
  const signature = bench.sign(step.issuer, `timestamp certificate of ${step.key}`, tbs);
  const certificate = formatCertificate(tbs, signatureAlgorithm, signature);
  lintTimestampTbs(parseCertificate(certificate).tbs);
  const read = new X509Certificate(certificate);
  const root = new X509Certificate(bench.certificate(step.issuer));
  const isOurs = read.publicKey.export({ type: "spki", format: "der" }).equals(subject.publicKey);
  if (!isOurs || read.ca || !read.checkIssued(root) || !read.verify(root.publicKey)) {
    throw new VaultRefused(`the certificate of "${step.key}" does not read back as it was written`);
  }
  bench.transcript.write("certificate", {
    key: step.key,
    serial: read.serialNumber.toLowerCase(),
    sha256: read.fingerprint256.replaceAll(":", "").toLowerCase(),
    subject: read.subject,
    notAfter: read.validToDate.toISOString(),
  });
  bench.certificates.set(step.key, certificate);
  await bench.write(step.out, formatPem("CERTIFICATE", certificate));
}

/** Extensions of a timestamp authority's certificate, in the order in which they are written. */
export function timestampExtensions(keys: {
  readonly subject: Uint8Array;
  readonly issuer: Uint8Array;
}): readonly Extension[] {
  return [
    { oid: extensionOids.keyUsage, critical: true, value: der.bitString(Uint8Array.of(0x80), 7) },
    {
      oid: extensionOids.extendedKeyUsage,
      critical: true,
      value: der.sequence(der.oid(keyPurposes.timeStamping)),
    },
    {
      oid: extensionOids.subjectKeyIdentifier,
      critical: false,
      value: der.octetString(keyIdentifier(keys.subject)),
    },
    {
      oid: extensionOids.authorityKeyIdentifier,
      critical: false,
      value: der.sequence(der.implicit(0, keyIdentifier(keys.issuer))),
    },
  ];
}
