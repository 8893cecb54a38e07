/** Rows of the ledger: JSON text, chained by SHA-256(previous hash ‖ sequence as 8 bytes ‖ body). */
import { digestOf } from "../core/formats/digest.ts";
import * as v from "valibot";
import { encodeUtf8 } from "../core/formats/encoding.ts";
import { purposes } from "./keyring.ts";

/** The hash before the first row. */
export const genesisHash = new Uint8Array(32);

const sequence = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const atMs = v.pipe(v.number(), v.safeInteger());
const purpose = v.picklist([...purposes, "selfTest", "ownRoot"]);

/** What is bound to an intent besides the hash: enough to answer later who got what. */
const binding = v.variant("kind", [
  v.strictObject({
    kind: v.picklist(["precertificate", "certificate"]),
    serial: v.string(),
    /** SHA-256 of the sealed verdict's bytes. */
    verdict: v.string(),
    tokenDigest: v.string(),
    publicKeyHash: v.string(),
  }),
  v.strictObject({ kind: v.literal("tree"), size: v.string(), root: v.string() }),
  v.strictObject({ kind: v.literal("role"), type: v.string(), version: v.number() }),
  v.strictObject({ kind: v.literal("stamp"), genTimeMs: v.string(), serial: v.string() }),
  v.strictObject({ kind: v.literal("none") }),
]);

/** How an attempt ended. `unknown-signed`: the process or the device went away, so a signature may exist that nobody was given. */
const statuses = ["ok", "failed", "bad", "unknown-signed"] as const;

const result = v.strictObject({
  of: sequence,
  status: v.picklist(statuses),
  /** Signatures that the device is known to have made. */
  made: v.number(),
  /** SHA-256 over the signatures in order. */
  signatureHash: v.optional(v.string()),
  /** What was to be signed, as an intent's `hash`, where the intent was announced before that was known. */
  hash: v.optional(v.string()),
  /** The PKCS#11 return value's name. */
  reason: v.optional(v.string()),
});

/** Every kind of row. */
export const ledgerRow = v.variant("type", [
  v.strictObject({ type: v.literal("start"), atMs, serial: v.string() }),
  v.strictObject({
    type: v.literal("intent"),
    atMs,
    asker: v.string(),
    key: v.string(),
    purpose,
    count: v.number(),
    /** SHA-256 over the SHA-256 of each thing to be signed, in order; or what `named` says. */
    hash: v.string(),
    /**
     * `core`: a certificate, announced with its precertificate. Its list of SCTs is not there yet, so `hash` is the SHA-256 of its
     * TBSCertificate without one; its outcome has the hash of what was signed.
     */
    named: v.optional(v.literal("core")),
    binding,
    trace: v.string(),
    /** The attempt this one repeats. */
    retryOf: v.optional(sequence),
  }),
  v.strictObject({ type: v.literal("outcomes"), atMs, results: v.array(result) }),
  /** What an operator had done to a key: announced before it is begun, and again when it is on the disk. */
  v.strictObject({
    type: v.literal("operation"),
    atMs,
    asker: v.string(),
    operation: v.picklist(["generateKey", "bindChain", "certifySelf", "retireKey"]),
    phase: v.picklist(["announced", "done"]),
    key: v.string(),
    /** SHA-256 of what it comes to: identifier and binding of a key, or a chain. */
    hash: v.string(),
    trace: v.string(),
  }),
  v.strictObject({
    type: v.literal("refusal"),
    atMs,
    asker: v.string(),
    key: v.string(),
    purpose: v.string(),
    code: v.string(),
    why: v.string(),
    trace: v.string(),
  }),
]);

/** A row. */
export type LedgerRow = v.InferOutput<typeof ledgerRow>;
/** A row that announces an attempt. */
export type IntentRow = Extract<LedgerRow, { type: "intent" }>;
/** A row that records what an operator had done to a key. */
export type OperationRow = Extract<LedgerRow, { type: "operation" }>;
/** A row that records a refusal. */
export type RefusalRow = Extract<LedgerRow, { type: "refusal" }>;
/** How an attempt ended. */
export type Outcome = v.InferOutput<typeof result>;
/** What is bound to an intent. */
export type Binding = v.InferOutput<typeof binding>;

/** The hash that chains a row to the one before it. @throws {Malformed} if the body is not well-formed text */
export function rowHash(previous: Uint8Array, at: number, body: string): Uint8Array {
  const text = encodeUtf8(body);
  const row = Buffer.allocUnsafe(previous.length + sequenceBytes + text.length);
  row.set(previous);
  row.writeUIntBE(0, previous.length, 2);
  row.writeUIntBE(at, previous.length + 2, sequenceBytes - 2);
  row.set(text, previous.length + sequenceBytes);
  return digestOf("sha256", row);
}

const sequenceBytes = 8;
