/** Certificate transparency, RFC 6962. */
import * as v from "valibot";
import { bytes, bytesUpTo, hash, uint } from "./bytes.ts";
import { ask } from "./contract.ts";

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
});

/** Logs a precertificate (RFC 6962 §4.2). Resubmission returns the same SCT. */
export const addPreChain = ask("ct", "addPreChain", {
  question: chainQuestion,
  answer: sct,
  failures: ["chain-rejected", "log-unavailable", "log-frozen"],
  deadlineMs: 15_000,
});

/** Logs a certificate (RFC 6962 §4.1). Resubmission returns the same SCT. */
export const addChain = ask("ct", "addChain", {
  question: chainQuestion,
  answer: sct,
  failures: ["chain-rejected", "log-unavailable", "log-frozen"],
  deadlineMs: 15_000,
});

/** The latest signed tree head (RFC 6962 §4.3). */
export const getSth = ask("ct", "getSth", {
  question: v.strictObject({}),
  answer: v.strictObject({ size: uint, timestampMs: uint, root: hash, signature: bytes }),
  failures: ["log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.4. */
export const getSthConsistency = ask("ct", "getSthConsistency", {
  question: v.strictObject({ first: uint, second: uint }),
  answer: v.strictObject({ consistency: v.array(hash) }),
  failures: ["out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.5. */
export const getProofByHash = ask("ct", "getProofByHash", {
  question: v.strictObject({ hash, treeSize: uint }),
  answer: v.strictObject({ leafIndex: uint, auditPath: v.array(hash) }),
  failures: ["not-found", "out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.6. Returns fewer entries than asked for when `end` is too far. */
export const getEntries = ask("ct", "getEntries", {
  question: v.strictObject({ start: uint, end: uint }),
  answer: v.strictObject({
    entries: v.array(v.strictObject({ leafInput: bytes, extraData: bytes })),
  }),
  failures: ["out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.8. */
export const getEntryAndProof = ask("ct", "getEntryAndProof", {
  question: v.strictObject({ leafIndex: uint, treeSize: uint }),
  answer: v.strictObject({ leafInput: bytes, extraData: bytes, auditPath: v.array(hash) }),
  failures: ["out-of-range", "log-unavailable"],
  deadlineMs: 5_000,
});

/** RFC 6962 §4.7. */
export const getRoots = ask("ct", "getRoots", {
  question: v.strictObject({}),
  answer: v.strictObject({ certificates: v.array(bytes) }),
  failures: [],
  deadlineMs: 2_000,
});
