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

/** What a certificate is for: the two kinds of CA, and the leaf of a timestamp authority (RFC 3161 §2.3). */
export type AuthorityKind = "root" | "issuing" | "timestamp";

/** All kinds. */
export const authorityKinds = ["root", "issuing", "timestamp"] as const satisfies AuthorityKind[];

interface Rule {
  readonly id: string;
  readonly holds: (tbs: TbsCertificate, kind: AuthorityKind) => boolean;
}

/** Bits of RFC 5280 §4.2.1.3. */
const digitalSignature = 0;
const keyCertSign = 5;
const crlSign = 6;
const purposesOf: { readonly [Kind in AuthorityKind]: string | undefined } = {
  root: undefined,
  issuing: keyPurposes.codeSigning,
  timestamp: keyPurposes.timeStamping,
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
    holds: ({ issuer, subject }, kind) => equalBytes(issuer, subject) === (kind === "root"),
  },
  {
    id: "basic-constraints",
    holds: (tbs, kind) => {
      const { isCa, pathLength } = readBasicConstraints(tbs);
      if (kind === "timestamp") return !isCa && pathLength === null;
      return isCa && pathLength === (kind === "root" ? null : 0n);
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

/** @throws {VaultRefused} naming every broken rule */
export function lintAuthority(tbs: Uint8Array, kind: AuthorityKind): void {
  const parsed = parseTbs(tbs);
  const broken = rules.filter(({ holds }) => !holds(parsed, kind)).map(({ id }) => id);
  if (broken.length > 0) {
    throw new VaultRefused(
      `the certificate with serial number ${encodeHex(parsed.serial)} breaks ${broken.join(", ")} and is not signed`,
    );
  }
}
