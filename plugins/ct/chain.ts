/**
 * Which chains are taken (RFC 6962 §3.1, §4.1-§4.2): leaf first, each certificate signed by the next, ending in or right below an
 * accepted root, nothing missing, nothing more. Everything in here is attacker-controlled.
 */
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey, KeyInsecure, type PublicKey } from "../../core/crypto/keys.ts";
import { everyOne, type SpotCheck } from "../../core/crypto/spot-check.ts";
import { isSignedBy } from "../../core/crypto/signed.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
import { withoutPoison } from "../../core/formats/leaf-profile.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { certificateChainExtra, precertChainExtra } from "../../core/formats/sct.ts";
import {
  type Certificate,
  extensionOids,
  findExtension,
  parseCertificate,
  readBasicConstraints,
  readKeyPurposes,
  readKeyUsage,
} from "../../core/formats/x509.ts";
import { Failure } from "../../events/failure.ts";
import type { Candidate } from "../../events/log.ts";
import { asIssued, isPrecertificateSigner } from "./precertificate.ts";
import { isAllowed, isWanted } from "./purposes.ts";

/** A CA certificate with its key at hand. */
export interface Authority {
  readonly certificate: Certificate;
  readonly key: PublicKey;
  /** SHA-256 of its key, as SCTs cover it. */
  readonly keyHash: Uint8Array;
  /** What its extensions allow it, read once. */
  readonly isCa: boolean;
  readonly pathLength: bigint | null;
  readonly mayCertify: boolean;
  readonly purposes: readonly string[] | null;
}

/** What is believed without looking again. */
export interface Trust {
  /** Grows where a CA that is its own root takes over from another. */
  readonly roots: Authority[];
  /**
   * Our own issuing chains, issuing CA first, root last, every link checked once: nearly every submission ends with one. A CA that is
   * put into use later joins with its first leaf.
   */
  readonly chains: (readonly Authority[])[];
}

/** What the operator wants of chains, and when they are looked at. */
export interface ChainRules {
  /** Object identifiers; a leaf names one of them. */
  readonly purposes: ReadonlySet<string>;
  /** True if a leaf that has ended is refused. */
  readonly rejectExpired: boolean;
  readonly now: Date;
  /** Which leaves of known chains have their signature verified: every one unless told otherwise. */
  readonly look?: SpotCheck;
}

/** keyCertSign (RFC 5280 §4.2.1.3). */
const certSignBit = 5;
/** More than a root ever has issuing CAs: beyond it every link is checked every time. */
const maxKnownChains = 16;
/** DER of NULL: the only value a poison may have. */
const poisonValue = Uint8Array.of(0x05, 0x00);

/**
 * Reads chains as they are given by the vault and checks every link.
 *
 * @throws {Malformed} or {KeyInsecure} or {Failure} if one does not hold.
 */
export function readTrust(chains: readonly (readonly Uint8Array[])[], rules: ChainRules): Trust {
  const read = chains.map((chain) => chain.map((der) => readAuthority(parseCertificate(der))));
  const roots = read.flatMap((chain) => chain.slice(-1));
  for (const chain of read) {
    for (const [at, authority] of chain.entries()) {
      const { certificate } = authority;
      const above = chain[at + 1];
      // The last one is a root, which signs itself.
      if (above === undefined) checkLink(certificate, authority, { rules, below: at });
      else checkLink(certificate, above, { rules, below: at + 1 });
    }
  }
  return { roots, chains: read };
}

/** A submission that was accepted. */
export interface Accepted {
  readonly entry: Candidate;
  readonly notAfter: Date;
}

/**
 * Holds a submission against the rules and says what is to be logged.
 *
 * @throws {Failure} chain-rejected
 */
export function acceptChain(
  kind: "certificate" | "precertificate",
  chain: readonly Uint8Array[],
  trust: Trust,
  rules: ChainRules,
): Accepted {
  try {
    const [leafDer, ...restDer] = chain;
    if (leafDer === undefined) throw rejected("the chain is empty");
    const leaf = parseCertificate(leafDer);
    checkLeaf(leaf, kind, rules);
    const entry =
      kind === "certificate"
        ? certificateEntry(leaf, findPath(leaf, restDer, trust, rules))
        : precertificateEntry(leaf, findPath(leaf, restDer, trust, rules));
    return { entry, notAfter: leaf.notAfter };
  } catch (thrown) {
    if (thrown instanceof Malformed || thrown instanceof KeyInsecure) {
      throw new Failure("chain-rejected", thrown.message, { cause: thrown });
    }
    throw thrown;
  }
}

function certificateEntry(leaf: Certificate, path: readonly Authority[]): Candidate {
  const extraData = certificateChainExtra(path.map(({ certificate }) => certificate.der));
  return { kind: "certificate", certificate: leaf.der, extraData };
}

function precertificateEntry(leaf: Certificate, path: readonly Authority[]): Candidate {
  const [signer, above] = path;
  if (signer === undefined) throw rejected("the chain does not lead to an accepted root");
  const extraData = precertChainExtra(
    leaf.der,
    path.map(({ certificate }) => certificate.der),
  );
  const tbs = withoutPoison(leaf.tbs);
  if (!isPrecertificateSigner(signer.certificate)) {
    return { kind: "precertificate", issuerKeyHash: signer.keyHash, tbs, extraData };
  }
  if (above === undefined) throw rejected("no CA is above the one that signs precertificates");
  return {
    kind: "precertificate",
    issuerKeyHash: above.keyHash,
    tbs: asIssued(tbs, signer.certificate),
    extraData,
  };
}

function rejected(message: string): Failure {
  return new Failure("chain-rejected", message);
}

function readAuthority(certificate: Certificate): Authority {
  const mayCertify = readKeyUsage(certificate)?.has(certSignBit) !== false;
  const purposes = readKeyPurposes(certificate);
  const key = importPublicKey(certificate.publicKey);
  const keyHash = sha256(certificate.publicKey);
  const allowed = { ...readBasicConstraints(certificate), mayCertify, purposes };
  return { certificate, key, keyHash, ...allowed };
}

function checkLeaf(
  leaf: Certificate,
  kind: "certificate" | "precertificate",
  { purposes, rejectExpired, now }: ChainRules,
): void {
  const poison = findExtension(leaf, extensionOids.poison);
  if (kind === "certificate" && poison !== undefined) {
    throw rejected("a precertificate belongs to add-pre-chain");
  }
  if (kind === "precertificate") {
    if (poison === undefined) throw rejected("the precertificate has no poison");
    if (!poison.critical) throw rejected("the poison is not critical");
    if (!equalBytes(poison.value, poisonValue)) throw rejected("the poison's value is not NULL");
    if (findExtension(leaf, extensionOids.sctList) !== undefined) {
      throw rejected("a precertificate cannot hold an SCT list");
    }
  }
  if (!isWanted(readKeyPurposes(leaf), purposes)) {
    throw rejected("the certificate is not for a purpose that is logged");
  }
  if (leaf.notAfter < leaf.notBefore) throw rejected("the certificate ends before it begins");
  if (rejectExpired && leaf.notAfter < now) throw rejected("the certificate has ended");
}

/** The authorities above the leaf, root last, every link checked. */
function findPath(
  leaf: Certificate,
  restDer: readonly Uint8Array[],
  trust: Trust,
  rules: ChainRules,
): readonly Authority[] {
  const known = trust.chains.find((chain) => isWholeChain(chain, restDer));
  const path = known ?? completePath(leaf, restDer, trust);
  const signs = known === undefined && signsPrecertificate(leaf, path);
  for (const [at, authority] of path.entries()) {
    const below = path[at - 1]?.certificate ?? leaf;
    const isKnown = known !== undefined;
    // The links of a known chain were verified when it was loaded; its times are looked at again.
    if (isKnown && at > 0) checkTimes(authority.certificate, rules.now);
    else if (isKnown) checkLink(below, authority, { rules, below: at, look: rules.look });
    // RFC 6962 §3.1: it is there for the log only, so it counts neither in the path nor for the purpose.
    else if (!signs) checkLink(below, authority, { rules, below: at });
    else checkLink(below, authority, { rules, below: Math.max(0, at - 1), isSigner: at === 0 });
  }
  if (known === undefined && !signs && trust.chains.length < maxKnownChains) {
    trust.chains.push(path);
  }
  return path;
}

/** True for a precertificate that a Precertificate Signing Certificate has signed. */
function signsPrecertificate(leaf: Certificate, path: readonly Authority[]): boolean {
  const [signer] = path;
  const isPrecertificate = findExtension(leaf, extensionOids.poison) !== undefined;
  return isPrecertificate && signer !== undefined && isPrecertificateSigner(signer.certificate);
}

/** True if `submitted` is this chain, with or without its root. */
function isWholeChain(chain: readonly Authority[], submitted: readonly Uint8Array[]): boolean {
  const isLengthRight = submitted.length === chain.length || submitted.length === chain.length - 1;
  return (
    isLengthRight &&
    submitted.length > 0 &&
    submitted.every((der, at) => {
      const own = chain[at];
      return own !== undefined && equalBytes(own.certificate.der, der);
    })
  );
}

/** The submitted certificates as authorities, the root added if it was left out. @throws {Failure} on repeats and foreign ends. */
function completePath(
  leaf: Certificate,
  restDer: readonly Uint8Array[],
  trust: Trust,
): readonly Authority[] {
  const all = [leaf.der, ...restDer];
  if (all.some((der, at) => all.slice(0, at).some((earlier) => equalBytes(earlier, der)))) {
    throw rejected("a certificate occurs twice");
  }
  const isRoot = (der: Uint8Array): Authority | undefined =>
    trust.roots.find((root) => equalBytes(root.certificate.der, der));
  if (restDer.slice(0, -1).some((der) => isRoot(der) !== undefined)) {
    throw rejected("there are certificates above the root");
  }
  const path = restDer.map((der) => isRoot(der) ?? readAuthority(parseCertificate(der)));
  const last = path.at(-1);
  if (last !== undefined && trust.roots.includes(last)) return path;
  const issuer = (last?.certificate ?? leaf).issuer;
  const root = trust.roots.find(({ certificate }) => equalBytes(certificate.subject, issuer));
  if (root === undefined) throw rejected("the chain does not lead to an accepted root");
  return [...path, root];
}

/** Checks that `authority` may sign, and did sign, the certificate `below` it, which has `below` CAs under itself. */
function checkLink(
  certificate: Certificate,
  authority: Authority,
  {
    rules,
    below,
    isSigner = false,
    look = everyOne,
  }: {
    readonly rules: ChainRules;
    readonly below: number;
    readonly isSigner?: boolean;
    readonly look?: SpotCheck | undefined;
  },
): void {
  const { certificate: issuer, isCa, pathLength, mayCertify, purposes } = authority;
  if (!equalBytes(certificate.issuer, issuer.subject)) {
    throw rejected("the chain is out of order: an issuer's name does not match");
  }
  if (!isCa) throw rejected("a certificate is signed by one that is no CA");
  if (pathLength !== null && pathLength < BigInt(below)) throw rejected("the path is too long");
  if (!mayCertify) {
    throw rejected("a certificate is signed by a CA that may not");
  }
  if (!isSigner && !isAllowed(purposes, rules.purposes)) {
    throw rejected("a CA is not for a purpose that is logged");
  }
  checkTimes(issuer, rules.now);
  if (look() && !isSignedBy(certificate, authority.key)) {
    throw rejected("a signature in the chain does not verify");
  }
}

function checkTimes(certificate: Certificate, now: Date): void {
  if (now < certificate.notBefore || now > certificate.notAfter) {
    throw rejected("a CA certificate is not valid now");
  }
}
