/** The issuing CA as the vault describes it, read and checked once. */
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey, type PublicKey } from "../../core/crypto/keys.ts";
import { isSignedBy } from "../../core/crypto/signed.ts";
import * as der from "../../core/formats/der.ts";
import { equalBytes } from "../../core/formats/encoding.ts";
import {
  type Certificate,
  extensionOids,
  findExtension,
  keyIdentifier,
  parseCertificate,
  type SignatureAlgorithm,
} from "../../core/formats/x509.ts";
import type { AnswerOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import type { describeKey } from "../../events/hsm.ts";

/** Everything about our own CA and its log that an issuance needs. */
export interface Authority {
  /** Its key's label in the vault. */
  readonly label: string;
  readonly key: PublicKey;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly name: Uint8Array;
  readonly keyId: Uint8Array;
  /** SHA-256 of the issuing key, as SCTs cover it. */
  readonly keyHash: Uint8Array;
  /** Issuing CA first, root last, each DER. */
  readonly chain: readonly Uint8Array[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The logs whose SCTs are embedded, with their ids: SHA-256 of their keys. */
  readonly logs: readonly { readonly id: Uint8Array; readonly key: PublicKey }[];
}

/** @throws {Failure} key-unavailable, saying what is wrong, if the keyring's chain is not one that leaves can end with. */
export function readAuthority(
  label: string,
  issuing: AnswerOf<typeof describeKey>,
  ...logs: readonly AnswerOf<typeof describeKey>[]
): Authority {
  const chain = (issuing.chain ?? []).map(parseCertificate);
  const [own] = chain;
  if (own === undefined) throw unusable("the keyring binds no chain to the issuing key");
  if (!equalBytes(own.publicKey, issuing.publicKey)) {
    throw unusable("the issuing CA's certificate is for another key");
  }
  for (const [at, certificate] of chain.entries()) {
    const above = chain[at + 1] ?? certificate;
    const isLinked = equalBytes(certificate.issuer, above.subject);
    if (!isLinked || !isSignedBy(certificate, importPublicKey(above.publicKey))) {
      throw unusable("the issuing chain does not hold together");
    }
  }
  const key = importPublicKey(issuing.publicKey);
  const keyId = keyIdentifier(issuing.publicKey);
  if (!equalBytes(subjectKeyId(own), keyId)) {
    throw unusable("the issuing CA's subject key identifier is not the SHA-1 of its key");
  }
  return {
    label,
    key,
    keyId,
    signatureAlgorithm: signatureAlgorithmOf(key),
    name: own.subject,
    keyHash: sha256(issuing.publicKey),
    chain: chain.map((certificate) => certificate.der),
    notBefore: own.notBefore,
    notAfter: own.notAfter,
    logs: logs.map(({ publicKey }) => ({ id: sha256(publicKey), key: importPublicKey(publicKey) })),
  };
}

function unusable(message: string): Failure {
  return new Failure("key-unavailable", message);
}

function subjectKeyId(certificate: Certificate): Uint8Array {
  const extension = findExtension(certificate, extensionOids.subjectKeyIdentifier);
  if (extension === undefined) throw unusable("the issuing CA has no subject key identifier");
  return der.readOctetString(der.readDer(extension.value));
}

function signatureAlgorithmOf({ algorithm }: PublicKey): SignatureAlgorithm {
  switch (algorithm) {
    case "ecdsa-p256":
      return "ecdsa-sha256";
    case "ecdsa-p384":
      return "ecdsa-sha384";
    case "rsa-2048":
    case "rsa-3072":
    case "rsa-4096":
      return "rsa-sha256";
    case "ecdsa-p521":
    case "ed25519":
      throw unusable(`an issuing key cannot be of type ${algorithm}: not every client reads it`);
  }
}
