/** A whole Sigstore in memory, with real keys: what it makes verifies, unless it is asked to spoil one thing. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import type { LogEntry } from "../../core/formats/bundle-entry.ts";
import { formatCheckpoint } from "../../core/formats/checkpoint.ts";
import * as der from "../../core/formats/der.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { fulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import { formatLeafTbs, type LeafFields, withSctList } from "../../core/formats/leaf-profile.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { formatNote, keyHintOf } from "../../core/formats/note.ts";
import { formatSetPayload } from "../../core/formats/rekor-entry.ts";
import {
  digitallySigned,
  formatSctList,
  type Sct,
  sctSignatureInput,
} from "../../core/formats/sct.ts";
import type { TrustedRoot } from "../../core/formats/trusted-root.ts";
import {
  type Extension,
  extensionOids,
  formatCertificate,
  formatName,
  formatTbs,
  keyIdentifier,
  keyPurposes,
  type SubjectAltName,
} from "../../core/formats/x509.ts";

/** A P-256 key. */
export interface BoxKey {
  readonly privateKey: KeyObject;
  readonly spki: Uint8Array;
}

/** Where something can be spoiled. Each hook gets what is right and gives back what is used instead. */
export interface Spoil {
  readonly leaf?: (fields: LeafFields) => LeafFields;
  readonly scts?: (scts: Sct[], resign: (timestampMs: bigint) => Sct) => Sct[];
  readonly withoutScts?: boolean;
  readonly entry?: (entry: LogEntry) => LogEntry;
  readonly caKey?: BoxKey;
}

/** Who signs, and when. */
export interface Who {
  readonly san: SubjectAltName;
  readonly oidcIssuer: string;
  readonly at: Date;
}

/** A Sigstore of one. */
export interface SigstoreBox {
  readonly trustedRoot: TrustedRoot;
  /** DER of a leaf for the key. */
  readonly certify: (spki: Uint8Array, who: Who, spoil?: Spoil) => Uint8Array;
  /** The entry, alone in its log. */
  readonly log: (body: Uint8Array, kind: string, at: Date, spoil?: Spoil) => LogEntry;
}

/** A fresh P-256 key. */
export function boxKey(): BoxKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, spki: new Uint8Array(publicKey.export({ type: "spki", format: "der" })) };
}

/** A fresh instance, whose authority and logs are in use from `start` on. `ca` changes the certificates of its authority. */
export function sigstoreBox(
  start: Date,
  ca: { readonly notAfter?: Date; readonly extensions?: readonly Extension[] } = {},
): SigstoreBox {
  const [rootKey, caKey, ctKey, rekorKey] = [boxKey(), boxKey(), boxKey(), boxKey()];
  const validFor = { start, end: null };
  const names = {
    root: formatName({ commonName: "box root", organization: "box" }),
    ca: formatName({ commonName: "box issuing", organization: "box" }),
  };
  const notAfter = ca.notAfter ?? new Date(start.getTime() + 10 * 365 * 86_400_000);
  const authority = (key: BoxKey, subject: Uint8Array, extensions: readonly Extension[]) =>
    certificate(rootKey, {
      serial: Uint8Array.of(1),
      issuer: names.root,
      subject,
      notBefore: start,
      notAfter,
      publicKey: key.spki,
      extensions,
    });
  const issuing = authority(caKey, names.ca, ca.extensions ?? caExtensions(0));
  const root = authority(rootKey, names.root, caExtensions(null));
  const logOf = ({ spki }: BoxKey, baseUrl: string) => ({
    baseUrl,
    publicKey: spki,
    keyDetails: "PKIX_ECDSA_P256_SHA_256",
    validFor,
    logId: sha256(spki),
  });
  return {
    trustedRoot: {
      tlogs: [logOf(rekorKey, "http://localhost")],
      certificateAuthorities: [
        {
          organization: "box",
          commonName: "box",
          uri: "http://localhost",
          certificates: [issuing, root],
          validFor,
        },
      ],
      ctlogs: [logOf(ctKey, "http://localhost/ct")],
      timestampAuthorities: [],
    },
    certify: (spki, who, spoil = {}) => {
      const fields = leafFields(spki, who, names.ca, caKey);
      return issue(spoil.leaf?.(fields) ?? fields, spoil.caKey ?? caKey, ctKey, spoil);
    },
    log: (body, kind, at, spoil = {}) => {
      const entry = logged(body, kind, at, rekorKey);
      return spoil.entry?.(entry) ?? entry;
    },
  };
}

/** Extensions of an authority's certificate. */
export function caExtensions(
  pathLength: number | null,
  purpose: string = keyPurposes.codeSigning,
): readonly Extension[] {
  const constraints = [
    der.boolean(true),
    ...(pathLength === null ? [] : [der.integer(BigInt(pathLength))]),
  ];
  const purposes = {
    oid: extensionOids.extendedKeyUsage,
    critical: false,
    value: der.sequence(der.oid(purpose)),
  };
  return [
    { oid: extensionOids.keyUsage, critical: true, value: der.bitString(Uint8Array.of(0x06), 1) },
    ...(pathLength === null ? [] : [purposes]),
    { oid: extensionOids.basicConstraints, critical: true, value: der.sequence(...constraints) },
  ];
}

function leafFields(
  publicKey: Uint8Array,
  { san, oidcIssuer, at }: Who,
  issuerName: Uint8Array,
  caKey: BoxKey,
): LeafFields {
  const serial = randomBytes(20);
  serial[0] = 0x40;
  return {
    serial,
    issuerName,
    authorityKeyId: keyIdentifier(caKey.spki),
    signatureAlgorithm: "ecdsa-sha256",
    notBefore: at,
    notAfter: new Date(at.getTime() + 600_000),
    publicKey,
    san,
    fulcio: fulcioExtensions({ oidcIssuer, subject: san.value, extensions: [] }),
  };
}

function issue(fields: LeafFields, caKey: BoxKey, ctKey: BoxKey, spoil: Spoil): Uint8Array {
  const tbs = formatLeafTbs(fields, { kind: "none" });
  const issuerKeyHash = sha256(caKey.spki);
  const promise = (timestampMs: bigint): Sct => {
    const input = sctSignatureInput({ kind: "precertificate", timestampMs, issuerKeyHash, tbs });
    const signature = digitallySigned(sign("sha256", input, ctKey.privateKey));
    return { logId: sha256(ctKey.spki), timestampMs, extensions: new Uint8Array(), signature };
  };
  const scts = [promise(BigInt(fields.notBefore.getTime()))];
  const used = spoil.scts?.(scts, promise) ?? scts;
  const whole = spoil.withoutScts === true ? tbs : withSctList(tbs, formatSctList(used));
  return formatCertificate(whole, "ecdsa-sha256", sign("sha256", whole, caKey.privateKey));
}

function logged(body: Uint8Array, kind: string, at: Date, rekorKey: BoxKey): LogEntry {
  const integratedTimeSeconds = BigInt(Math.floor(at.getTime() / 1000));
  const logId = sha256(rekorKey.spki);
  const payload = formatSetPayload({ body, integratedTimeSeconds, logId, logIndex: 7n });
  const root = leafHash(body);
  const text = formatCheckpoint({ origin: "localhost - 1", size: 1n, root });
  const signature = sign("sha256", encodeUtf8(text), rekorKey.privateKey);
  const line = { name: "localhost", keyHint: keyHintOf("localhost", rekorKey.spki), signature };
  return {
    index: 7n,
    logId,
    kind,
    kindVersion: "0.0.1",
    integratedTimeSeconds,
    signedEntryTimestamp: new Uint8Array(sign("sha256", payload, rekorKey.privateKey)),
    inclusionProof: { index: 0n, root, size: 1n, hashes: [], checkpoint: formatNote(text, [line]) },
    canonicalizedBody: body,
  };
}

function certificate(
  key: BoxKey,
  fields: Omit<Parameters<typeof formatTbs>[0], "signatureAlgorithm">,
): Uint8Array {
  const tbs = formatTbs({ ...fields, signatureAlgorithm: "ecdsa-sha256" });
  return formatCertificate(tbs, "ecdsa-sha256", sign("sha256", tbs, key.privateKey));
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
