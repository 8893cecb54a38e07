/** Leaf certificates: held against the profile of the issuing key and against identity's verdict, whose seal is checked here. */
import { digestOf } from "../core/formats/digest.ts";
import { encodeHex, equalBytes } from "../core/formats/encoding.ts";
import {
  checkLeafTbs,
  type LeafEnd,
  namesPrincipal,
  withoutPoison,
  withoutSctList,
} from "../core/formats/leaf-profile.ts";
import { parseSctList } from "../core/formats/sct.ts";
import { decodeVerdict } from "../core/formats/verdict.ts";
import { keyIdentifier, parseCertificate, type SignatureAlgorithm } from "../core/formats/x509.ts";
import { Failure } from "../events/failure.ts";
import type { Signable } from "../events/hsm.ts";
import type { Claim } from "./guard.ts";
import type { VaultKey } from "./keyring.ts";
import type { Prepared } from "./prepared.ts";

/** True if identity sealed exactly this statement. */
export type VerifySeal = (statement: Uint8Array, mac: Uint8Array) => boolean;

/** What bounds certificates. */
export interface CertificateLimits {
  readonly maxCertificateSeconds: number;
  /** How old a verdict may be. */
  readonly verdictFreshSeconds: number;
  /** True if certificates without an SCT list are signed, whose SCT comes beside them. */
  readonly bareCertificates?: boolean;
}

/** How far another process of the same machine may see the clock ahead of us. */
const clockSkewSeconds = 5;

/** @throws {Failure} purpose-refused or lint-refused. @throws {Malformed} naming the broken rule */
export function prepareCertificate(
  { tbs, verdict: sealed }: Extract<Signable, { purpose: "certificate" }>,
  key: VaultKey,
  limits: CertificateLimits & { readonly nowMs: number; readonly verifySeal: VerifySeal },
): Prepared {
  if (!limits.verifySeal(sealed.verdict, sealed.mac)) {
    throw new Failure("purpose-refused", "the verdict does not carry identity's seal");
  }
  const verdict = decodeVerdict(sealed.verdict);
  const ageMs = limits.nowMs - Number(verdict.verifiedAtMs);
  if (ageMs > limits.verdictFreshSeconds * 1_000 || ageMs < -clockSkewSeconds * 1_000) {
    throw new Failure("purpose-refused", "the verdict is not fresh");
  }
  const { fields, end } = checkLeafTbs(tbs, profileOf(key, limits));
  if (!equalBytes(digestOf("sha256", fields.publicKey), verdict.publicKeyHash)) {
    throw new Failure("purpose-refused", "the certificate's public key is not the verdict's");
  }
  if (!namesPrincipal(fields, verdict.principal)) {
    throw new Failure("purpose-refused", "the certificate does not name the verdict's principal");
  }
  // One SCT at least, and nothing else in its place.
  if (end.kind === "sctList") parseSctList(end.list);
  const verdictHash = digestOf("sha256", sealed.verdict);
  const precertificate = end.kind === "poison";
  return {
    messages: [tbs],
    claim: claimOf(tbs, end, { serial: fields.serial, verdict: verdictHash }),
    binding: {
      kind: precertificate ? "precertificate" : "certificate",
      serial: encodeHex(fields.serial),
      verdict: encodeHex(verdictHash),
      tokenDigest: encodeHex(verdict.tokenDigest),
      publicKeyHash: encodeHex(verdict.publicKeyHash),
    },
  };
}

function claimOf(
  tbs: Uint8Array,
  end: LeafEnd,
  about: { readonly serial: Uint8Array; readonly verdict: Uint8Array },
): Claim {
  switch (end.kind) {
    case "poison":
      return { kind: "precertificate", core: sha256(withoutPoison(tbs)), ...about };
    case "sctList":
      return { kind: "certificate", core: sha256(withoutSctList(tbs)), verdict: about.verdict };
    case "none":
      return { kind: "bareCertificate", core: sha256(tbs), ...about };
  }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return digestOf("sha256", bytes);
}

/** The algorithm in certificates that a key signs. @throws {Failure} purpose-refused for a key that signs none */
export function signatureAlgorithmOf(key: Pick<VaultKey, "algorithm">): SignatureAlgorithm {
  switch (key.algorithm) {
    case "ecdsa-p256":
      return "ecdsa-sha256";
    case "ecdsa-p384":
      return "ecdsa-sha384";
    case "rsa-2048":
    case "rsa-3072":
    case "rsa-4096":
      return "rsa-sha256";
    case "ed25519":
      throw new Failure("purpose-refused", "not every client reads certificates of Ed25519 keys");
  }
}

/** What of a profile is the key's own: read once, because certificates come often and keyrings never change. */
const issuers = new WeakMap<VaultKey, ReturnType<typeof issuerOf>>();

function issuerOf(key: VaultKey) {
  const [own] = key.chain ?? [];
  if (own === undefined) {
    throw new Failure("purpose-refused", `the keyring binds no certificate to ${key.label}`);
  }
  return {
    issuerName: parseCertificate(own).subject,
    authorityKeyId: keyIdentifier(key.publicKey),
    signatureAlgorithm: signatureAlgorithmOf(key),
  };
}

function profileOf(key: VaultKey, limits: CertificateLimits & { readonly nowMs: number }) {
  const issuer = issuers.get(key) ?? issuerOf(key);
  issuers.set(key, issuer);
  const windowMs = (limits.verdictFreshSeconds + clockSkewSeconds) * 1_000;
  return {
    ...issuer,
    bare: limits.bareCertificates === true,
    maxLifetimeSeconds: limits.maxCertificateSeconds,
    notBeforeFrom: new Date(limits.nowMs - windowMs),
    notBeforeTo: new Date(limits.nowMs + clockSkewSeconds * 1_000),
  };
}
