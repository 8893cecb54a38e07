/** What a log promises about an entry: the signed entry timestamp, and inclusion under a signed checkpoint. */
import { importPublicKey } from "../../../core/crypto/keys.ts";
import { verifySignature } from "../../../core/crypto/verify.ts";
import type { InclusionProof, LogEntry } from "../../../core/formats/bundle-entry.ts";
import { type Checkpoint, parseCheckpoint } from "../../../core/formats/checkpoint.ts";
import { encodeUtf8, equalBytes } from "../../../core/formats/encoding.ts";
import { leafHash, verifyInclusion } from "../../../core/formats/merkle.ts";
import { keyHintOf, parseNote } from "../../../core/formats/note.ts";
import { formatSetPayload } from "../../../core/formats/rekor-entry.ts";
import { rekorV2Version } from "../../../core/formats/rekor-v2.ts";
import { type TrustedLog, covers } from "../../../core/formats/trusted-root.ts";
import { NotVerified } from "./not-verified.ts";

/**
 * When the log says it took the entry, or null if it signed no such statement: the time in the bundle is attacker-controlled
 * unless a signature covers it.
 *
 * @throws {NotVerified} if the signature is wrong, or the time lies outside the key's validity.
 */
export function verifySignedEntryTimestamp(entry: LogEntry, trusted: TrustedLog): Date | null {
  if (entry.signedEntryTimestamp === null) return null;
  const payload = formatSetPayload({
    body: entry.canonicalizedBody,
    integratedTimeSeconds: entry.integratedTimeSeconds,
    logId: entry.logId,
    logIndex: entry.index,
  });
  const key = importPublicKey(trusted.publicKey);
  if (!verifySignature(key, payload, entry.signedEntryTimestamp)) {
    throw new NotVerified("log-entry", "the log's signed entry timestamp does not verify");
  }
  const time = new Date(Number(entry.integratedTimeSeconds) * 1000);
  if (!covers(trusted.validFor, time)) {
    throw new NotVerified("log-entry", "the entry was logged when the log's key was not in use");
  }
  return time;
}

/** Does nothing if the entry is in the tree of a checkpoint that the log signed. @throws {NotVerified} otherwise. */
export function verifyInclusionProof(
  entry: LogEntry,
  proof: InclusionProof,
  trusted: TrustedLog,
): void {
  const checkpoint = verifyCheckpoint(proof.checkpoint, trusted);
  if (checkpoint.size !== proof.size || !equalBytes(checkpoint.root, proof.root)) {
    throw new NotVerified("log-entry", "the inclusion proof is not for the tree of its checkpoint");
  }
  if (isOfShard(entry)) checkShard(entry, checkpoint.origin, trusted);
  const included = verifyInclusion({
    index: proof.index,
    size: proof.size,
    leafHash: leafHash(entry.canonicalizedBody),
    proof: proof.hashes,
    root: proof.root,
  });
  if (!included) throw new NotVerified("log-entry", "the inclusion proof does not verify");
}

/** True for entries of Rekor v2; version 0.0.2 of `intoto` is one of v1. */
export function isOfShard({ kind, kindVersion }: LogEntry): boolean {
  return kind !== "intoto" && kindVersion === rekorV2Version;
}

/** A v2 shard has one numbering, and its checkpoints are named after its host. @throws {NotVerified} */
function checkShard(entry: LogEntry, origin: string, { baseUrl }: TrustedLog): void {
  if (entry.index !== entry.inclusionProof?.index) {
    throw new NotVerified("log-entry", "the entry's index is not that of its inclusion proof");
  }
  if (!URL.canParse(baseUrl) || origin !== new URL(baseUrl).hostname) {
    throw new NotVerified("log-entry", "the checkpoint's origin is not the host of the log");
  }
}

/**
 * The checkpoint that the log signed. Signatures by others, such as witnesses, prove nothing here and do no harm.
 *
 * @throws {NotVerified} if there is no signature of the log's key, or it is wrong.
 */
export function verifyCheckpoint(envelope: string, trusted: TrustedLog): Checkpoint {
  const { text, signatures } = parseNote(envelope);
  const key = importPublicKey(trusted.publicKey);
  const signed = signatures.some(
    ({ name, keyHint, signature }) =>
      equalBytes(keyHint, keyHintOf(name, trusted.publicKey)) &&
      verifySignature(key, encodeUtf8(text), signature),
  );
  if (!signed) throw new NotVerified("log-entry", "the log's signature on the checkpoint is wrong");
  // Extension lines, such as old Rekor's "Timestamp:", are legal and follow these three.
  return parseCheckpoint(`${text.split("\n").slice(0, 3).join("\n")}\n`);
}
