/** The authority's key and certificates as the vault describes them, read and checked once (RFC 3161 §2.3, interoperable chains). */
import { importPublicKey } from "../../core/crypto/keys.ts";
import { isSignedBy } from "../../core/crypto/signed.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
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
import type { AnswerOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import type { describeKey } from "../../events/hsm.ts";

/** A timestamp authority that clients accept. */
export interface Authority {
  readonly policy: string;
  /** Its own certificate first, its root last, each DER. */
  readonly chain: readonly Uint8Array[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const digitalSignature = 0;
const keyCertSign = 5;

/** @throws {Failure} key-unavailable, saying what is wrong, if tokens under this key would be refused by verifiers. */
export function readAuthority(key: AnswerOf<typeof describeKey>): Authority {
  if (key.policy === undefined) throw unusable("the keyring binds no policy to its key");
  if (!key.purposes.includes("timestamp")) throw unusable("its key does not sign timestamps");
  if (key.algorithm !== "ecdsa-p256" && key.algorithm !== "ecdsa-p384") {
    throw unusable(`its key is ${key.algorithm}, but not every client verifies other than ECDSA`);
  }
  const chain = (key.chain ?? []).map(parseCertificate);
  const [own, ...above] = chain;
  if (own === undefined || above.length === 0) {
    throw unusable("its chain needs its own certificate and that of an authority above it");
  }
  if (!equalBytes(own.publicKey, key.publicKey))
    throw unusable("its certificate is for another key");
  checkOwn(own);
  for (const issuer of above) checkIssuer(issuer);
  for (const [at, certificate] of chain.entries()) {
    const issuer = chain[at + 1] ?? certificate;
    const isLinked = equalBytes(certificate.issuer, issuer.subject);
    if (!isLinked || !isSignedBy(certificate, importPublicKey(issuer.publicKey))) {
      throw unusable("its chain does not hold together");
    }
  }
  return {
    policy: key.policy,
    chain: chain.map(({ der }) => der),
    // A token must verify with all of the chain at its time.
    notBefore: latest(chain.map(({ notBefore }) => notBefore)),
    notAfter: earliest(chain.map(({ notAfter }) => notAfter)),
  };
}

function checkOwn(own: Certificate): void {
  if (readBasicConstraints(own).isCa) throw unusable("its certificate is a CA's");
  if (readKeyPurposes(own)?.join() !== keyPurposes.timeStamping) {
    throw unusable("its certificate must be for timeStamping and nothing else");
  }
  if (findExtension(own, extensionOids.extendedKeyUsage)?.critical !== true) {
    throw unusable("its certificate's extended key usage is not critical");
  }
  if (readKeyUsage(own)?.has(digitalSignature) !== true) {
    throw unusable("its certificate's key usage lacks digitalSignature");
  }
}

function checkIssuer(issuer: Certificate): void {
  if (!readBasicConstraints(issuer).isCa || readKeyUsage(issuer)?.has(keyCertSign) === false) {
    throw unusable("a certificate above it is not a CA's");
  }
  if (readKeyPurposes(issuer)?.includes(keyPurposes.timeStamping) === false) {
    throw unusable("a CA above it is not for timeStamping");
  }
}

function latest(dates: readonly Date[]): Date {
  return new Date(Math.max(...dates.map(Number)));
}

function earliest(dates: readonly Date[]): Date {
  return new Date(Math.min(...dates.map(Number)));
}

function unusable(message: string): Failure {
  return new Failure("key-unavailable", `the timestamp authority cannot start: ${message}`);
}
