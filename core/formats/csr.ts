/** PKCS#10 certification requests (RFC 2986). Only the key and the signature matter here; names and attributes are skipped. */
import * as der from "./der.ts";
import { Malformed } from "./malformed.ts";

/** A request's key and its signature by that key. */
export interface CertificationRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** The bytes the signature covers. */
  readonly signedBytes: Uint8Array;
  /** Object identifier. */
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
}

/*
 * CertificationRequest ::= SEQUENCE { certificationRequestInfo SEQUENCE { version INTEGER { v1(0) }, subject Name,
 *   subjectPKInfo SEQUENCE, attributes [0] IMPLICIT SET OF Attribute }, signatureAlgorithm SEQUENCE, signature BIT STRING }
 */
/** @throws {Malformed} unless the bytes are one request, version 1, in DER. */
export function parseCsr(bytes: Uint8Array): CertificationRequest {
  const outer = der.walk(der.readDer(bytes), "certificate request");
  const info = outer.take("certificationRequestInfo", der.tags.sequence);
  const algorithm = der.walk(outer.take("signatureAlgorithm"), "signature algorithm");
  const signature = der.readBitString(outer.take("signature"));
  outer.end();
  const signatureAlgorithm = der.readOid(algorithm.take("identifier"));
  algorithm.maybe(der.tags.null);
  algorithm.end();
  const fields = der.walk(info, "certificationRequestInfo");
  if (der.readInteger(fields.take("version")) !== 0n) {
    throw new Malformed("certificate request: unknown version");
  }
  fields.take("subject", der.tags.sequence);
  const publicKey = fields.take("subjectPKInfo", der.tags.sequence).encoded;
  // Some old writers leave the empty set of attributes out.
  fields.maybe(0xa0);
  fields.end();
  return { publicKey, signedBytes: info.encoded, signatureAlgorithm, signature };
}
