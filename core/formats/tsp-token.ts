/**
 * Reading RFC 3161 responses and the tokens in them: CMS SignedData (RFC 5652 §5) of exactly one signer, whose signed attributes bind
 * the certificate by ESSCertIDv2 (RFC 5816). Nothing is verified here.
 */
import * as der from "./der.ts";
import { concat } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import { imprintHash, imprintHashes, type ImprintHash, tspOids } from "./tsp.ts";

/** A token, taken apart. Names and sets are DER. */
export interface TimestampToken {
  readonly hashAlgorithm: ImprintHash;
  readonly messageImprint: Uint8Array;
  readonly genTime: Date;
  /** Unsigned big-endian; null if there is none. */
  readonly nonce: Uint8Array | null;
  /** Dotted object identifier. */
  readonly policy: string;
  /** What the token is about, as it was hashed. */
  readonly tstInfo: Uint8Array;
  readonly signer: SignerInfo;
  /** What was sent along, in any order. Never to be trusted. */
  readonly certificates: readonly Uint8Array[];
}

/** Who signed, and what exactly. */
export interface SignerInfo {
  readonly issuer: Uint8Array;
  /** Unsigned big-endian. */
  readonly serial: Uint8Array;
  /** The hash of {@link tstInfo} and, for ECDSA, of the signed attributes. */
  readonly digestAlgorithm: ImprintHash;
  /** Dotted object identifier. */
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
  /** The signed attributes in the form that is signed, a SET OF. */
  readonly signedAttributes: Uint8Array;
  readonly messageDigest: Uint8Array;
  readonly certificate: CertificateId;
}

/** Which certificate the signer means (ESSCertIDv2). */
export interface CertificateId {
  readonly hashAlgorithm: ImprintHash;
  readonly hash: Uint8Array;
  /** Null if the token does not say. */
  readonly issuerSerial: { readonly issuer: Uint8Array; readonly serial: Uint8Array } | null;
}

const granted = 0n;
const maxCertificates = 16;

/** @throws {Malformed} unless `bytes` are one response of status granted, in DER, with a token of exactly one signer. */
export function parseTimestampResponse(bytes: Uint8Array): TimestampToken {
  const response = der.walk(der.readDer(bytes), "timestamp response");
  const status = der.walk(response.take("status"), "timestamp status");
  if (der.readInteger(status.take("status")) !== granted) {
    throw new Malformed("timestamp response: not granted");
  }
  const content = der.walk(response.take("token"), "timestamp token");
  response.end();
  expectOid(content.take("contentType"), tspOids.signedData, "timestamp token: content type");
  const explicit = der.walk(content.take("content"), "timestamp token", 0xa0);
  content.end();
  const token = parseSignedData(explicit.take("signedData"));
  explicit.end();
  return token;
}

function parseSignedData(element: der.DerElement): TimestampToken {
  const fields = der.walk(element, "signed data");
  if (der.readInteger(fields.take("version")) !== 3n) throw new Malformed("signed data: version");
  const digests = fields.take("digestAlgorithms", der.tags.set).children().map(readHash);
  const encapsulated = der.walk(fields.take("encapContentInfo"), "content");
  expectOid(encapsulated.take("eContentType"), tspOids.tstInfo, "content: not a TSTInfo");
  const inner = der.walk(encapsulated.take("eContent"), "content", 0xa0);
  const tstInfo = der.readOctetString(inner.take("octets"));
  inner.end();
  encapsulated.end();
  const certificates = fields.maybe(0xa0)?.children() ?? [];
  if (certificates.length > maxCertificates) throw new Malformed("signed data: certificates");
  fields.maybe(0xa1);
  const signers = der
    .expectTag(fields.take("signerInfos"), der.tags.set, "signer infos")
    .children();
  fields.end();
  const [only, ...more] = signers;
  // Whom to believe of two signers is not a question to be asked.
  if (only === undefined || more.length > 0) throw new Malformed("signed data: not one signer");
  const signer = parseSigner(only);
  if (!digests.includes(signer.digestAlgorithm)) throw new Malformed("signed data: digests");
  return {
    ...parseTstInfo(tstInfo),
    tstInfo,
    signer,
    certificates: certificates.map(({ encoded }) => encoded),
  };
}

function parseTstInfo(bytes: Uint8Array) {
  const fields = der.walk(der.readDer(bytes), "TSTInfo");
  if (der.readInteger(fields.take("version")) !== 1n) throw new Malformed("TSTInfo: version");
  const policy = der.readOid(fields.take("policy"));
  const imprint = der.walk(fields.take("messageImprint"), "message imprint");
  const hashAlgorithm = readHash(imprint.take("hashAlgorithm"));
  const messageImprint = der.readOctetString(imprint.take("hashedMessage"));
  imprint.end();
  if (messageImprint.length !== imprintHashes[hashAlgorithm].length) {
    throw new Malformed("message imprint: length");
  }
  der.readUnsigned(fields.take("serialNumber"));
  const genTime = der.readTime(fields.take("genTime", der.tags.generalizedTime));
  fields.maybe(der.tags.sequence);
  fields.maybe(der.tags.boolean);
  const nonce = fields.maybe(der.tags.integer);
  fields.maybe(0xa0);
  // No extension is known here, and one may be critical.
  fields.end();
  return {
    policy,
    hashAlgorithm,
    messageImprint,
    genTime,
    nonce: nonce === null ? null : der.readUnsigned(nonce),
  };
}

function parseSigner(element: der.DerElement): SignerInfo {
  const fields = der.walk(element, "signer info");
  if (der.readInteger(fields.take("version")) !== 1n) throw new Malformed("signer info: version");
  const id = readIssuerAndSerial(fields.take("sid"));
  const digestAlgorithm = readHash(fields.take("digestAlgorithm"));
  const attributes = fields.take("signedAttrs", 0xa0);
  const algorithm = der.walk(fields.take("signatureAlgorithm"), "signature algorithm");
  const signatureAlgorithm = der.readOid(algorithm.take("identifier"));
  algorithm.maybe(der.tags.null);
  algorithm.end();
  const signature = der.readOctetString(fields.take("signature"));
  fields.maybe(0xa1);
  fields.end();
  return {
    ...id,
    digestAlgorithm,
    signatureAlgorithm,
    signature,
    // Signed under the tag of a SET OF, sent under [0] (RFC 5652 §5.4).
    signedAttributes: concat(Uint8Array.of(der.tags.set), attributes.encoded.subarray(1)),
    ...readAttributes(attributes),
  };
}

function readAttributes(element: der.DerElement) {
  const values = new Map<string, der.DerElement>();
  for (const attribute of element.children()) {
    const fields = der.walk(attribute, "attribute");
    const oid = der.readOid(fields.take("type"));
    const set = der.walk(fields.take("values"), "attribute", der.tags.set);
    fields.end();
    if (values.has(oid)) throw new Malformed("signed attributes: one twice");
    values.set(oid, set.take("value"));
    set.end();
  }
  const valueOf = (oid: string, name: string) => {
    const value = values.get(oid);
    if (value === undefined) throw new Malformed(`signed attributes: ${name} is missing`);
    return value;
  };
  const contentType = valueOf(tspOids.contentType, "content type");
  expectOid(contentType, tspOids.tstInfo, "signed attributes: content type");
  return {
    messageDigest: der.readOctetString(valueOf(tspOids.messageDigest, "message digest")),
    certificate: readCertificateId(valueOf(tspOids.signingCertificateV2, "signing certificate")),
  };
}

/** The first certificate of SigningCertificateV2, which is the signer's (RFC 5035 §3). */
function readCertificateId(element: der.DerElement): CertificateId {
  const signing = der.walk(element, "signing certificate");
  const [first] = signing.take("certs", der.tags.sequence).children();
  signing.maybe(der.tags.sequence);
  signing.end();
  if (first === undefined) throw new Malformed("signing certificate: none");
  const fields = der.walk(first, "ESSCertIDv2");
  const algorithm = fields.maybe(der.tags.sequence);
  const hashAlgorithm = algorithm === null ? "sha256" : readHash(algorithm);
  const hash = der.readOctetString(fields.take("certHash"));
  const issuerSerial = fields.maybe(der.tags.sequence);
  fields.end();
  return {
    hashAlgorithm,
    hash,
    issuerSerial: issuerSerial === null ? null : readIssuerSerial(issuerSerial),
  };
}

/** IssuerSerial ::= SEQUENCE { issuer GeneralNames, serialNumber INTEGER }, the issuer one directoryName. */
function readIssuerSerial(element: der.DerElement) {
  const fields = der.walk(element, "issuer and serial");
  const names = der.walk(fields.take("issuer"), "issuer");
  const name = der.walk(names.take("name"), "issuer", 0xa4);
  const issuer = name.take("name", der.tags.sequence).encoded;
  name.end();
  names.end();
  const serial = der.readUnsigned(fields.take("serial"));
  fields.end();
  return { issuer, serial };
}

function readIssuerAndSerial(element: der.DerElement) {
  const fields = der.walk(element, "signer id");
  const issuer = fields.take("issuer", der.tags.sequence).encoded;
  const serial = der.readUnsigned(fields.take("serial"));
  fields.end();
  return { issuer, serial };
}

function readHash(element: der.DerElement): ImprintHash {
  const algorithm = der.walk(element, "hash algorithm");
  const name = imprintHash(der.readOid(algorithm.take("identifier")));
  algorithm.maybe(der.tags.null);
  algorithm.end();
  if (name === null) throw new Malformed("timestamp: only SHA-256, SHA-384 and SHA-512 are known");
  return name;
}

function expectOid(element: der.DerElement, oid: string, what: string): void {
  if (der.readOid(element) !== oid) throw new Malformed(what);
}
