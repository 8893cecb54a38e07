/** Leaf certificates: precertificates and those whose SCT comes beside them are held against the profile of the issuing key and against identity's verdict, whose seal is checked here; a certificate with SCTs is made here. */
import { digestOf } from "../core/formats/digest.ts";
import { encodeHex, equalBytes } from "../core/formats/encoding.ts";
import {
  checkLeafTbs,
  maxLeafBytes,
  namesPrincipal,
  unpoison,
} from "../core/formats/leaf-profile.ts";
import { decodeVerdict } from "../core/formats/verdict.ts";
import { keyIdentifier, parseCertificate, type SignatureAlgorithm } from "../core/formats/x509.ts";
import { Failure } from "../events/failure.ts";
import type { Signable } from "../events/hsm.ts";
import type { VaultKey } from "./keyring.ts";
import type { Binding } from "./ledger-rows.ts";
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

/** What a precertificate's certificate is made of, and what is bound to it. */
export interface SignedPrecertificate {
  /** SHA-256 of its TBSCertificate without poison, which is also what an SCT covers of it. */
  readonly core: Uint8Array;
  /** SHA-256 of the sealed verdict. */
  readonly verdict: Uint8Array;
  readonly verifiedAtMs: bigint;
  readonly notBefore: Date;
  readonly binding: Omit<Extract<Binding, { kind: "precertificate" | "certificate" }>, "kind">;
  /** Its TBSCertificate with a list of SCTs in the place of the poison. */
  readonly listing: (list: Uint8Array) => Uint8Array;
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
  requireFresh(verdict.verifiedAtMs, limits);
  const { fields, end } = checkLeafTbs(tbs, profileOf(key, limits));
  if (end.kind === "sctList") {
    throw new Failure(
      "purpose-refused",
      "a certificate with SCTs is made by the vault itself, out of its precertificate",
    );
  }
  if (!equalBytes(digestOf("sha256", fields.publicKey), verdict.publicKeyHash)) {
    throw new Failure("purpose-refused", "the certificate's public key is not the verdict's");
  }
  if (!namesPrincipal(fields, verdict.principal)) {
    throw new Failure("purpose-refused", "the certificate does not name the verdict's principal");
  }
  const about = { serial: fields.serial, verdict: sha256(sealed.verdict) };
  const binding = {
    serial: encodeHex(fields.serial),
    verdict: encodeHex(about.verdict),
    tokenDigest: encodeHex(verdict.tokenDigest),
    publicKeyHash: encodeHex(verdict.publicKeyHash),
  };
  if (end.kind === "none") {
    const claim = { kind: "bareCertificate", core: sha256(tbs), ...about } as const;
    return { messages: [tbs], claim, binding: { kind: "certificate", ...binding } };
  }
  // What is read is part of a larger message, which is not to be kept for it.
  const { bare, listing } = unpoison(new Uint8Array(tbs));
  const core = sha256(bare);
  const { verifiedAtMs } = verdict;
  const { notBefore } = fields;
  return {
    messages: [tbs],
    claim: { kind: "precertificate", core, ...about },
    binding: { kind: "precertificate", ...binding },
    precertificate: { core, verdict: about.verdict, verifiedAtMs, notBefore, binding, listing },
  };
}

/** @throws {Failure} purpose-refused */
function requireFresh(
  verifiedAtMs: bigint,
  {
    nowMs,
    verdictFreshSeconds,
  }: Pick<CertificateLimits, "verdictFreshSeconds"> & { readonly nowMs: number },
): void {
  const ageMs = nowMs - Number(verifiedAtMs);
  if (ageMs > verdictFreshSeconds * 1_000 || ageMs < -clockSkewSeconds * 1_000) {
    throw new Failure("purpose-refused", "the verdict is not fresh");
  }
}

/**
 * The certificate of a precertificate: the same bytes, with this list of SCTs in the place of the poison. All else that it says was
 * judged then; what is left is the time. That this is its only certificate is on record since then.
 *
 * @throws {Failure} purpose-refused if it has grown old since
 */
export function completedCertificate(
  { verifiedAtMs, notBefore, binding, listing }: SignedPrecertificate,
  list: Uint8Array,
  limits: CertificateLimits & { readonly nowMs: number },
): Prepared {
  requireFresh(verifiedAtMs, limits);
  const { notBeforeFrom, notBeforeTo } = windowOf(limits);
  if (notBefore < notBeforeFrom || notBefore > notBeforeTo) {
    throw new Failure("purpose-refused", "the certificate would begin at another time than now");
  }
  const tbs = listing(list);
  if (tbs.length >= maxLeafBytes) throw new Failure("lint-refused", "leaf profile: size");
  return {
    messages: [tbs],
    // Admitted with its precertificate.
    claim: { kind: "none" },
    binding: { kind: "certificate", ...binding },
    signed: () => list,
  };
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
  return {
    ...issuer,
    bare: limits.bareCertificates === true,
    maxLifetimeSeconds: limits.maxCertificateSeconds,
    ...windowOf(limits),
  };
}

/** When a certificate may begin. */
function windowOf({
  nowMs,
  verdictFreshSeconds,
}: Pick<CertificateLimits, "verdictFreshSeconds"> & { readonly nowMs: number }) {
  const windowMs = (verdictFreshSeconds + clockSkewSeconds) * 1_000;
  return {
    notBeforeFrom: new Date(nowMs - windowMs),
    notBeforeTo: new Date(nowMs + clockSkewSeconds * 1_000),
  };
}
