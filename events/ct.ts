/** Certificate transparency, RFC 6962. */
import * as v from "valibot";
import { bytes, bytesUpTo, hash, uint } from "./bytes.ts";
import { ask } from "./contract.ts";
import { logName } from "./log.ts";

/** A signed certificate timestamp, version 1. */
export const sct = v.strictObject({
  /** SHA-256 of the log's SubjectPublicKeyInfo. */
  logId: hash,
  timestampMs: uint,
  extensions: bytes,
  /** TLS DigitallySigned. */
  signature: bytes,
});

const chainQuestion = v.strictObject({
  /** Leaf first, each DER. The root may be missing. */
  chain: v.pipe(v.array(bytesUpTo(65_536)), v.minLength(1), v.maxLength(10)),
  /** The shard it is for; without it, the one that takes certificates that end when this leaf does. */
  log: v.optional(logName),
});

/** Of which shard something is asked. */
const log = logName;

/** Logs a precertificate (RFC 6962 §4.2). Resubmission returns the same SCT. */
export const addPreChain = ask("ct", "addPreChain", {
  question: chainQuestion,
  answer: sct,
  failures: ["chain-rejected", "not-found", "log-unavailable", "log-frozen"],
  deadlineMs: 15_000,
});

/** Logs a certificate (RFC 6962 §4.1). Resubmission returns the same SCT. */
export const addChain = ask("ct", "addChain", {
  question: chainQuestion,
  answer: sct,
  failures: ["chain-rejected", "not-found", "log-unavailable", "log-frozen"],
  deadlineMs: 15_000,
});

/** The latest signed tree head (RFC 6962 §4.3). */
export const getSth = ask("ct", "getSth", {
  question: v.strictObject({ log }),
  answer: v.strictObject({ size: uint, timestampMs: uint, root: hash, signature: bytes }),
  failures: ["not-found", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.4. */
export const getSthConsistency = ask("ct", "getSthConsistency", {
  question: v.strictObject({ log, first: uint, second: uint }),
  answer: v.strictObject({ consistency: v.array(hash) }),
  failures: ["not-found", "out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.5. */
export const getProofByHash = ask("ct", "getProofByHash", {
  question: v.strictObject({ log, hash, treeSize: uint }),
  answer: v.strictObject({ leafIndex: uint, auditPath: v.array(hash) }),
  failures: ["not-found", "out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.6. Returns fewer entries than asked for when `end` is too far. */
export const getEntries = ask("ct", "getEntries", {
  question: v.strictObject({ log, start: uint, end: uint }),
  answer: v.strictObject({
    entries: v.array(v.strictObject({ leafInput: bytes, extraData: bytes })),
  }),
  failures: ["not-found", "out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.8. */
export const getEntryAndProof = ask("ct", "getEntryAndProof", {
  question: v.strictObject({ log, leafIndex: uint, treeSize: uint }),
  answer: v.strictObject({ leafInput: bytes, extraData: bytes, auditPath: v.array(hash) }),
  failures: ["not-found", "out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.7: the same for every shard. */
export const getRoots = ask("ct", "getRoots", {
  question: v.strictObject({ log }),
  answer: v.strictObject({ certificates: v.array(bytes) }),
  failures: ["not-found"],
  deadlineMs: 2_000,
});
