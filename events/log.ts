/** Transparency logs: one plugin hosts them all, and every ask names its log. */
import * as v from "valibot";
import { bytes, bytesUpTo, hash, uint } from "./bytes.ts";
import { ask, fact } from "./contract.ts";
import { keyLabel } from "./hsm.ts";

/** A log's name in the configuration, and its partition in the log's store. */
export const logName = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,31}$/));

/** What is to be logged. The log itself forms the leaf, because it alone gives the time. */
export const candidate = v.variant("kind", [
  /** Rekor: the leaf is the canonical body. The log gives the integrated time and, for a v1 log, signs an entry timestamp. */
  v.strictObject({
    kind: v.literal("body"),
    body: bytesUpTo(4_194_304),
    /** SHA-256 digests of an attestation's subjects, one after the other: kept beside the entry, for whoever searches. */
    subjects: v.optional(bytesUpTo(2_048)),
  }),
  /** RFC 6962 §3.4, x509_entry: `certificate` is the leaf's DER; `extraData` is the chain in its TLS form. */
  v.strictObject({ kind: v.literal("certificate"), certificate: bytes, extraData: bytes }),
  /** RFC 6962 §3.4, precert_entry: `tbs` is the TBSCertificate without poison. */
  v.strictObject({
    kind: v.literal("precertificate"),
    issuerKeyHash: hash,
    tbs: bytes,
    extraData: bytes,
  }),
]);

/** A {@link candidate}. */
export type Candidate = v.InferOutput<typeof candidate>;

/** A tree's head: what a checkpoint says. */
export const head = v.strictObject({
  size: uint,
  root: hash,
  /** The signed note, UTF-8, as published. */
  checkpoint: v.string(),
  /** RFC 6962 logs only: the tree head's time and its TLS DigitallySigned. */
  treeHead: v.optional(v.strictObject({ timestampMs: uint, signature: bytes })),
});

/** A {@link head}. */
export type Head = v.InferOutput<typeof head>;

/** True if the log is meant that has taken over from the named one, or from its successor and so on; if none has, the named one. */
const newest = v.optional(v.boolean());

/** Appends an entry, durably, and promises it. The same entry again returns the same index and the same promise. */
export const appendEntry = ask("log", "appendEntry", {
  question: v.strictObject({
    log: logName,
    entry: candidate,
    newest,
    /** False from who has no use for an inclusion proof: there is none in the answer then, and the head need not cover the entry. */
    prove: v.optional(v.boolean()),
  }),
  answer: v.strictObject({
    /** The log that took it, if another than the named one did. */
    log: v.optional(logName),
    index: uint,
    /** RFC 6962 leaf hash. */
    leafHash: hash,
    /** SHA-256 of the log key's SubjectPublicKeyInfo. */
    logId: hash,
    /** When the log took the entry: ms for a CT log; a whole second, in ms, for Rekor. */
    integratedAtMs: uint,
    /** CT: the SCT's DigitallySigned. Rekor v1: the signed entry timestamp, ECDSA DER. Rekor v2: absent. */
    promise: v.optional(bytes),
    /** True if the entry was there before. */
    known: v.boolean(),
    /** A published head that covers the entry, and the entry's inclusion proof in it. */
    head,
    inclusionProof: v.array(hash),
  }),
  failures: ["not-found", "log-unavailable", "log-frozen", "key-unavailable"],
  deadlineMs: 15_000,
});

/** What is stored under an index. */
export const storedEntry = v.strictObject({
  index: uint,
  /** The leaf's bytes: the canonical body, or the MerkleTreeLeaf of a CT log. */
  entry: bytes,
  /** CT: the chain. Rekor: digests of subjects, or empty. */
  extraData: bytes,
  integratedAtMs: uint,
  promise: v.optional(bytes),
});

/** Entries from `from` on, at most `limit` and at most 1,000, and none beyond the published size. */
export const readEntries = ask("log", "readEntries", {
  question: v.strictObject({
    log: logName,
    from: uint,
    limit: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000)),
  }),
  answer: v.strictObject({ entries: v.array(storedEntry) }),
  failures: ["not-found", "log-unavailable"],
  deadlineMs: 5_000,
});

/** The index of the leaf with this hash. */
export const findLeaf = ask("log", "findLeaf", {
  question: v.strictObject({ log: logName, leafHash: hash }),
  answer: v.strictObject({ index: uint }),
  failures: ["not-found", "log-unavailable"],
  deadlineMs: 5_000,
});

/** The newest published head: one that covers all that was promised before, if the vault signs it in a moment. */
export const latestHead = ask("log", "latestHead", {
  question: v.strictObject({ log: logName, newest }),
  answer: v.strictObject({
    logId: hash,
    head,
    /** Index of the log's first entry over all shards; absent for 0. */
    firstIndex: v.optional(uint),
    /** Retired logs only: SubjectPublicKeyInfo of their key, which the vault need not have any more. */
    publicKey: v.optional(bytes),
  }),
  failures: ["not-found", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §2.1.1: the proof that leaf `index` is in the tree of `size` leaves, which must be published. */
export const proveInclusion = ask("log", "proveInclusion", {
  question: v.strictObject({ log: logName, index: uint, size: uint }),
  answer: v.strictObject({ root: hash, proof: v.array(hash) }),
  failures: ["not-found", "out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §2.1.2: the proof that the tree of `first` leaves is a prefix of the tree of `second`. */
export const proveConsistency = ask("log", "proveConsistency", {
  question: v.strictObject({ log: logName, first: uint, second: uint }),
  answer: v.strictObject({ root: hash, proof: v.array(hash) }),
  failures: ["not-found", "out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** A C2SP tile or entry bundle, exactly the published prefix that was asked for. */
export const readTile = ask("log", "readTile", {
  question: v.strictObject({
    log: logName,
    newest,
    /** `entries` or the tile's level. */
    level: v.union([
      v.literal("entries"),
      v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(63)),
    ]),
    index: uint,
    /** Number of hashes or entries: 1 to 256; 256 is a full tile. */
    width: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(256)),
  }),
  answer: v.strictObject({ tile: bytes }),
  failures: ["not-found", "log-unavailable"],
  deadlineMs: 5_000,
});

/**
 * An operator's: ends a log. What it has taken is published under a final head, after that it refuses entries for ever, and says so
 * durably before it answers; reading goes on. A frozen log answers the same again.
 */
export const freezeLog = ask("log", "freezeLog", {
  question: v.strictObject({ log: logName }),
  answer: v.strictObject({
    head,
    /** When it took its last entry or later: nothing is integrated after it. */
    frozenAtMs: uint,
  }),
  failures: ["access-denied", "not-found", "log-unavailable", "key-unavailable"],
  deadlineMs: 30_000,
});

/** A log as the configuration has it. */
const configuredLog = v.strictObject({
  name: logName,
  format: v.picklist(["rfc6962", "rekor-v1", "rekor-v2"]),
  key: keyLabel,
  treeId: v.optional(v.string()),
});

/** How far a log is in its life. */
export const logPhase = v.picklist(["created", "active", "frozen", "sharded", "retired"]);

/** A {@link logPhase}. */
export type LogPhase = v.InferOutput<typeof logPhase>;

/** Every log there is, each after the one it takes over from. */
export const listLogs = ask("log", "listLogs", {
  question: v.strictObject({}),
  answer: v.strictObject({
    logs: v.array(
      v.strictObject({
        ...configuredLog.entries,
        /** The log it takes over from. */
        after: v.optional(logName),
        phase: logPhase,
        /** Absent before it has begun. */
        logId: v.optional(hash),
        /** Index of its first entry over all shards. */
        firstIndex: uint,
        /** Published entries. */
        size: uint,
      }),
    ),
  }),
  failures: ["log-unavailable"],
  deadlineMs: 5_000,
});

/**
 * An operator's: freezes a Rekor log and lets a new one take over, whose first entry is the final checkpoint of the old one. The new
 * one's key and storage are there, and clients trust it. Who appends meanwhile waits and is taken by the new one. Done before, it
 * answers the same; interrupted, it is asked for again, and a start of the room ends it too.
 */
export const rollLog = ask("log", "rollLog", {
  question: v.strictObject({ ...configuredLog.entries, after: logName }),
  answer: v.strictObject({
    /** Final head of the old one, and when it took its last entry or later. */
    final: head,
    finalLogId: hash,
    frozenAtMs: uint,
    /** Index of the new one's first entry over all shards. */
    firstIndex: uint,
  }),
  failures: ["access-denied", "not-found", "log-unavailable", "key-unavailable"],
  deadlineMs: 30_000,
});

/**
 * An operator's: ends the life of a log whose successor holds its final checkpoint. Nothing is asked of its key from then on, which may
 * be destroyed; reading goes on, from what is stored. There is no way back. A retired log answers the same again.
 */
export const retireLog = ask("log", "retireLog", {
  question: v.strictObject({ log: logName }),
  answer: v.strictObject({ head, logId: hash, retiredAtMs: uint }),
  failures: ["access-denied", "not-found", "operation-refused", "log-unavailable"],
  deadlineMs: 15_000,
});

/** Leaves `from` (inclusive) to `to` (exclusive) are durable in the log. One fact a batch. */
export const entriesAppended = fact(
  "log",
  "entriesAppended",
  v.strictObject({ log: logName, from: uint, to: uint }),
);
