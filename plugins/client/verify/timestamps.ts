/**
 * RFC 3161 timestamps of a bundle (client-spec.md; RFC 3161 §2.2). Every one must hold. The signer is found by the issuer and serial
 * that were signed for, never by its place in a list (CVE-2026-39984), and the signature itself is verified (CVE-2025-52556).
 */
import { digest } from "../../../core/crypto/hash.ts";
import { importPublicKey, isEcdsa } from "../../../core/crypto/keys.ts";
import { verifySignature } from "../../../core/crypto/verify.ts";
import { equalBytes } from "../../../core/formats/encoding.ts";
import { type TrustedAuthority, covers } from "../../../core/formats/trusted-root.ts";
import { parseTimestampResponse, type TimestampToken } from "../../../core/formats/tsp-token.ts";
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
import { followChain } from "./chain.ts";
import { NotVerified } from "./not-verified.ts";

/** The times at which trusted authorities saw the signature. @throws {NotVerified} if one timestamp does not hold. */
export function verifyTimestamps(
  responses: readonly Uint8Array[],
  authorities: readonly TrustedAuthority[],
  signature: Uint8Array,
): readonly Date[] {
  return responses.map((response) => verifyTimestamp(response, authorities, signature));
}

const digitalSignature = 0;

/** How signer infos name ECDSA and RSA PKCS#1 v1.5 (RFC 5754 §3); RSA's may leave the hash to the digest algorithm. */
const signatureAlgorithms = {
  ecdsa: {
    sha256: ["1.2.840.10045.4.3.2"],
    sha384: ["1.2.840.10045.4.3.3"],
    sha512: ["1.2.840.10045.4.3.4"],
  },
  rsa: {
    sha256: ["1.2.840.113549.1.1.11", "1.2.840.113549.1.1.1"],
    sha384: ["1.2.840.113549.1.1.12", "1.2.840.113549.1.1.1"],
    sha512: ["1.2.840.113549.1.1.13", "1.2.840.113549.1.1.1"],
  },
} as const;

function verifyTimestamp(
  response: Uint8Array,
  authorities: readonly TrustedAuthority[],
  signature: Uint8Array,
): Date {
  const token = parseTimestampResponse(response);
  if (!equalBytes(token.messageImprint, digest(token.hashAlgorithm, signature))) {
    throw wrong("it is for another signature");
  }
  const { genTime } = token;
  let reason = "its authority is not in the trusted root";
  for (const authority of authorities) {
    const found = signerIn(authority, token);
    if (found === null) continue;
    if (!covers(authority.validFor, genTime)) {
      reason = "its authority was not in use then";
      continue;
    }
    const { own, above } = found;
    checkOwn(own, genTime);
    const broken = followChain(own, above, { time: genTime, purpose: keyPurposes.timeStamping });
    if (broken !== null) throw wrong(`its authority's chain does not hold: ${broken}`);
    checkToken(token, own);
    return genTime;
  }
  throw wrong(reason);
}

/** The authority's certificate and those above it, if it is the one that the token names. */
function signerIn(
  { certificates }: TrustedAuthority,
  token: TimestampToken,
): { readonly own: Certificate; readonly above: readonly Certificate[] } | null {
  const [first, ...rest] = certificates.map(parseCertificate);
  if (first === undefined) return null;
  if (!readBasicConstraints(first).isCa) {
    return isNamed(first, token) ? { own: first, above: rest } : null;
  }
  // A trusted root may leave the authority's own certificate to the tokens; it is then held against the chain like any other.
  const own = token.certificates.map(parseCertificate).find((one) => isNamed(one, token));
  const isBelow = own !== undefined && equalBytes(own.issuer, first.subject);
  return isBelow ? { own, above: [first, ...rest] } : null;
}

function isNamed(certificate: Certificate, { signer }: TimestampToken): boolean {
  return (
    equalBytes(certificate.serial, signer.serial) && equalBytes(certificate.issuer, signer.issuer)
  );
}

function checkOwn(own: Certificate, time: Date): void {
  if (own.notBefore > time || time > own.notAfter) {
    throw wrong("its authority's certificate was not valid then");
  }
  const purposes = findExtension(own, extensionOids.extendedKeyUsage);
  if (readKeyPurposes(own)?.join() !== keyPurposes.timeStamping || purposes?.critical !== true) {
    throw wrong("its authority's certificate is not for timestamps alone");
  }
  if (readBasicConstraints(own).isCa || readKeyUsage(own)?.has(digitalSignature) === false) {
    throw wrong("its authority's certificate is not for signatures");
  }
}

function checkToken({ signer, tstInfo }: TimestampToken, own: Certificate): void {
  const { certificate, digestAlgorithm, messageDigest, signedAttributes } = signer;
  if (!equalBytes(messageDigest, digest(digestAlgorithm, tstInfo))) {
    throw wrong("its content is not what was signed");
  }
  if (!equalBytes(certificate.hash, digest(certificate.hashAlgorithm, own.der))) {
    throw wrong("it was signed for another certificate");
  }
  const { issuerSerial } = certificate;
  if (
    issuerSerial !== null &&
    !(equalBytes(issuerSerial.issuer, own.issuer) && equalBytes(issuerSerial.serial, own.serial))
  ) {
    throw wrong("it was signed for a certificate of another issuer or serial number");
  }
  const key = importPublicKey(own.publicKey);
  if (key.algorithm === "ed25519") throw wrong("its authority's key is of no kind that is known");
  const { [digestAlgorithm]: names } =
    signatureAlgorithms[isEcdsa(key.algorithm) ? "ecdsa" : "rsa"];
  const isNamedSo = names.some((oid) => oid === signer.signatureAlgorithm);
  if (!isNamedSo || !verifySignature(key, signedAttributes, signer.signature, digestAlgorithm)) {
    throw wrong("its signature does not verify");
  }
}

function wrong(reason: string): NotVerified {
  return new NotVerified("signing-time", `a timestamp does not verify: ${reason}`);
}
