/** Leaves for a vault's issuing key, and a certificate for that key. */
import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign as softSign,
} from "node:crypto";
import { sha256 } from "../../core/crypto/hash.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { fulcioExtensions } from "../../core/formats/fulcio-oids.ts";
import { formatLeafTbs, type LeafEnd } from "../../core/formats/leaf-profile.ts";
import { digitallySigned, formatSctList } from "../../core/formats/sct.ts";
import { encodeVerdict } from "../../core/formats/verdict.ts";
import {
  formatCertificate,
  formatName,
  formatTbs,
  keyIdentifier,
} from "../../core/formats/x509.ts";
import { randomSerial } from "../../hsm/ceremony/authorities.ts";
import { authorityExtensions } from "../../hsm/ceremony/profiles.ts";
import { testSeals } from "../support/boot.ts";

const issuerUrl = "http://localhost:8420/oidc";
const name = formatName({ commonName: "issuing", organization: "test" });
const subject = generateKeyPairSync("ec", { namedCurve: "P-256" });
const subjectSpki = spki(subject.publicKey);

/** The time from which on this process's certificates are valid. */
export const startedAt = new Date(Math.floor(Date.now() / 1_000) * 1_000);

/** What a leaf or its verdict has otherwise than it should. */
export interface LeafChange {
  /** Now, in whole seconds, unless the clock is held still. */
  readonly atMs?: number;
  readonly mac?: Uint8Array;
  readonly verifiedAtMs?: number;
  readonly publicKeyHash?: Uint8Array;
  readonly email?: string;
  readonly subject?: string;
  readonly lifetimeSeconds?: number;
  readonly notBeforeMs?: number;
  readonly issuerName?: Uint8Array;
  readonly authorityKeyId?: Uint8Array;
  readonly end?: LeafEnd;
}

/** A precertificate, a certificate of it with a false SCT, the verdict for both, and the questions for SCT and true certificate. */
export function newLeaf(issuingKey: Uint8Array, change: LeafChange = {}) {
  // A verdict counts for a minute: each leaf is of its own time, however long the tests before it took.
  const at = change.atMs ?? Math.floor(Date.now() / 1_000) * 1_000;
  const notBefore = new Date(at + (change.notBeforeMs ?? 0));
  const claims = { oidcIssuer: issuerUrl, subject: "s", extensions: [] };
  const fields = {
    serial: randomSerial(),
    issuerName: change.issuerName ?? name,
    authorityKeyId: change.authorityKeyId ?? keyIdentifier(issuingKey),
    signatureAlgorithm: "ecdsa-sha256" as const,
    notBefore,
    notAfter: new Date(notBefore.getTime() + 1_000 * (change.lifetimeSeconds ?? 600)),
    publicKey: subjectSpki,
    san: { kind: "email" as const, value: "user@example.com" },
    fulcio: fulcioExtensions(claims),
  };
  const email = change.email ?? "user@example.com";
  const verdict = encodeVerdict({
    principal: {
      ...claims,
      subject: change.subject ?? "s",
      challenge: email,
      san: { kind: "email", value: email },
    },
    tokenDigest: randomBytes(32),
    publicKeyHash: change.publicKeyHash ?? createHash("sha256").update(subjectSpki).digest(),
    verifiedAtMs: BigInt(at + (change.verifiedAtMs ?? 0)),
    nonce: new Uint8Array(16),
  });
  const mac = change.mac ?? testSeals("identity").seal("hsm", verdict);
  const sct = { logId: randomBytes(32), timestampMs: 1n, extensions: new Uint8Array() };
  const list = formatSctList([{ ...sct, signature: digitallySigned(encodeUtf8("signature")) }]);
  const bare = formatLeafTbs(fields, { kind: "none" });
  const issuerKeyHash = sha256(issuingKey);
  return {
    verdict: { verdict, mac },
    pre: formatLeafTbs(fields, change.end ?? { kind: "poison" }),
    final: formatLeafTbs(fields, { kind: "sctList", list }),
    entry: { kind: "precertificate" as const, timestampMs: BigInt(at), issuerKeyHash, tbs: bare },
    completion: { precertificate: sha256(bare), verdict: sha256(verdict) },
  };
}

/** A certificate for the vault's key, from a CA of the same name whose key is forgotten: only its fields matter here. */
export function selfIssued(publicKey: Uint8Array): readonly Uint8Array[] {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signatureAlgorithm = "ecdsa-sha256";
  const tbs = formatTbs({
    issuer: name,
    subject: name,
    publicKey,
    signatureAlgorithm,
    serial: randomSerial(),
    notBefore: startedAt,
    notAfter: new Date(startedAt.getTime() + 86_400_000),
    extensions: authorityExtensions("issuing", { subject: publicKey, issuer: publicKey }),
  });
  return [formatCertificate(tbs, signatureAlgorithm, softSign("sha256", tbs, privateKey))];
}

function spki(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}
