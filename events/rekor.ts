/** Rekor v1 and v2: typed entries in a transparency log. */
import * as v from "valibot";
import { bytesUpTo, hash, uint } from "./bytes.ts";
import { ask } from "./contract.ts";

/** A log entry as Rekor's `LogEntryAnon` needs it. */
export const logEntry = v.strictObject({
  /** Tree id (16 hex digits) followed by the leaf hash: 80 hex digits. */
  entryId: v.string(),
  /** Index over all shards. */
  logIndex: uint,
  /** SHA-256 of the log key's SubjectPublicKeyInfo. */
  logId: hash,
  integratedTimeSeconds: uint,
  /** The canonical body. */
  body: bytesUpTo(4_194_304),
  signedEntryTimestamp: bytesUpTo(512),
  inclusionProof: v.strictObject({
    /** Index inside the shard. */
    index: uint,
    size: uint,
    root: hash,
    hashes: v.array(hash),
    checkpoint: v.string(),
  }),
});

/** A {@link logEntry}. */
export type LogEntry = v.InferOutput<typeof logEntry>;

/** Validates a proposed entry, verifies its signature, canonicalises it and logs it. */
export const createEntry = ask("rekor", "createEntry", {
  /** The ProposedEntry as parsed JSON is not trusted to survive the bus: its bytes travel. */
  question: v.strictObject({ proposed: bytesUpTo(4_194_304) }),
  answer: v.strictObject({ entry: logEntry, known: v.boolean() }),
  failures: [
    "entry-unsupported",
    "signature-invalid",
    "key-malformed",
    "key-insecure",
    "log-unavailable",
    "log-frozen",
    "key-unavailable",
  ],
  deadlineMs: 20_000,
});

/** Rekor v2's `createEntry`: the same entry again gives the same place. */
export const createEntryV2 = ask("rekor", "createEntryV2", {
  /** A CreateEntryRequest in Protobuf's JSON form. */
  question: v.strictObject({ request: bytesUpTo(4_194_304) }),
  answer: v.strictObject({
    index: uint,
    /** SHA-256 of the log key's SubjectPublicKeyInfo. */
    logId: hash,
    kind: v.picklist(["hashedrekord", "dsse"]),
    version: v.string(),
    /** The canonical body. */
    body: bytesUpTo(4_194_304),
    size: uint,
    root: hash,
    hashes: v.array(hash),
    checkpoint: v.string(),
  }),
  failures: [
    "not-found",
    "entry-unsupported",
    "signature-invalid",
    "key-malformed",
    "key-insecure",
    "log-unavailable",
    "log-frozen",
    "key-unavailable",
  ],
  deadlineMs: 20_000,
});

/** An entry by index, by leaf hash, or by its proposed form. */
export const getEntry = ask("rekor", "getEntry", {
  question: v.strictObject({
    by: v.variant("kind", [
      v.strictObject({ kind: v.literal("index"), index: uint }),
      /** 64 or 80 hex digits. */
      v.strictObject({ kind: v.literal("id"), id: v.string() }),
      v.strictObject({ kind: v.literal("proposed"), proposed: bytesUpTo(4_194_304) }),
    ]),
  }),
  answer: logEntry,
  failures: [
    "not-found",
    "entry-unsupported",
    "signature-invalid",
    "key-malformed",
    "key-insecure",
    "log-unavailable",
  ],
  deadlineMs: 10_000,
});

/** One tree of a Rekor v1. */
const shard = v.strictObject({
  treeId: v.string(),
  size: uint,
  root: hash,
  checkpoint: v.string(),
  publicKey: bytesUpTo(4_096),
});

/** `GET /api/v1/log`: the shard that takes entries, and those before it. */
export const describeLog = ask("rekor", "describeLog", {
  question: v.strictObject({}),
  answer: v.strictObject({
    ...shard.entries,
    /** Oldest first. */
    inactive: v.array(shard),
  }),
  failures: ["log-unavailable"],
  deadlineMs: 5_000,
});

/** `GET /api/v1/log/proof`. */
export const proveLog = ask("rekor", "proveLog", {
  question: v.strictObject({ first: uint, last: uint, treeId: v.optional(v.string()) }),
  answer: v.strictObject({ root: hash, hashes: v.array(hash) }),
  failures: ["out-of-range", "not-found", "log-unavailable"],
  deadlineMs: 5_000,
});
