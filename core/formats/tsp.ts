/** Time stamp protocol (RFC 3161, RFC 5816) and the CMS it travels in (RFC 5652): one signer, signed attributes, SHA-2. */
import { hash } from "node:crypto";
import * as der from "./der.ts";
import { concat } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import { type Certificate, type SignatureAlgorithm, signatureOids } from "./x509.ts";

/** Hashes a message imprint may be made with. */
export const imprintHashes = {
  sha256: { oid: "2.16.840.1.101.3.4.2.1", length: 32 },
  sha384: { oid: "2.16.840.1.101.3.4.2.2", length: 48 },
  sha512: { oid: "2.16.840.1.101.3.4.2.3", length: 64 },
} as const;

/** The name of an imprint's hash. */
export type ImprintHash = keyof typeof imprintHashes;

/** What a time stamp says. */
export interface TstInfo {
  /** Dotted object identifier. */
  readonly policy: string;
  readonly hashAlgorithm: ImprintHash;
  readonly messageImprint: Uint8Array;
  /** Unsigned big-endian. */
  readonly serial: Uint8Array;
  /** Written in whole seconds. */
  readonly genTime: Date;
  /** Half the width of the interval in which the time lies. */
  readonly accuracySeconds: number;
  /** Unsigned big-endian, as the request had it. */
  readonly nonce?: Uint8Array;
  /** The authority's subject name, DER. */
  readonly tsaName: Uint8Array;
}

/** A request as it came. */
export interface TimestampRequest {
  /** Null for a hash that is not accepted here. */
  readonly hashAlgorithm: ImprintHash | null;
  readonly messageImprint: Uint8Array;
  readonly policy: string | null;
  readonly nonce: Uint8Array | null;
  readonly certReq: boolean;
}

/** What a token says of the certificate of its signer, a parsed certificate. */
export type SignerCertificate = Pick<Certificate, "der" | "issuer" | "serial">;

/** Everything a token is put together from; the certificate is the authority's own. */
export interface TimestampTokenParts {
  readonly tstInfo: Uint8Array;
  /** From {@link formatSignedAttributes}. */
  readonly signedAttributes: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** Over the signed attributes. */
  readonly signature: Uint8Array;
  readonly certificate: SignerCertificate;
  readonly includeCertificate: boolean;
  /** Certificates above it that are included with it, DER. */
  readonly above?: readonly Uint8Array[];
}

/** Why a request is not granted, by the bits of PKIFailureInfo (RFC 3161 §2.4.2). */
const failureBits = {
  badAlg: 0,
  badDataFormat: 5,
  unacceptedPolicy: 15,
  unacceptedExtension: 16,
} as const;

/** The name of a reason. */
export type TimestampFailure = keyof typeof failureBits;

/** The request has an extension, and none is known here. */
export class UnacceptedExtension extends Malformed {}

/** Object identifiers of tokens and of their signed attributes. */
export const tspOids = {
  signedData: "1.2.840.113549.1.7.2",
  tstInfo: "1.2.840.113549.1.9.16.1.4",
  contentType: "1.2.840.113549.1.9.3",
  messageDigest: "1.2.840.113549.1.9.4",
  signingTime: "1.2.840.113549.1.9.5",
  signingCertificateV2: "1.2.840.113549.1.9.16.2.47",
} as const;

const versionOne = der.integer(1n);
const versionThree = der.integer(3n);

/** Object identifiers that every token has, written once. */
const writtenOids: ReadonlyMap<string, Uint8Array> = new Map(
  [
    ...Object.values(tspOids),
    ...Object.values(signatureOids),
    ...Object.values(imprintHashes).map(({ oid }) => oid),
  ].map((oid) => [oid, der.oid(oid)]),
);

function written(oid: string): Uint8Array {
  return writtenOids.get(oid) ?? der.oid(oid);
}

const contentType = attribute(tspOids.contentType, written(tspOids.tstInfo));

/*
 * TSTInfo ::= SEQUENCE { version INTEGER { v1(1) }, policy OID, messageImprint, serialNumber INTEGER, genTime GeneralizedTime,
 *   accuracy SEQUENCE { seconds INTEGER } OPTIONAL, ordering BOOLEAN DEFAULT FALSE, nonce INTEGER OPTIONAL,
 *   tsa [0] GeneralName OPTIONAL, extensions [1] OPTIONAL }
 */
/** @throws {Malformed} if the imprint has not the length of its hash. */
export function formatTstInfo(info: TstInfo): Uint8Array {
  const { oid, length } = imprintHashes[info.hashAlgorithm];
  if (info.messageImprint.length !== length) {
    throw new Malformed("time stamp: the imprint has not the length of its hash");
  }
  return der.sequence(
    versionOne,
    der.oid(info.policy),
    der.sequence(der.sequence(written(oid)), der.octetString(info.messageImprint)),
    der.integer(info.serial),
    der.generalizedTime(info.genTime),
    der.sequence(der.integer(BigInt(info.accuracySeconds))),
    ...(info.nonce === undefined ? [] : [der.integer(info.nonce)]),
    der.explicit(0, directoryName(info.tsaName)),
  );
}

/**
 * The signed attributes in the form that is signed, a SET OF: content type, message digest, signing time, and the signing
 * certificate by hash, issuer and serial (ESSCertIDv2, RFC 5035 §4).
 */
export function formatSignedAttributes(parts: {
  readonly tstInfo: Uint8Array;
  readonly signingTime: Date;
  readonly certificate: SignerCertificate;
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** {@link formatSigner} of the certificate, for who has it at hand. */
  readonly signer?: Uint8Array;
}): Uint8Array {
  const { signer = formatSigner(parts.certificate) } = parts;
  const contentDigest = hash(digestNames[parts.signatureAlgorithm], parts.tstInfo, "buffer");
  return der.setOf(
    contentType,
    attribute(tspOids.signingTime, der.time(parts.signingTime)),
    attribute(tspOids.messageDigest, der.octetString(contentDigest)),
    signer,
  );
}

/** The signed attribute that names the signer's certificate. */
export function formatSigner({ issuer, serial, der: certificate }: SignerCertificate): Uint8Array {
  const issuerSerial = der.sequence(der.sequence(directoryName(issuer)), der.integer(serial));
  // SHA-256 is ESSCertIDv2's default hash and therefore not written.
  const certHash = der.octetString(hash("sha256", certificate, "buffer"));
  const certificates = der.sequence(der.sequence(certHash, issuerSerial));
  return attribute(tspOids.signingCertificateV2, der.sequence(certificates));
}

/*
 * ContentInfo { signedData, [0] SignedData { version 3, digestAlgorithms, encapContentInfo { id-ct-TSTInfo, [0] OCTET STRING },
 *   certificates [0] IMPLICIT OPTIONAL, signerInfos SET OF { version 1, issuerAndSerialNumber, digestAlgorithm,
 *   signedAttrs [0] IMPLICIT, signatureAlgorithm, signature OCTET STRING } } }
 */
/** A TimeStampToken. */
export function formatTimestampToken(parts: TimestampTokenParts): Uint8Array {
  const { issuer, serial } = parts.certificate;
  const digestAlgorithm = der.sequence(
    written(imprintHashes[digestNames[parts.signatureAlgorithm]].oid),
  );
  const signerInfo = der.sequence(
    versionOne,
    der.sequence(issuer, der.integer(serial)),
    digestAlgorithm,
    // [0] IMPLICIT takes the place of the set's own tag; the bytes stay the same.
    concat(Uint8Array.of(0xa0), parts.signedAttributes.subarray(1)),
    signatureAlgorithmIdentifier(parts.signatureAlgorithm),
    der.octetString(parts.signature),
  );
  const content = der.explicit(0, der.octetString(parts.tstInfo));
  const signedData = der.sequence(
    versionThree,
    der.setOf(digestAlgorithm),
    der.sequence(written(tspOids.tstInfo), content),
    ...(parts.includeCertificate ? [certificateSet(parts)] : []),
    der.setOf(signerInfo),
  );
  return der.sequence(written(tspOids.signedData), der.explicit(0, signedData));
}

/** TimeStampResp with status granted. */
export function formatTimestampResponse(token: Uint8Array): Uint8Array {
  return der.sequence(der.sequence(der.integer(0n)), token);
}

/** TimeStampResp with status rejection, without a token. */
export function formatTimestampRejection(failure: TimestampFailure, reason: string): Uint8Array {
  const bit = failureBits[failure];
  const octets = new Uint8Array((bit >> 3) + 1);
  octets[bit >> 3] = 0x80 >> (bit & 7);
  const text = der.sequence(der.utf8String(reason));
  return der.sequence(der.sequence(der.integer(2n), text, der.bitString(octets, 7 - (bit & 7))));
}

/*
 * TimeStampReq ::= SEQUENCE { version INTEGER { v1(1) }, messageImprint SEQUENCE { hashAlgorithm, hashedMessage OCTET STRING },
 *   reqPolicy OID OPTIONAL, nonce INTEGER OPTIONAL, certReq BOOLEAN DEFAULT FALSE, extensions [0] IMPLICIT OPTIONAL }
 */
/** A TimeStampReq. */
export function formatTimestampRequest(
  request: TimestampRequest & { readonly hashAlgorithm: ImprintHash },
): Uint8Array {
  const { hashAlgorithm, messageImprint, policy, nonce, certReq } = request;
  const algorithm = der.sequence(der.oid(imprintHashes[hashAlgorithm].oid));
  return der.sequence(
    der.integer(1n),
    der.sequence(algorithm, der.octetString(messageImprint)),
    ...(policy === null ? [] : [der.oid(policy)]),
    ...(nonce === null ? [] : [der.integer(nonce)]),
    ...(certReq ? [der.boolean(true)] : []),
  );
}

/**
 * Reads a request.
 *
 * @throws {UnacceptedExtension} if there is an extension, critical or not, because none can be honoured.
 * @throws {Malformed} on anything but one request in DER, and on an imprint of the wrong length.
 */
export function parseTimestampRequest(bytes: Uint8Array): TimestampRequest {
  const fields = der.walk(der.readDer(bytes), "time stamp request");
  if (der.readInteger(fields.take("version")) !== 1n) {
    throw new Malformed("time stamp request: unknown version");
  }
  const imprint = der.walk(fields.take("messageImprint"), "message imprint");
  const algorithm = der.walk(imprint.take("hashAlgorithm"), "hash algorithm");
  const hashAlgorithm = imprintHash(der.readOid(algorithm.take("identifier")));
  algorithm.maybe(der.tags.null);
  algorithm.end();
  const messageImprint = der.readOctetString(imprint.take("hashedMessage"));
  imprint.end();
  if (hashAlgorithm !== null && messageImprint.length !== imprintHashes[hashAlgorithm].length) {
    throw new Malformed("time stamp request: the imprint has not the length of its hash");
  }
  const policy = fields.maybe(der.tags.oid);
  const nonce = fields.maybe(der.tags.integer);
  const flag = fields.maybe(der.tags.boolean);
  const extensions = fields.maybe(0xa0);
  fields.end();
  const certReq = flag !== null && der.readBoolean(flag);
  if (flag !== null && !certReq) throw new Malformed("time stamp request: default written out");
  if (extensions !== null) throw new UnacceptedExtension("time stamp request: an extension");
  return {
    hashAlgorithm,
    messageImprint,
    policy: policy === null ? null : der.readOid(policy),
    nonce: nonce === null ? null : der.readUnsigned(nonce),
    certReq,
  };
}

const digestNames = {
  "ecdsa-sha256": "sha256",
  "ecdsa-sha384": "sha384",
  "rsa-sha256": "sha256",
} as const satisfies Record<SignatureAlgorithm, ImprintHash>;

function certificateSet({ certificate, above = [] }: TimestampTokenParts): Uint8Array {
  // [0] IMPLICIT SET OF, in the order that DER asks for.
  return concat(Uint8Array.of(0xa0), der.setOf(certificate.der, ...above).subarray(1));
}

function directoryName(name: Uint8Array): Uint8Array {
  return der.explicit(4, name);
}

function attribute(oid: string, value: Uint8Array): Uint8Array {
  return der.sequence(written(oid), der.setOf(value));
}

function signatureAlgorithmIdentifier(algorithm: SignatureAlgorithm): Uint8Array {
  const oid = written(signatureOids[algorithm]);
  return algorithm === "rsa-sha256" ? der.sequence(oid, der.nullValue()) : der.sequence(oid);
}

/** The hash with this object identifier; null for one that is not accepted. */
export function imprintHash(oid: string): ImprintHash | null {
  for (const name of ["sha256", "sha384", "sha512"] as const) {
    if (imprintHashes[name].oid === oid) return name;
  }
  return null;
}
