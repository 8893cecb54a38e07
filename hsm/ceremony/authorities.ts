/** Certificates of the ceremony: linted under a throw-away key, signed on the token, read again and verified by others. */
import {
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeHex, encodeBase64, encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { formatPem, parsePem } from "../../core/formats/pem.ts";
import {
  type Certificate,
  formatCertificate,
  formatName,
  formatTbs,
  keyIdentifier,
  parseCertificate,
  parseTbs,
  type SignatureAlgorithm,
} from "../../core/formats/x509.ts";
import { signatureAlgorithmOf } from "../certificate.ts";
import { VaultRefused } from "../errors.ts";
import type { Bench, CeremonyKey } from "./bench.ts";
import { type AuthorityKind, isSelfSigned, lintAuthority, lintRules } from "./lint.ts";
import type { KeyAlgorithm } from "../pkcs11.ts";
import { authorityExtensions } from "./profiles.ts";
import { verifyByOpenssl, verifyElsewhere } from "./second-opinion.ts";
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

/** A CA between a root and those that issue: one purpose, and as many CAs below it as its path length says. */
export async function performIntermediate(
  bench: Bench,
  step: StepOf<"intermediateCertificate">,
): Promise<void> {
  const kind = step.purpose === "timeStamping" ? "timestampIntermediate" : "intermediate";
  await perform(bench, step, kind);
}

/** A self-signed CA that issues by itself: codeSigning, path length 0, and no root above it. */
export async function performSingle(
  bench: Bench,
  step: StepOf<"singleCertificate">,
): Promise<void> {
  await perform(bench, { ...step, issuer: step.key }, "single");
}

/** The leaf of a timestamp authority: critical timeStamping and nothing else. */
export async function performTimestamp(
  bench: Bench,
  step: StepOf<"timestampCertificate">,
): Promise<void> {
  await perform(bench, step, "timestamp");
  if (step.chainOut === undefined) return;
  const chain = bench.chain(step.key).map((one) => formatPem("CERTIFICATE", one));
  await bench.outputs.write(step.chainOut, chain.join(""));
}

/** A certificate of a key that is there already, for example of the root that is to sign. */
export async function performUseCertificate(
  bench: Bench,
  step: StepOf<"useCertificate">,
): Promise<void> {
  const path = join(bench.home, step.file);
  const text = await readFile(path, "utf8").catch(() => {
    throw new VaultRefused(`there is no certificate at ${path}`);
  });
  const certificate = parsePem(text, "CERTIFICATE");
  if (!equalBytes(parseCertificate(certificate).publicKey, bench.key(step.key).publicKey)) {
    throw new VaultRefused(`the certificate at ${path} is not of the key "${step.key}"`);
  }
  bench.certificates.set(step.key, certificate);
  bench.transcript.once("existing certificate", { key: step.key }, () => ({
    der: encodeBase64(certificate),
  }));
}

/** A date some years on, same day. */
export function yearsAfter(date: Date, years: number): Date {
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

interface AuthorityStep {
  readonly key: string;
  readonly issuer: string;
  readonly organization: string;
  readonly commonName: string;
  readonly years: number;
  /** Of an intermediate. */
  readonly pathLength?: number;
  readonly out: string;
}

/** A self-signed certificate of a stand-in, for a rehearsal of what begins with an existing root. */
export function rootCertificateOf(bench: Bench, label: string): Uint8Array {
  const key = bench.key(label);
  const signatureAlgorithm = signatureAlgorithmOf(key);
  const name = formatName({ commonName: "stand-in root" });
  const tbs = formatTbs({
    serial: randomSerial(),
    issuer: name,
    subject: name,
    notBefore: bench.startedAt,
    notAfter: yearsAfter(bench.startedAt, 30),
    publicKey: key.publicKey,
    signatureAlgorithm,
    extensions: authorityExtensions("root", { subject: key.publicKey, issuer: key.publicKey }),
  });
  return formatCertificate(tbs, signatureAlgorithm, bench.signUnrecorded(label, tbs));
}

async function perform(bench: Bench, step: AuthorityStep, kind: AuthorityKind): Promise<void> {
  const subject = bench.key(step.key);
  const issuer = bench.key(step.issuer);
  const name = formatName(step);
  const above = isSelfSigned(kind) ? null : parseCertificate(bench.certificate(step.issuer));
  const issuerName = above?.subject ?? name;
  const signatureAlgorithm = signatureAlgorithmOf(issuer);
  const drawn = () => ({ serial: encodeHex(randomSerial()) });
  const { serial } = bench.transcript.once("serial number", { key: step.key }, drawn);
  const tbsOf = (publicKey: Uint8Array, issuerKey: Uint8Array): Uint8Array =>
    formatTbs({
      serial: decodeHex(String(serial)),
      issuer: issuerName,
      subject: name,
      notBefore: bench.startedAt,
      notAfter: yearsAfter(bench.startedAt, step.years),
      publicKey,
      signatureAlgorithm,
      extensions: authorityExtensions(
        kind,
        { subject: publicKey, issuer: issuerKey },
        step.pathLength,
      ),
    });
  const tbs = tbsOf(subject.publicKey, issuer.publicKey);
  await rehearseCertificate(tbs, { kind, above, issuer, tbsOf, signatureAlgorithm });
  const tbsSha256 = hash("sha256", tbs, "hex");
  bench.transcript.once("linted", { key: step.key, kind, tbsSha256 }, () => ({ rules: lintRules }));
  const signature = bench.sign(step.issuer, `${kind} certificate of ${step.key}`, tbs);
  const certificate = formatCertificate(tbs, signatureAlgorithm, signature);
  bench.certificates.set(step.key, certificate);
  await bench.outputs.write(step.out, formatPem("CERTIFICATE", certificate));
  await readAgain(bench, { kind, step, tbs });
}

/**
 * The certificate as it will be, first signed by a key that is thrown away, so that a mistake costs no signature of the real one.
 * A self-signed certificate cannot carry a throw-away key and its real one: there, the key and its identifiers alone may differ.
 */
async function rehearseCertificate(
  tbs: Uint8Array,
  options: {
    readonly kind: AuthorityKind;
    readonly above: Certificate | null;
    readonly issuer: CeremonyKey;
    readonly tbsOf: (publicKey: Uint8Array, issuerKey: Uint8Array) => Uint8Array;
    readonly signatureAlgorithm: SignatureAlgorithm;
  },
): Promise<void> {
  const { kind, above, issuer, tbsOf, signatureAlgorithm } = options;
  const throwAway = throwAwayPair(issuer.algorithm);
  const lintTbs = isSelfSigned(kind) ? tbsOf(throwAway.spki, throwAway.spki) : tbs;
  const digest = signatureAlgorithm === "ecdsa-sha384" ? "sha384" : "sha256";
  const signature = sign(digest, lintTbs, throwAway.privateKey);
  const lintCertificate = formatCertificate(lintTbs, signatureAlgorithm, signature);
  lintAuthority(parseCertificate(lintCertificate).tbs, kind, above?.tbs);
  await verifyElsewhere(lintCertificate, throwAway.spki);
  requireSameTbs(lintTbs, tbs, kind);
  lintAuthority(tbs, kind, above?.tbs);
}

/** @throws {VaultRefused} unless the two are the same bytes, but for the key of a self-signed one */
export function requireSameTbs(lint: Uint8Array, final: Uint8Array, kind: AuthorityKind): void {
  const withoutKey = (tbs: Uint8Array): Uint8Array => {
    if (!isSelfSigned(kind)) return tbs;
    const { publicKey, extensions } = parseTbs(tbs);
    const identifier = encodeHex(keyIdentifier(publicKey));
    // Both identifiers are 20 bytes whatever the key; equal algorithms give keys of equal length.
    const cut = [encodeHex(publicKey), identifier].reduce(
      (text, part) => text.replaceAll(part, "00".repeat(part.length / 2)),
      encodeHex(tbs),
    );
    if (extensions.length === 0) throw new VaultRefused("a certificate without extensions");
    return decodeHex(cut);
  };
  if (!equalBytes(withoutKey(lint), withoutKey(final))) {
    throw new VaultRefused("the certificate to be signed is not the one that was linted");
  }
}

function throwAwayPair(algorithm: KeyAlgorithm): { spki: Uint8Array; privateKey: KeyObject } {
  const { publicKey, privateKey } = algorithm.startsWith("rsa-")
    ? generateKeyPairSync("rsa", { modulusLength: Number(algorithm.slice(4)) })
    : generateKeyPairSync("ec", { namedCurve: algorithm === "ecdsa-p256" ? "P-256" : "P-384" });
  return { spki: new Uint8Array(publicKey.export({ type: "spki", format: "der" })), privateKey };
}

/** What was written, read from the disk and seen by other parsers and verifiers. */
async function readAgain(
  bench: Bench,
  { kind, step, tbs }: { kind: AuthorityKind; step: AuthorityStep; tbs: Uint8Array },
): Promise<void> {
  const text = await readFile(join(bench.home, step.out), "utf8");
  const certificate = parsePem(text, "CERTIFICATE");
  requireSameTbs(parseCertificate(certificate).tbs, tbs, "issuing");
  const issuer = bench.certificate(step.issuer);
  lintAuthority(
    parseCertificate(certificate).tbs,
    kind,
    isSelfSigned(kind) ? undefined : parseCertificate(issuer).tbs,
  );
  const subject = bench.key(step.key);
  const read = new X509Certificate(certificate);
  const above = new X509Certificate(issuer);
  const isOurs = read.publicKey.export({ type: "spki", format: "der" }).equals(subject.publicKey);
  const isCa = kind !== "timestamp";
  if (!isOurs || read.ca !== isCa || !read.checkIssued(above) || !read.verify(above.publicKey)) {
    throw new VaultRefused(
      `the certificate of "${subject.label}" does not read back as it was written`,
    );
  }
  await verifyElsewhere(certificate, bench.key(step.issuer).publicKey);
  const openssl = verifyByOpenssl(bench.chain(step.key));
  bench.transcript.once("certificate", { key: step.key }, () => ({
    kind,
    issuer: step.issuer,
    der: encodeBase64(certificate),
    sha256: hash("sha256", certificate, "hex"),
    subject: read.subject,
    notAfter: read.validToDate.toISOString(),
    verifiedBy: ["node:crypto", "@peculiar/x509", ...(openssl ? ["openssl"] : [])],
  }));
}
