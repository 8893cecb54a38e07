/** Log entries as Sigstore bundles carry them: `TransparencyLogEntry` of sigstore protobuf-specs 0.5.2, `sigstore_rekor.proto`. */
import { encodeBase64 } from "./encoding.ts";
import { Malformed } from "./malformed.ts";
import type { Field } from "./protojson.ts";
import { readBytes, readInt64, readList, readMembers, readText } from "./protojson.ts";

/** Entries and timestamps a bundle may hold at most, as in sigstore-go. */
export const maxEvidence = 32;

/** The number in a bundle's media type. */
export type BundleVersion = "0.1" | "0.2" | "0.3";

/** A log's entry with the log's promises about it. */
export interface LogEntry {
  /** Over all shards of the log. */
  readonly index: bigint;
  readonly logId: Uint8Array;
  readonly kind: string;
  readonly kindVersion: string;
  /** Seconds since the epoch; 0 for none. Worth nothing without {@link signedEntryTimestamp}. */
  readonly integratedTimeSeconds: bigint;
  readonly signedEntryTimestamp: Uint8Array | null;
  readonly inclusionProof: InclusionProof | null;
  /** The bytes that are logged. */
  readonly canonicalizedBody: Uint8Array;
}

/** That an entry is in the tree of a checkpoint. */
export interface InclusionProof {
  /** Within the shard. */
  readonly index: bigint;
  readonly root: Uint8Array;
  readonly size: bigint;
  readonly hashes: readonly Uint8Array[];
  /** A signed note. */
  readonly checkpoint: string;
}

/**
 * The entries of a bundle's verification material.
 *
 * @throws {Malformed} if there are more than {@link maxEvidence}, if one is repeated, or lacks what `version` demands.
 */
export function parseEntries(version: BundleVersion, value: Field): LogEntry[] {
  const items = readList(value, "bundle: tlogEntries", maxEvidence);
  const entries = items.map((item, at) => parseEntry(version, item, `bundle: tlogEntries[${at}]`));
  // One entry given twice must never count as two.
  const seen = new Set(entries.map(({ logId, index }) => `${encodeBase64(logId)} ${index}`));
  if (seen.size !== entries.length) throw new Malformed("bundle: a log entry is given twice");
  return entries;
}

/** The entry as version 0.3 writes it. */
export function entryJson(entry: LogEntry): object {
  const { inclusionProof: proof, signedEntryTimestamp } = entry;
  return {
    logIndex: String(entry.index),
    logId: { keyId: encodeBase64(entry.logId) },
    kindVersion: { kind: entry.kind, version: entry.kindVersion },
    integratedTime: String(entry.integratedTimeSeconds),
    ...(signedEntryTimestamp === null
      ? {}
      : { inclusionPromise: { signedEntryTimestamp: encodeBase64(signedEntryTimestamp) } }),
    ...(proof === null
      ? {}
      : {
          inclusionProof: {
            logIndex: String(proof.index),
            rootHash: encodeBase64(proof.root),
            treeSize: String(proof.size),
            hashes: proof.hashes.map(encodeBase64),
            checkpoint: { envelope: proof.checkpoint },
          },
        }),
    canonicalizedBody: encodeBase64(entry.canonicalizedBody),
  };
}

const hashBytes = 32;
/** A Merkle path is at most as long as a 64-bit size has digits. */
const maxProofHashes = 64;

function parseEntry(version: BundleVersion, value: Field, where: string): LogEntry {
  const entry = readMembers(value, where, [
    "logIndex",
    "logId",
    "kindVersion",
    "integratedTime",
    "inclusionPromise",
    "inclusionProof",
    "canonicalizedBody",
  ]);
  const { keyId } = readMembers(entry.logId, `${where}.logId`, ["keyId"]);
  const kindVersion = readMembers(entry.kindVersion, `${where}.kindVersion`, ["kind", "version"]);
  const parsed: LogEntry = {
    index: readInt64(entry.logIndex, `${where}.logIndex`),
    logId: readHash(keyId, `${where}.logId`),
    kind: readText(kindVersion.kind, `${where}.kindVersion.kind`),
    kindVersion: readText(kindVersion.version, `${where}.kindVersion.version`),
    integratedTimeSeconds: readInt64(entry.integratedTime, `${where}.integratedTime`),
    signedEntryTimestamp: parsePromise(entry.inclusionPromise, `${where}.inclusionPromise`),
    inclusionProof: parseInclusionProof(entry.inclusionProof, `${where}.inclusionProof`),
    canonicalizedBody: readBytes(entry.canonicalizedBody, `${where}.canonicalizedBody`),
  };
  if (version === "0.1" && parsed.signedEntryTimestamp === null) {
    throw new Malformed(`${where}: version 0.1 needs an inclusion promise`);
  }
  if (version !== "0.1" && parsed.inclusionProof === null) {
    throw new Malformed(`${where}: version ${version} needs an inclusion proof`);
  }
  return parsed;
}

function parsePromise(value: Field, where: string): Uint8Array | null {
  if (value === undefined) return null;
  const { signedEntryTimestamp } = readMembers(value, where, ["signedEntryTimestamp"]);
  return readBytes(signedEntryTimestamp, where);
}

function parseInclusionProof(value: Field, where: string): InclusionProof | null {
  if (value === undefined) return null;
  const proof = readMembers(value, where, [
    "logIndex",
    "rootHash",
    "treeSize",
    "hashes",
    "checkpoint",
  ]);
  const { envelope } = readMembers(proof.checkpoint, `${where}.checkpoint`, ["envelope"]);
  return {
    index: readInt64(proof.logIndex, `${where}.logIndex`),
    root: readHash(proof.rootHash, `${where}.rootHash`),
    size: readInt64(proof.treeSize, `${where}.treeSize`),
    hashes: readList(proof.hashes, `${where}.hashes`, maxProofHashes).map((hash) =>
      readHash(hash, `${where}.hashes`),
    ),
    checkpoint: readText(envelope, `${where}.checkpoint`),
  };
}

function readHash(value: Field, where: string): Uint8Array {
  const bytes = readBytes(value, where);
  if (bytes.length !== hashBytes) throw new Malformed(`${where}: expected 32 bytes`);
  return bytes;
}
