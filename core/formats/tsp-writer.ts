/**
 * Time stamp tokens (RFC 3161 §2.4.2, RFC 5816) and the CMS they travel in (RFC 5652): one signer, signed attributes, SHA-2. What
 * every token of an authority has alike is encoded once.
 */
import { hash } from "node:crypto";
import * as der from "./der.ts";
import { DerWriter } from "./der-writer.ts";
import { digestOf } from "./digest.ts";
import { concat } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import { type ImprintHash, imprintHashes, tspOids } from "./tsp.ts";
import { type Certificate, type SignatureAlgorithm, signatureOids } from "./x509.ts";

/** Whose tokens are written, and how they are signed. */
export interface TimestampAuthority {
  /** Dotted object identifier. */
  readonly policy: string;
  /** The authority's own certificate, parsed. */
  readonly certificate: Pick<Certificate, "der" | "issuer" | "serial" | "subject">;
  /** Certificates above it, DER. */
  readonly above?: readonly Uint8Array[];
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** Half the width of the interval in which the time lies. */
  readonly accuracySeconds: number;
}

/** What a time stamp says. */
export interface Stamp {
  readonly hashAlgorithm: ImprintHash;
  readonly messageImprint: Uint8Array;
  /** Unsigned big-endian. */
  readonly serial: Uint8Array;
  /** Written in whole seconds. */
  readonly genTime: Date;
  /** Unsigned big-endian, as the request had it. */
  readonly nonce?: Uint8Array | undefined;
}

/** Everything of one token. */
export interface TokenParts {
  /** From {@link TokenWriter.tstInfo}. */
  readonly tstInfo: Uint8Array;
  /** From {@link TokenWriter.signedAttributes}. */
  readonly signedAttributes: Uint8Array;
  /** Over the signed attributes. */
  readonly signature: Uint8Array;
  /** What it holds of the authority's certificates: none, its own, or those above it too. */
  readonly certificates: "none" | "own" | "chain";
}

const { sequence, set } = der.tags;
const explicitZero = 0xa0;
const millisecondsPerSecond = 1_000;

/** Writes the tokens of one authority. */
export class TokenWriter {
  readonly #writer = new DerWriter();
  readonly #constants: Constants;
  #second: Second = { at: Number.NaN, generalizedTime: noBytes, signingTime: noBytes };

  constructor(authority: TimestampAuthority) {
    this.#constants = constantsOf(authority);
  }

  /*
   * TSTInfo ::= SEQUENCE { version INTEGER { v1(1) }, policy OID, messageImprint, serialNumber INTEGER, genTime GeneralizedTime,
   *   accuracy SEQUENCE { seconds INTEGER } OPTIONAL, ordering BOOLEAN DEFAULT FALSE, nonce INTEGER OPTIONAL,
   *   tsa [0] GeneralName OPTIONAL, extensions [1] OPTIONAL }
   */
  /** @throws {Malformed} if the imprint has not the length of its hash. */
  tstInfo({ hashAlgorithm, messageImprint, serial, genTime, nonce }: Stamp): Uint8Array {
    if (messageImprint.length !== imprintHashes[hashAlgorithm].length) {
      throw new Malformed("time stamp: the imprint has not the length of its hash");
    }
    const writer = this.#writer;
    const { accuracy, tsaName, versionAndPolicy, imprints } = this.#constants;
    const { generalizedTime } = this.#secondOf(genTime);
    writer.put(tsaName);
    if (nonce !== undefined) writer.unsigned(nonce);
    writer.put(accuracy);
    writer.put(generalizedTime);
    writer.unsigned(serial);
    writer.put(messageImprint);
    writer.put(imprints[hashAlgorithm]);
    writer.put(versionAndPolicy);
    writer.header(sequence, 0);
    return writer.take();
  }

  /**
   * The signed attributes in the form that is signed, a SET OF: content type, message digest, signing time, and the signing
   * certificate by hash, issuer and serial (ESSCertIDv2, RFC 5035 §4).
   */
  signedAttributes(tstInfo: Uint8Array, signingTime: Date): Uint8Array {
    const writer = this.#writer;
    const { digest, messageDigest, signer } = this.#constants;
    // DER's order (X.690 §11.6) is that of their lengths: 26, 28 or 30 bytes, 47 or 63, and 66 at least.
    writer.put(signer);
    writer.put(digestOf(digest, tstInfo));
    writer.put(messageDigest);
    writer.put(this.#secondOf(signingTime).signingTime);
    writer.put(contentType);
    writer.header(set, 0);
    return writer.take();
  }

  /*
   * ContentInfo { signedData, [0] SignedData { version 3, digestAlgorithms, encapContentInfo { id-ct-TSTInfo, [0] OCTET STRING },
   *   certificates [0] IMPLICIT OPTIONAL, signerInfos SET OF { version 1, issuerAndSerialNumber, digestAlgorithm,
   *   signedAttrs [0] IMPLICIT, signatureAlgorithm, signature OCTET STRING } } }
   */
  /** A TimeStampToken. */
  token({ tstInfo, signedAttributes, signature, certificates }: TokenParts): Uint8Array {
    const writer = this.#writer;
    const { signatureAlgorithm, signerIdentity, digestAlgorithms } = this.#constants;
    writer.octetString(signature);
    writer.put(signatureAlgorithm);
    // [0] IMPLICIT takes the place of the set's own tag; the bytes stay the same.
    writer.put(signedAttributes.subarray(1));
    writer.put(implicitZero);
    writer.put(signerIdentity);
    writer.header(sequence, 0);
    writer.header(set, 0);
    if (certificates !== "none") writer.put(this.#constants.certificates[certificates]);
    const { end } = writer;
    writer.octetString(tstInfo);
    writer.header(explicitZero, end);
    writer.put(tstInfoOid);
    writer.header(sequence, end);
    writer.put(digestAlgorithms);
    writer.header(sequence, 0);
    writer.header(explicitZero, 0);
    writer.put(signedDataOid);
    writer.header(sequence, 0);
    return writer.take();
  }

  /** What all stamps of a second have alike. */
  #secondOf(time: Date): Second {
    const at = Math.floor(time.getTime() / millisecondsPerSecond);
    if (at !== this.#second.at) {
      this.#second = {
        at,
        generalizedTime: der.generalizedTime(time),
        signingTime: attribute(tspOids.signingTime, der.time(time)),
      };
    }
    return this.#second;
  }
}

interface Second {
  readonly at: number;
  readonly generalizedTime: Uint8Array;
  readonly signingTime: Uint8Array;
}

const noBytes = new Uint8Array();
const implicitZero = Uint8Array.of(explicitZero);
const tstInfoOid = der.oid(tspOids.tstInfo);
const signedDataOid = der.oid(tspOids.signedData);
const contentType = attribute(tspOids.contentType, tstInfoOid);

type Constants = ReturnType<typeof constantsOf>;

/** What is alike in every token of an authority, encoded. */
function constantsOf(authority: TimestampAuthority) {
  const { policy, certificate, above = [], signatureAlgorithm, accuracySeconds } = authority;
  const digest = digestNames[signatureAlgorithm];
  const digestAlgorithm = der.sequence(der.oid(imprintHashes[digest].oid));
  const { issuer, serial } = certificate;
  return {
    digest,
    versionAndPolicy: concat(der.integer(1n), der.oid(policy)),
    imprints: { sha256: imprint("sha256"), sha384: imprint("sha384"), sha512: imprint("sha512") },
    accuracy: der.sequence(der.integer(BigInt(accuracySeconds))),
    tsaName: der.explicit(0, directoryName(certificate.subject)),
    messageDigest: beginning(
      attribute(
        tspOids.messageDigest,
        der.octetString(new Uint8Array(imprintHashes[digest].length)),
      ),
      imprintHashes[digest].length,
    ),
    signer: signerAttribute(certificate),
    signerIdentity: concat(
      der.integer(1n),
      der.sequence(issuer, der.integer(serial)),
      digestAlgorithm,
    ),
    signatureAlgorithm: signatureAlgorithmIdentifier(signatureAlgorithm),
    digestAlgorithms: concat(der.integer(3n), der.setOf(digestAlgorithm)),
    certificates: {
      own: certificateSet(certificate.der),
      chain: certificateSet(certificate.der, ...above),
    },
  };
}

/** A messageImprint up to the digest. */
function imprint(name: ImprintHash): Uint8Array {
  const { oid, length } = imprintHashes[name];
  const algorithm = der.sequence(der.oid(oid));
  return beginning(der.sequence(algorithm, der.octetString(new Uint8Array(length))), length);
}

/** All of an element but its last bytes, which are written each time. */
function beginning(element: Uint8Array, length: number): Uint8Array {
  return element.subarray(0, element.length - length);
}

/** The signed attribute that names the signer's certificate. */
function signerAttribute({
  issuer,
  serial,
  der: encoded,
}: TimestampAuthority["certificate"]): Uint8Array {
  const issuerSerial = der.sequence(der.sequence(directoryName(issuer)), der.integer(serial));
  // SHA-256 is ESSCertIDv2's default hash and therefore not written.
  const certHash = der.octetString(hash("sha256", encoded, "buffer"));
  const certificates = der.sequence(der.sequence(certHash, issuerSerial));
  return attribute(tspOids.signingCertificateV2, der.sequence(certificates));
}

const digestNames = {
  "ecdsa-sha256": "sha256",
  "ecdsa-sha384": "sha384",
  "rsa-sha256": "sha256",
} as const satisfies Record<SignatureAlgorithm, ImprintHash>;

/** [0] IMPLICIT SET OF, in the order that DER asks for. */
function certificateSet(...certificates: readonly Uint8Array[]): Uint8Array {
  return concat(implicitZero, der.setOf(...certificates).subarray(1));
}

function directoryName(name: Uint8Array): Uint8Array {
  return der.explicit(4, name);
}

function attribute(oid: string, value: Uint8Array): Uint8Array {
  return der.sequence(der.oid(oid), der.setOf(value));
}

function signatureAlgorithmIdentifier(algorithm: SignatureAlgorithm): Uint8Array {
  const oid = der.oid(signatureOids[algorithm]);
  return algorithm === "rsa-sha256" ? der.sequence(oid, der.nullValue()) : der.sequence(oid);
}
