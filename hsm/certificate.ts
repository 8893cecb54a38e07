/** Leaf certificates: held against the profile of the issuing key and against identity's verdict, whose seal is checked here. */
import { digestOf } from "../core/formats/digest.ts";
import { encodeHex, equalBytes } from "../core/formats/encoding.ts";
import {
  checkLeafTbs,
  type LeafEnd,
  maxLeafBytes,
  namesPrincipal,
  unlist,
  withoutPoison,
  withoutSctList,
} from "../core/formats/leaf-profile.ts";
import { parseSctList } from "../core/formats/sct.ts";
import { decodeVerdict } from "../core/formats/verdict.ts";
import { keyIdentifier, parseCertificate, type SignatureAlgorithm } from "../core/formats/x509.ts";
import { Failure } from "../events/failure.ts";
import type { Signable } from "../events/hsm.ts";
import type { Claim } from "./guard.ts";
import { Judged } from "./judged.ts";
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
  const known = finalOfJudged(tbs, sealed, { key, limits });
  if (known !== null) return known;
  if (!limits.verifySeal(sealed.verdict, sealed.mac)) {
    throw new Failure("purpose-refused", "the verdict does not carry identity's seal");
  }
  const verdict = decodeVerdict(sealed.verdict);
  requireFresh(verdict.verifiedAtMs, limits);
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
  const claim = claimOf(tbs, end, { serial: fields.serial, verdict: verdictHash });
  const binding = {
    serial: encodeHex(fields.serial),
    verdict: encodeHex(verdictHash),
    tokenDigest: encodeHex(verdict.tokenDigest),
    publicKeyHash: encodeHex(verdict.publicKeyHash),
  };
  if (claim.kind !== "precertificate") {
    return { messages: [tbs], claim, binding: { kind: "certificate", ...binding } };
  }
  judgedFor(key).keep(claim.core, {
    verdict: verdictHash,
    mac: sealed.mac,
    verifiedAtMs: verdict.verifiedAtMs,
    notBefore: fields.notBefore,
    binding,
  });
  return { messages: [tbs], claim, binding: { kind: "precertificate", ...binding } };
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
 * A certificate that is a precertificate of a moment ago with an SCT list in the place of its poison, under the same verdict: all that
 * it says was judged then, byte for byte, so what is left is the list and the time. Null for every other, which is judged from the
 * beginning. Whether that precertificate was signed, and this is the first certificate of it, is the guard's to say for both.
 */
function finalOfJudged(
  tbs: Uint8Array,
  sealed: Extract<Signable, { purpose: "certificate" }>["verdict"],
  {
    key,
    limits,
  }: { readonly key: VaultKey; readonly limits: CertificateLimits & { readonly nowMs: number } },
): Prepared | null {
  const judged = judgedFor(key);
  if (judged.isEmpty) return null;
  const parts = unlist(tbs);
  if (parts === null || tbs.length >= maxLeafBytes) return null;
  const core = sha256(parts.bare);
  const found = judged.take(core);
  if (found === null || !equalBytes(found.mac, sealed.mac)) return null;
  if (!equalBytes(found.verdict, sha256(sealed.verdict))) return null;
  requireFresh(found.verifiedAtMs, limits);
  const { notBeforeFrom, notBeforeTo } = windowOf(limits);
  if (found.notBefore < notBeforeFrom || found.notBefore > notBeforeTo) return null;
  parseSctList(parts.list);
  return {
    messages: [tbs],
    claim: { kind: "certificate", core, verdict: found.verdict },
    binding: { kind: "certificate", ...found.binding },
  };
}

/** What is known of each key's newest precertificates. */
const judgedOf = new WeakMap<VaultKey, Judged>();

function judgedFor(key: VaultKey): Judged {
  const judged = judgedOf.get(key) ?? new Judged();
  judgedOf.set(key, judged);
  return judged;
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
