/**
 * Which chains are taken (RFC 6962 §3.1, §4.1-§4.2): leaf first, each certificate signed by the next, ending in or right below an
 * accepted root, nothing missing, nothing more. Everything in here is attacker-controlled.
 */
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey, KeyInsecure, type PublicKey } from "../../core/crypto/keys.ts";
import { isSignedBy } from "../../core/crypto/signed.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
import { withoutPoison } from "../../core/formats/leaf-profile.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { certificateChainExtra, precertChainExtra } from "../../core/formats/sct.ts";
import {
  type Certificate,
  extensionOids,
  findExtension,
  keyPurposes,
  parseCertificate,
  readBasicConstraints,
  readKeyPurposes,
  readKeyUsage,
} from "../../core/formats/x509.ts";
import { Failure } from "../../events/failure.ts";
import type { Candidate } from "../../events/log.ts";

/** A CA certificate with its key at hand. */
export interface Authority {
  readonly certificate: Certificate;
  readonly key: PublicKey;
}

/** What is believed without looking again. */
export interface Trust {
  readonly roots: readonly Authority[];
  /**
   * Our own issuing chains, issuing CA first, root last, every link checked once: nearly every submission ends with one. A CA that is
   * put into use later joins with its first leaf.
   */
  readonly chains: (readonly Authority[])[];
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
export function readTrust(chains: readonly (readonly Uint8Array[])[], now: Date): Trust {
  const read = chains.map((chain) => chain.map((der) => readAuthority(parseCertificate(der))));
  const roots = read.flatMap((chain) => chain.slice(-1));
  for (const chain of read) {
    for (const [at, { certificate, key }] of chain.entries()) {
      const above = chain[at + 1];
      // The last one is a root, which signs itself.
      if (above === undefined) checkLink(certificate, { certificate, key }, { now, below: at });
      else checkLink(certificate, above, { now, below: at + 1 });
    }
  }
  return { roots, chains: read };
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
  now: Date,
): Candidate {
  try {
    const [leafDer, ...restDer] = chain;
    if (leafDer === undefined) throw rejected("the chain is empty");
    const leaf = parseCertificate(leafDer);
    checkLeaf(leaf, kind);
    const path = findPath(leaf, restDer, trust, now);
    const [issuer] = path;
    if (issuer === undefined) throw rejected("the chain does not lead to an accepted root");
    const above = path.map(({ certificate }) => certificate.der);
    if (kind === "certificate") {
      return { kind, certificate: leafDer, extraData: certificateChainExtra(above) };
    }
    return {
      kind,
      issuerKeyHash: sha256(issuer.certificate.publicKey),
      tbs: withoutPoison(leaf.tbs),
      extraData: precertChainExtra(leafDer, above),
    };
  } catch (thrown) {
    if (thrown instanceof Malformed || thrown instanceof KeyInsecure) {
      throw new Failure("chain-rejected", thrown.message, { cause: thrown });
    }
    throw thrown;
  }
}

function rejected(message: string): Failure {
  return new Failure("chain-rejected", message);
}

function readAuthority(certificate: Certificate): Authority {
  return { certificate, key: importPublicKey(certificate.publicKey) };
}

function checkLeaf(leaf: Certificate, kind: "certificate" | "precertificate"): void {
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
  if (readKeyPurposes(leaf)?.includes(keyPurposes.codeSigning) !== true) {
    throw rejected("the certificate is not for code signing");
  }
  if (leaf.notAfter < leaf.notBefore) throw rejected("the certificate ends before it begins");
}

/** The authorities above the leaf, root last, every link checked. */
function findPath(
  leaf: Certificate,
  restDer: readonly Uint8Array[],
  trust: Trust,
  now: Date,
): readonly Authority[] {
  const known = trust.chains.find((chain) => isWholeChain(chain, restDer));
  const path = known ?? completePath(leaf, restDer, trust);
  for (const [at, authority] of path.entries()) {
    const below = path[at - 1]?.certificate ?? leaf;
    // The links of a known chain were verified when it was loaded; its times are looked at again.
    if (known !== undefined && at > 0) checkTimes(authority.certificate, now);
    else checkLink(below, authority, { now, below: at });
  }
  if (known === undefined && trust.chains.length < maxKnownChains) trust.chains.push(path);
  return path;
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
  { now, below }: { readonly now: Date; readonly below: number },
): void {
  const issuer = authority.certificate;
  if (!equalBytes(certificate.issuer, issuer.subject)) {
    throw rejected("the chain is out of order: an issuer's name does not match");
  }
  const { isCa, pathLength } = readBasicConstraints(issuer);
  if (!isCa) throw rejected("a certificate is signed by one that is no CA");
  if (pathLength !== null && pathLength < BigInt(below)) throw rejected("the path is too long");
  if (readKeyUsage(issuer)?.has(certSignBit) === false) {
    throw rejected("a certificate is signed by a CA that may not");
  }
  const purposes = readKeyPurposes(issuer);
  if (purposes !== null && !purposes.includes(keyPurposes.codeSigning)) {
    throw rejected("a CA is not for code signing");
  }
  checkTimes(issuer, now);
  if (!isSignedBy(certificate, authority.key)) {
    throw rejected("a signature in the chain does not verify");
  }
}

function checkTimes(certificate: Certificate, now: Date): void {
  if (now < certificate.notBefore || now > certificate.notAfter) {
    throw rejected("a CA certificate is not valid now");
  }
}
