/** Structures of certificate transparency (RFC 6962, v1): what a log signs, what it stores, and what a certificate carries. */
import { allocate } from "./allocate.ts";
import { concat, putUint, uintBytes } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import { opaque, putOpaque, readTls, type TlsReader } from "./tls.ts";

/** An entry and the time the log took it. */
export type SctEntry = {
  readonly timestampMs: bigint;
  /** CtExtensions; empty in logs of our own. */
  readonly extensions?: Uint8Array;
} & (
  | { readonly kind: "certificate"; readonly certificate: Uint8Array }
  | {
      readonly kind: "precertificate";
      /** SHA-256 of the issuer's SubjectPublicKeyInfo. */
      readonly issuerKeyHash: Uint8Array;
      /** TBSCertificate without poison and without SCT list. */
      readonly tbs: Uint8Array;
    }
);

/** A signed certificate timestamp, version 1. */
export interface Sct {
  /** SHA-256 of the log's SubjectPublicKeyInfo. */
  readonly logId: Uint8Array;
  readonly timestampMs: bigint;
  readonly extensions: Uint8Array;
  /** TLS DigitallySigned. */
  readonly signature: Uint8Array;
}

const version1 = 0;
const certificateTimestamp = 0;
const treeHash = 1;
const timestampedEntry = 0;
const x509Entry = 0;
const precertEntry = 1;
const hashLength = 32;

/*
 * digitally-signed struct { Version sct_version; SignatureType signature_type = certificate_timestamp; uint64 timestamp;
 *   LogEntryType entry_type; select(entry_type) signed_entry; CtExtensions extensions<0..2^16-1>; }       RFC 6962 §3.2
 */
/** The bytes an SCT's signature covers. */
export function sctSignatureInput(entry: SctEntry): Uint8Array {
  return timestamped(certificateTimestamp, entry);
}

/** struct { Version version; MerkleLeafType leaf_type = timestamped_entry; TimestampedEntry; }            RFC 6962 §3.4 */
export function merkleTreeLeaf(entry: SctEntry): Uint8Array {
  return timestamped(timestampedEntry, entry);
}

/** The inverse of {@link merkleTreeLeaf}. @throws {Malformed} */
export function parseMerkleTreeLeaf(leaf: Uint8Array): SctEntry {
  const reader = readTls(leaf, "merkle tree leaf");
  if (reader.uint(1) !== BigInt(version1) || reader.uint(1) !== BigInt(timestampedEntry)) {
    throw new Malformed("merkle tree leaf: unknown version or type");
  }
  const timestampMs = reader.uint(8);
  const entry = readEntry(reader);
  const extensions = reader.opaque(2);
  reader.end();
  return { ...entry, timestampMs, extensions };
}

/** digitally-signed struct { version; signature_type = tree_hash; uint64 timestamp; uint64 tree_size; root }  RFC 6962 §3.5 */
export function treeHeadSignatureInput(head: {
  readonly timestampMs: bigint;
  readonly size: bigint;
  readonly root: Uint8Array;
}): Uint8Array {
  if (head.root.length !== hashLength) throw new Malformed("tree head: root is not 32 bytes");
  const type = Uint8Array.of(version1, treeHash);
  return concat(type, uintBytes(head.timestampMs, 8), uintBytes(head.size, 8), head.root);
}

/** DigitallySigned (RFC 5246 §4.7) of an ECDSA signature in DER over SHA-256. */
export function digitallySigned(signature: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(hashIds.sha256, signatureIds.ecdsa), opaque(2, signature));
}

/** What DigitallySigned says. */
export interface DigitallySigned {
  readonly hash: "sha256" | "sha384" | "sha512";
  readonly algorithm: "ecdsa" | "rsa";
  readonly signature: Uint8Array;
}

/** @throws {Malformed} also on an algorithm that no log here or among Sigstore's uses. */
export function parseDigitallySigned(bytes: Uint8Array): DigitallySigned {
  const reader = readTls(bytes, "digitally signed");
  const hashId = Number(reader.uint(1));
  const signatureId = Number(reader.uint(1));
  const signature = reader.opaque(2);
  reader.end();
  const hash = hashNames.get(hashId);
  const algorithm = signatureNames.get(signatureId);
  if (hash === undefined || algorithm === undefined) {
    throw new Malformed(`digitally signed: algorithm ${hashId}/${signatureId} is not supported`);
  }
  return { hash, algorithm, signature };
}

/** SignedCertificateTimestampList (RFC 6962 §3.3). The extension wraps it in one more OCTET STRING. */
export function formatSctList(scts: readonly Sct[]): Uint8Array {
  if (scts.length === 0) throw new Malformed("sct list: empty");
  let length = 0;
  for (const sct of scts) length += 2 + sctLength(sct);
  const list = allocate(2 + length);
  let at = putUint(list, 0, length, 2);
  for (const sct of scts) at = putSct(list, putUint(list, at, sctLength(sct), 2), sct);
  return list;
}

/** @throws {Malformed} on an empty list or anything but version 1. */
export function parseSctList(list: Uint8Array): readonly Sct[] {
  const outer = readTls(list, "sct list");
  const inner = readTls(outer.opaque(2), "sct list");
  outer.end();
  const scts: Sct[] = [];
  while (!inner.isDone()) scts.push(parseSct(inner.opaque(2)));
  if (scts.length === 0) throw new Malformed("sct list: empty");
  return scts;
}

/** The chain stored beside an x509_entry: ASN.1Cert certificate_chain<0..2^24-1>, without the leaf. */
export function certificateChainExtra(chain: readonly Uint8Array[]): Uint8Array {
  const extra = allocate(3 + chainLength(chain));
  putChain(extra, 0, chain);
  return extra;
}

/** struct { ASN.1Cert pre_certificate; ASN.1Cert precertificate_chain<0..2^24-1>; }                     RFC 6962 §3.1 */
export function precertChainExtra(
  precertificate: Uint8Array,
  chain: readonly Uint8Array[],
): Uint8Array {
  const extra = allocate(3 + precertificate.length + 3 + chainLength(chain));
  putChain(extra, putOpaque(extra, 0, 3, precertificate), chain);
  return extra;
}

/** Of certificates one after the other, each with its length. */
function chainLength(chain: readonly Uint8Array[]): number {
  let length = 0;
  for (const certificate of chain) length += 3 + certificate.length;
  return length;
}

function putChain(into: Uint8Array, from: number, chain: readonly Uint8Array[]): void {
  let at = putUint(into, from, chainLength(chain), 3);
  for (const certificate of chain) at = putOpaque(into, at, 3, certificate);
}

const hashIds = { sha256: 4, sha384: 5, sha512: 6 } as const;
const signatureIds = { rsa: 1, ecdsa: 3 } as const;
const hashNames = new Map<number, DigitallySigned["hash"]>([
  [hashIds.sha256, "sha256"],
  [hashIds.sha384, "sha384"],
  [hashIds.sha512, "sha512"],
]);
const signatureNames = new Map<number, DigitallySigned["algorithm"]>([
  [signatureIds.rsa, "rsa"],
  [signatureIds.ecdsa, "ecdsa"],
]);

/** Version and type, then what a log signs and stores of an entry, written once. */
function timestamped(type: number, entry: SctEntry): Uint8Array {
  const { timestampMs, extensions = none } = entry;
  const isCertificate = entry.kind === "certificate";
  const head = isCertificate ? none : entry.issuerKeyHash;
  if (!isCertificate && head.length !== hashLength) {
    throw new Malformed("precertificate entry: issuer key hash is not 32 bytes");
  }
  const signed = isCertificate ? entry.certificate : entry.tbs;
  const bytes = allocate(17 + head.length + signed.length + extensions.length);
  bytes[0] = version1;
  bytes[1] = type;
  let at = putUint(bytes, 2, timestampMs, 8);
  at = putUint(bytes, at, isCertificate ? x509Entry : precertEntry, 2);
  bytes.set(head, at);
  at = putOpaque(bytes, at + head.length, 3, signed);
  putOpaque(bytes, at, 2, extensions);
  return bytes;
}

const none = new Uint8Array();

function readEntry(
  reader: TlsReader,
):
  | { kind: "certificate"; certificate: Uint8Array }
  | { kind: "precertificate"; issuerKeyHash: Uint8Array; tbs: Uint8Array } {
  const type = Number(reader.uint(2));
  if (type === x509Entry) return { kind: "certificate", certificate: reader.opaque(3) };
  if (type !== precertEntry) throw new Malformed("merkle tree leaf: unknown entry type");
  const issuerKeyHash = reader.bytes(hashLength);
  return { kind: "precertificate", issuerKeyHash, tbs: reader.opaque(3) };
}

/** Version, log id, timestamp, extensions with their length, and signature. */
function sctLength({ extensions, signature }: Sct): number {
  return 1 + hashLength + 8 + 2 + extensions.length + signature.length;
}

function putSct(into: Uint8Array, from: number, sct: Sct): number {
  if (sct.logId.length !== hashLength) throw new Malformed("sct: log id is not 32 bytes");
  parseDigitallySigned(sct.signature);
  into[from] = version1;
  into.set(sct.logId, from + 1);
  const at = putUint(into, from + 1 + hashLength, sct.timestampMs, 8);
  const end = putOpaque(into, at, 2, sct.extensions);
  into.set(sct.signature, end);
  return end + sct.signature.length;
}

function parseSct(bytes: Uint8Array): Sct {
  const reader = readTls(bytes, "sct");
  if (reader.uint(1) !== BigInt(version1)) throw new Malformed("sct: unknown version");
  const logId = reader.bytes(hashLength);
  const timestampMs = reader.uint(8);
  const extensions = reader.opaque(2);
  const algorithm = reader.bytes(2);
  const signature = concat(algorithm, opaque(2, reader.opaque(2)));
  reader.end();
  parseDigitallySigned(signature);
  return { logId, timestampMs, extensions, signature };
}
