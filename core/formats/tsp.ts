/** Time stamp protocol (RFC 3161): requests, and responses around the tokens of tsp-writer.ts. */
import * as der from "./der.ts";
import { Malformed } from "./malformed.ts";

/** Hashes a message imprint may be made with. */
export const imprintHashes = {
  sha256: { oid: "2.16.840.1.101.3.4.2.1", length: 32 },
  sha384: { oid: "2.16.840.1.101.3.4.2.2", length: 48 },
  sha512: { oid: "2.16.840.1.101.3.4.2.3", length: 64 },
} as const;

/** The name of an imprint's hash. */
export type ImprintHash = keyof typeof imprintHashes;

/** A request as it came. */
export interface TimestampRequest {
  /** Null for a hash that is not accepted here. */
  readonly hashAlgorithm: ImprintHash | null;
  readonly messageImprint: Uint8Array;
  readonly policy: string | null;
  readonly nonce: Uint8Array | null;
  readonly certReq: boolean;
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

/** TimeStampResp with status granted. */
export function formatTimestampResponse(token: Uint8Array): Uint8Array {
  return der.sequence(granted, token);
}

/** PKIStatusInfo { status granted } */
const granted = der.sequence(der.integer(0n));

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

/** The hash with this object identifier; null for one that is not accepted. */
export function imprintHash(oid: string): ImprintHash | null {
  for (const name of ["sha256", "sha384", "sha512"] as const) {
    if (imprintHashes[name].oid === oid) return name;
  }
  return null;
}
