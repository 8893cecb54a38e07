/** From the signer's certificate to a trusted authority, at the time of signing: RFC 5280 §6 for the short chains Sigstore uses. */
import type { HashName } from "../../../core/crypto/hash.ts";
import { importPublicKey } from "../../../core/crypto/keys.ts";
import { verifySignature } from "../../../core/crypto/verify.ts";
import { equalBytes } from "../../../core/formats/encoding.ts";
import { Malformed } from "../../../core/formats/malformed.ts";
import { type TrustedAuthority, covers } from "../../../core/formats/trusted-root.ts";
import {
  type Certificate,
  extensionOids,
  findExtension,
  keyPurposes,
  parseCertificate,
  readBasicConstraints,
  readKeyPurposes,
  readKeyUsage,
} from "../../../core/formats/x509.ts";
import { NotVerified } from "./not-verified.ts";

/**
 * The certificate that issued `leaf`, which led to a trusted authority's root at `time`. Only the trusted root's certificates are
 * used: what a bundle carries besides the leaf proves nothing.
 *
 * @throws {NotVerified} if no authority that was in use at `time` leads there, or the leaf is not for signing code.
 */
export function verifyChain(
  leaf: Certificate,
  authorities: readonly TrustedAuthority[],
  time: Date,
): Certificate {
  checkLeaf(leaf, time);
  let reason = "the trusted root has no authority for the time of signing";
  for (const authority of authorities.filter(({ validFor }) => covers(validFor, time))) {
    const [issuer, ...above] = authority.certificates.map(parseCertificate);
    if (issuer === undefined) continue;
    const path = { time, purpose: keyPurposes.codeSigning };
    const broken = followChain(leaf, [issuer, ...above], path);
    if (broken === null) return issuer;
    reason = broken;
  }
  throw new NotVerified("certificate", `no trusted authority issued the certificate: ${reason}`);
}

const digitalSignature = 0;
const keyCertSign = 5;

/** Extensions that are read here, or about which RFC 5280 leaves nothing to decide for a chain of given shape. */
const known: readonly string[] = [
  extensionOids.keyUsage,
  extensionOids.subjectAltName,
  extensionOids.basicConstraints,
  extensionOids.extendedKeyUsage,
];

const signatureHashes: ReadonlyMap<string, HashName | null> = new Map([
  ["1.2.840.10045.4.3.2", "sha256"],
  ["1.2.840.10045.4.3.3", "sha384"],
  ["1.2.840.10045.4.3.4", "sha512"],
  ["1.2.840.113549.1.1.11", "sha256"],
  ["1.2.840.113549.1.1.12", "sha384"],
  ["1.2.840.113549.1.1.13", "sha512"],
  ["1.3.101.112", null],
]);

function checkLeaf(leaf: Certificate, time: Date): void {
  if (!isValidAt(leaf, time)) {
    throw new NotVerified(
      "certificate",
      `the certificate was not valid when the signature was made, at ${time.toISOString()}`,
    );
  }
  if (readKeyPurposes(leaf)?.includes(keyPurposes.codeSigning) !== true) {
    throw new NotVerified("certificate", "the certificate is not for signing code");
  }
  if (readKeyUsage(leaf)?.has(digitalSignature) !== true || readBasicConstraints(leaf).isCa) {
    throw new NotVerified("certificate", "the certificate is not for signatures");
  }
  refuseUnknownCritical(leaf);
}

/** For what, and when, a chain must hold. */
interface Path {
  readonly time: Date;
  /** Key purpose that no authority on it may exclude. */
  readonly purpose: string;
}

/** Null if each of `chain`, issuing certificate first, issued the one before it, down to `leaf`; else what is wrong. */
export function followChain(
  leaf: Certificate,
  chain: readonly Certificate[],
  path: Path,
): string | null {
  let child = leaf;
  for (const [depth, issuer] of chain.entries()) {
    const reason = refuseIssuer(child, issuer, { ...path, depth });
    if (reason !== null) return reason;
    child = issuer;
  }
  return null;
}

/** `depth` counts the authorities between the issuer and the leaf. */
function refuseIssuer(
  child: Certificate,
  issuer: Certificate,
  { depth, time, purpose }: Path & { readonly depth: number },
): string | null {
  if (!equalBytes(child.issuer, issuer.subject)) return "it names another issuer";
  if (!isValidAt(issuer, time)) return "an authority's certificate was not valid then";
  const { isCa, pathLength } = readBasicConstraints(issuer);
  if (!isCa) return "its issuer is not an authority";
  if (pathLength !== null && pathLength < BigInt(depth)) return "the chain is too long";
  if (readKeyUsage(issuer)?.has(keyCertSign) === false)
    return "its issuer may not sign certificates";
  if (readKeyPurposes(issuer)?.includes(purpose) === false) {
    return "its issuer may not issue for this purpose";
  }
  refuseUnknownCritical(issuer);
  return isSignedBy(child, issuer) ? null : "its signature is not the authority's";
}

function isSignedBy(child: Certificate, issuer: Certificate): boolean {
  const hash = signatureHashes.get(child.signatureAlgorithm);
  if (hash === undefined) {
    throw new Malformed(`certificate: unknown signature algorithm ${child.signatureAlgorithm}`);
  }
  const key = importPublicKey(issuer.publicKey);
  return hash === null
    ? verifySignature(key, child.tbs, child.signature)
    : verifySignature(key, child.tbs, child.signature, hash);
}

function isValidAt({ notBefore, notAfter }: Certificate, time: Date): boolean {
  return notBefore <= time && time <= notAfter;
}

function refuseUnknownCritical(certificate: Certificate): void {
  for (const { oid, critical } of certificate.extensions) {
    if (critical && !known.includes(oid)) {
      throw new NotVerified("certificate", `the certificate has a critical extension ${oid}`);
    }
  }
  if (findExtension(certificate, extensionOids.poison) !== undefined) {
    throw new NotVerified("certificate", "the certificate is a precertificate");
  }
}
