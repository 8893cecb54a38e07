/** What differs between the formats of logs: the leaf, the time, when two entries are the same, and what is promised. */
import type { PublicKey } from "../../core/crypto/keys.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { digestOfAll } from "../../core/formats/digest.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { formatSetPayload } from "../../core/formats/rekor-entry.ts";
import {
  digitallySigned,
  merkleTreeLeaf,
  parseDigitallySigned,
  parseMerkleTreeLeaf,
  sctSignatureInput,
} from "../../core/formats/sct.ts";
import type { Signable } from "../../events/hsm.ts";
import type { Candidate } from "../../events/log.ts";
import { Failure } from "../../events/failure.ts";
import type { EntryRow } from "./rows.ts";

/** An entry whose place is known. */
export interface Placed extends EntryRow {
  readonly index: bigint;
}

/** A kind of log. */
export interface LogFormat {
  /** RFC 6962 logs publish a tree head besides the checkpoint. */
  readonly hasTreeHead: boolean;
  /**
   * How long a head may stay behind what has been promised: an SCT stands for itself. 0 where the answer to an entry has a head in it
   * that covers the entry.
   */
  readonly headDelayMs: number;
  /** The time an entry is given, in ms, from the clock's. */
  timeOf(nowMs: bigint): bigint;
  /**
   * Two candidates with one identity are one entry. `isLeafHash` says that it is also the entry's leaf hash.
   *
   * @throws {Failure} malformed if the log does not take this kind.
   */
  identityOf(candidate: Candidate): Uint8Array;
  readonly identityIsLeafHash: boolean;
  /** The leaf's bytes and what is stored beside them. */
  form(candidate: Candidate, integratedAtMs: bigint): Omit<EntryRow, "integratedAtMs">;
  /** Null if the log promises nothing. */
  readonly promise: PromiseFormat | null;
}

/** What a log promises for an entry. */
interface PromiseFormat {
  /** What the vault is asked to sign for consecutive entries; it gives a signature an entry, in order. */
  signable(entries: readonly Placed[], key: LogKey): Signable;
  /** The promise as the client gets it, from the vault's signature. */
  fromSignature(signature: Uint8Array): Uint8Array;
  verify(entry: Placed, promise: Uint8Array, key: LogKey): boolean;
}

/** A log's public key and its name for the world. */
export interface LogKey {
  readonly publicKey: PublicKey;
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly logId: Uint8Array;
  /** Index of its first entry over all shards, which Rekor v1 promises. */
  readonly firstIndex: bigint;
}

const rfc6962: LogFormat = {
  hasTreeHead: true,
  headDelayMs: 100,
  timeOf: (nowMs) => nowMs,
  identityOf(candidate) {
    switch (candidate.kind) {
      case "certificate":
        return digestOfAll("sha256", Uint8Array.of(0), candidate.certificate);
      case "precertificate":
        return digestOfAll("sha256", Uint8Array.of(1), candidate.issuerKeyHash, candidate.tbs);
      case "body":
        throw new Failure("malformed", "a CT log takes certificates and precertificates only");
    }
  },
  identityIsLeafHash: false,
  form(candidate, timestampMs) {
    if (candidate.kind === "body") throw new Failure("malformed", "a CT log takes no bodies");
    const { extraData, ...entry } = candidate;
    return { entry: merkleTreeLeaf({ ...entry, timestampMs }), extraData };
  },
  promise: {
    signable: (entries) => ({
      purpose: "scts",
      entries: entries.map(({ entry }) => {
        const { extensions: _, ...leaf } = parseMerkleTreeLeaf(entry);
        return leaf;
      }),
    }),
    fromSignature: digitallySigned,
    verify({ entry }, promise, { publicKey }) {
      const { signature } = parseDigitallySigned(promise);
      return verifySignature(publicKey, sctSignatureInput(parseMerkleTreeLeaf(entry)), signature);
    },
  },
};

const rekorV2: LogFormat = {
  hasTreeHead: false,
  headDelayMs: 0,
  // Rekor's integrated time is whole seconds.
  timeOf: (nowMs) => nowMs - (nowMs % 1000n),
  identityOf(candidate) {
    if (candidate.kind === "body") return leafHash(candidate.body);
    throw new Failure("malformed", "a Rekor log takes bodies only");
  },
  identityIsLeafHash: true,
  form(candidate) {
    if (candidate.kind !== "body") throw new Failure("malformed", "a Rekor log takes bodies only");
    return { entry: candidate.body, extraData: candidate.subjects ?? new Uint8Array() };
  },
  promise: null,
};

const rekorV1: LogFormat = {
  ...rekorV2,
  promise: {
    signable: (entries, { firstIndex }) => ({
      purpose: "signedEntryTimestamps",
      entries: entries.map(({ entry, integratedAtMs, index }) => ({
        body: entry,
        integratedTimeSeconds: integratedAtMs / 1000n,
        index: firstIndex + index,
      })),
    }),
    fromSignature: (signature) => signature,
    verify({ entry, integratedAtMs, index }, promise, { publicKey, logId, firstIndex }) {
      const payload = formatSetPayload({
        body: entry,
        integratedTimeSeconds: integratedAtMs / 1000n,
        logId,
        logIndex: firstIndex + index,
      });
      return verifySignature(publicKey, payload, promise);
    },
  },
};

/** Every format there is. */
export const formats = {
  rfc6962,
  "rekor-v1": rekorV1,
  "rekor-v2": rekorV2,
} as const satisfies Record<string, LogFormat>;
