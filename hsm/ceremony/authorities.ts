/** The certificates of the root and of the issuing CA: written, linted, signed on the token, read again and verified again. */
import { randomBytes, X509Certificate } from "node:crypto";
import * as der from "../../core/formats/der.ts";
import { encodeHex } from "../../core/formats/encoding.ts";
import { formatPem } from "../../core/formats/pem.ts";
import {
  type Extension,
  extensionOids,
  formatCertificate,
  formatName,
  formatTbs,
  keyIdentifier,
  keyPurposes,
  parseCertificate,
} from "../../core/formats/x509.ts";
import { signatureAlgorithmOf } from "../certificate.ts";
import { VaultRefused } from "../errors.ts";
import type { Bench, CeremonyKey } from "./bench.ts";
import { type AuthorityKind, lintAuthority, lintRules } from "./lint.ts";
import type { StepOf } from "./script.ts";

/** A self-signed root: CA:TRUE, keyCertSign and cRLSign, no purposes. */
export async function performRoot(bench: Bench, step: StepOf<"rootCertificate">): Promise<void> {
  await perform(bench, { ...step, issuer: step.key }, "root");
}

/** An issuing CA below it: codeSigning, path length 0. */
export async function performIssuing(
  bench: Bench,
  step: StepOf<"issuingCertificate">,
): Promise<void> {
  await perform(bench, step, "issuing");
}

/** A date some years on, same day. */
function yearsAfter(date: Date, years: number): Date {
  const later = new Date(date);
  later.setUTCFullYear(later.getUTCFullYear() + years);
  return later;
}

/** A serial number of 159 random bits: positive, of 20 octets. */
export function randomSerial(): Uint8Array {
  const serial = randomBytes(20);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** Extensions of a CA certificate, in the order in which they are written. */
export function authorityExtensions(
  kind: AuthorityKind,
  keys: { readonly subject: Uint8Array; readonly issuer: Uint8Array },
): readonly Extension[] {
  const pathLength = kind === "issuing" ? [der.integer(0n)] : [];
  const codeSigning = der.sequence(der.oid(keyPurposes.codeSigning));
  return [
    // keyCertSign is bit 5, cRLSign bit 6.
    { oid: extensionOids.keyUsage, critical: true, value: der.bitString(Uint8Array.of(0x06), 1) },
    ...(kind === "issuing"
      ? [{ oid: extensionOids.extendedKeyUsage, critical: false, value: codeSigning }]
      : []),
    {
      oid: extensionOids.basicConstraints,
      critical: true,
      value: der.sequence(der.boolean(true), ...pathLength),
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

interface AuthorityStep {
  readonly key: string;
  readonly issuer: string;
  readonly organization: string;
  readonly commonName: string;
  readonly years: number;
  readonly out: string;
}

async function perform(bench: Bench, step: AuthorityStep, kind: AuthorityKind): Promise<void> {
  const subject = bench.key(step.key);
  const issuer = bench.key(step.issuer);
  const name = formatName(step);
  const issuerName =
    kind === "root" ? name : parseCertificate(bench.certificate(step.issuer)).subject;
  const signatureAlgorithm = signatureAlgorithmOf(issuer);
  const tbs = formatTbs({
    serial: randomSerial(),
    issuer: issuerName,
    subject: name,
    notBefore: bench.startedAt,
    notAfter: yearsAfter(bench.startedAt, step.years),
    publicKey: subject.publicKey,
    signatureAlgorithm,
    extensions: authorityExtensions(kind, {
      subject: subject.publicKey,
      issuer: issuer.publicKey,
    }),
  });
  lintAuthority(tbs, kind);
  bench.transcript.write("linted", { certificate: step.key, kind, rules: lintRules });
  const signature = bench.sign(step.issuer, `${kind} certificate of ${step.key}`, tbs);
  const certificate = formatCertificate(tbs, signatureAlgorithm, signature);
  readAgain(bench, certificate, { kind, issuer: step.issuer, subject });
  bench.certificates.set(step.key, certificate);
  await bench.write(step.out, formatPem("CERTIFICATE", certificate));
}

/** What was signed, seen by another parser and another verifier. */
function readAgain(
  bench: Bench,
  certificate: Uint8Array,
  { kind, issuer, subject }: { kind: AuthorityKind; issuer: string; subject: CeremonyKey },
): void {
  const { tbs } = parseCertificate(certificate);
  lintAuthority(tbs, kind);
  const read = new X509Certificate(certificate);
  const above = kind === "root" ? read : new X509Certificate(bench.certificate(issuer));
  const isOurs = read.publicKey.export({ type: "spki", format: "der" }).equals(subject.publicKey);
  if (!isOurs || !read.ca || !read.checkIssued(above) || !read.verify(above.publicKey)) {
    throw new VaultRefused(
      `the certificate of "${subject.label}" does not read back as it was written`,
    );
  }
  bench.transcript.write("certificate", {
    key: subject.label,
    serial: read.serialNumber.toLowerCase(),
    sha256: encodeHex(Uint8Array.fromHex(read.fingerprint256.replaceAll(":", "").toLowerCase())),
    subject: read.subject,
    notAfter: read.validToDate.toISOString(),
  });
}
