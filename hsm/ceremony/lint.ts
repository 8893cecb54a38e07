/** Rules that a certificate must obey before it is signed, and again when it is read back (RFC 5280; fulcio docs/certificate-specification.md). */
import { encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import {
  extensionOids,
  findExtension,
  keyPurposes,
  parseTbs,
  readBasicConstraints,
  readKeyPurposes,
  readKeyUsage,
  type TbsCertificate,
} from "../../core/formats/x509.ts";
import { VaultRefused } from "../errors.ts";

/**
 * What a certificate is for: CAs (a root, one between, one that issues, one that does both alone), and the leaf of a timestamp authority
 * (RFC 3161 §2.3) with what may be above it.
 */
export const authorityKinds = [
  "root",
  "intermediate",
  "issuing",
  "single",
  "timestampIntermediate",
  "timestamp",
] as const;

/** One of them. */
export type AuthorityKind = (typeof authorityKinds)[number];

/** True of what has nothing above it. */
export function isSelfSigned(kind: AuthorityKind): boolean {
  return kind === "root" || kind === "single";
}

interface Rule {
  readonly id: string;
  readonly holds: (
    tbs: TbsCertificate,
    kind: AuthorityKind,
    /** The certificate above; null of a self-signed one, and where it is not at hand. */
    issuer: TbsCertificate | null,
  ) => boolean;
}

/** Bits of RFC 5280 §4.2.1.3. */
const digitalSignature = 0;
const keyCertSign = 5;
const crlSign = 6;
const purposesOf: { readonly [Kind in AuthorityKind]: string | undefined } = {
  root: undefined,
  intermediate: keyPurposes.codeSigning,
  issuing: keyPurposes.codeSigning,
  single: keyPurposes.codeSigning,
  timestampIntermediate: keyPurposes.timeStamping,
  timestamp: keyPurposes.timeStamping,
};
/** How many CAs may be below; null if nothing is said. */
const pathLengths: { readonly [Kind in AuthorityKind]: (below: bigint | null) => boolean } = {
  root: (below) => below === null,
  intermediate: (below) => below !== null && below >= 1n,
  issuing: (below) => below === 0n,
  single: (below) => below === 0n,
  timestampIntermediate: (below) => below !== null,
  timestamp: (below) => below === null,
};
const minSerialBytes = 8;
const maxSerialBytes = 20;

const rules: readonly Rule[] = [
  {
    id: "serial-length",
    holds: ({ serial }) => serial.length >= minSerialBytes && serial.length <= maxSerialBytes,
  },
  { id: "validity-order", holds: ({ notBefore, notAfter }) => notBefore < notAfter },
  { id: "subject-present", holds: ({ subject }) => subject.length > 2 },
  {
    id: "self-issued-root",
    holds: ({ issuer, subject }, kind) => equalBytes(issuer, subject) === isSelfSigned(kind),
  },
  {
    id: "basic-constraints",
    holds: (tbs, kind) => {
      const { isCa, pathLength } = readBasicConstraints(tbs);
      return isCa === (kind !== "timestamp") && pathLengths[kind](pathLength);
    },
  },
  {
    id: "basic-constraints-critical",
    holds: (tbs) => findExtension(tbs, extensionOids.basicConstraints)?.critical === true,
  },
  {
    id: "key-usage",
    holds: (tbs, kind) =>
      [...(readKeyUsage(tbs) ?? [])].join() ===
      (kind === "timestamp" ? String(digitalSignature) : `${keyCertSign},${crlSign}`),
  },
  {
    id: "key-usage-critical",
    holds: (tbs) => findExtension(tbs, extensionOids.keyUsage)?.critical === true,
  },
  {
    id: "extended-key-usage",
    holds: (tbs, kind) => readKeyPurposes(tbs)?.join() === purposesOf[kind],
  },
  {
    // RFC 3161 §2.3: critical, and the only purpose.
    id: "timestamp-purpose-critical",
    holds: (tbs, kind) =>
      (findExtension(tbs, extensionOids.extendedKeyUsage)?.critical === true) ===
      (kind === "timestamp"),
  },
  {
    // RFC 5280 §6.1.4 (m): verifiers count the CAs below each, and refuse one too many.
    id: "path-length-nested",
    holds: (tbs, _, issuer) => {
      const { isCa, pathLength } = readBasicConstraints(tbs);
      const above = issuer && readBasicConstraints(issuer);
      if (!above || !isCa) return above?.isCa !== false;
      const most = above.pathLength;
      return above.isCa && (most === null || (pathLength !== null && pathLength < most));
    },
  },
  {
    id: "validity-within-issuer",
    holds: ({ notBefore, notAfter }, _, issuer) =>
      issuer === null || (notBefore >= issuer.notBefore && notAfter <= issuer.notAfter),
  },
  {
    // Verifiers demand of every CA below a root that its purposes hold those of what it issues.
    id: "purpose-nested",
    holds: (tbs, _, issuer) => {
      const allowed = issuer && readKeyPurposes(issuer);
      return !allowed || (readKeyPurposes(tbs) ?? []).every((purpose) => allowed.includes(purpose));
    },
  },
  {
    id: "subject-key-identifier",
    holds: (tbs) => findExtension(tbs, extensionOids.subjectKeyIdentifier) !== undefined,
  },
  {
    id: "authority-key-identifier",
    holds: (tbs) => findExtension(tbs, extensionOids.authorityKeyIdentifier) !== undefined,
  },
  {
    id: "extensions-once",
    holds: ({ extensions }) => new Set(extensions.map(({ oid }) => oid)).size === extensions.length,
  },
];

/** The ids of all rules, which the transcript names. */
export const lintRules: readonly string[] = rules.map(({ id }) => id);

/** Holds a certificate against the rules, and against the one above it if that is given. @throws {VaultRefused} naming every broken rule */
export function lintAuthority(tbs: Uint8Array, kind: AuthorityKind, issuer?: Uint8Array): void {
  const parsed = parseTbs(tbs);
  const above = issuer ? parseTbs(issuer) : null;
  const broken = rules.filter(({ holds }) => !holds(parsed, kind, above)).map(({ id }) => id);
  if (broken.length > 0) {
    throw new VaultRefused(
      `the certificate with serial number ${encodeHex(parsed.serial)} breaks ${broken.join(", ")} and is not signed`,
    );
  }
}
