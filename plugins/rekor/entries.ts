/** Log entries as Rekor v1 shows them, and how they are found. */
import { Malformed } from "../../core/formats/malformed.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { entryId, parseEntryId } from "../../core/formats/rekor-entry.ts";
import { Failure } from "../../events/failure.ts";
import { findLeaf, type Head, latestHead, proveInclusion, readEntries } from "../../events/log.ts";
import type { LogEntry } from "../../events/rekor.ts";
import type { RekorContext } from "./manifest.ts";

/** The entry with this index. @throws {Failure} not-found or log-unavailable. */
export async function entryAt({ ask, config }: RekorContext, index: bigint): Promise<LogEntry> {
  const { log } = config;
  const { entries } = await ask(readEntries, { log, from: index, limit: 1 });
  const [entry] = entries;
  if (entry === undefined || entry.index !== index) {
    throw new Failure("not-found", "the log has no entry with this index");
  }
  // Asked for after the entry, so that the head covers it.
  const { logId, head } = await ask(latestHead, { log });
  const { proof } = await ask(proveInclusion, { log, index, size: head.size });
  const inclusion = { head, proof };
  return formatEntry(BigInt(config.treeId), { ...entry, body: entry.entry, logId, inclusion });
}

/** The entry with this leaf hash. @throws {Failure} not-found or log-unavailable. */
export async function entryBy(context: RekorContext, hash: Uint8Array): Promise<LogEntry> {
  const { index } = await context.ask(findLeaf, { log: context.config.log, leafHash: hash });
  return await entryAt(context, index);
}

/** The leaf hash in an id of 64 or 80 hex digits. @throws {Failure} malformed, or not-found for another tree's id. */
export function readId(id: string, treeId: bigint): Uint8Array {
  try {
    const parsed = parseEntryId(id.toLowerCase());
    if (parsed.treeId === undefined || parsed.treeId === treeId) return parsed.leafHash;
  } catch (cause) {
    if (cause instanceof Malformed) throw new Failure("malformed", cause.message, { cause });
    throw cause;
  }
  throw new Failure("not-found", "there is no log with this tree id");
}

/** What a `LogEntry` is made of. */
export interface Logged {
  readonly index: bigint;
  readonly body: Uint8Array;
  readonly logId: Uint8Array;
  readonly integratedAtMs: bigint;
  readonly promise?: Uint8Array | undefined;
  readonly inclusion: { readonly head: Head; readonly proof: readonly Uint8Array[] };
}

/** The entry as the bus carries it. @throws {Failure} log-unavailable if the log is not the one that is configured. */
export function formatEntry(treeId: bigint, logged: Logged): LogEntry {
  const { index, body, logId, integratedAtMs, promise, inclusion } = logged;
  checkTree(inclusion.head, treeId);
  if (promise === undefined) {
    throw new Failure("log-unavailable", "the log gives no signed entry timestamps: not rekor-v1");
  }
  const { size, root, checkpoint } = inclusion.head;
  return {
    entryId: entryId(treeId, leafHash(body)),
    logIndex: index,
    logId,
    integratedTimeSeconds: integratedAtMs / 1_000n,
    body,
    signedEntryTimestamp: promise,
    inclusionProof: { index, size, root, hashes: [...inclusion.proof], checkpoint },
  };
}

/**
 * The configured tree id is part of every entry's name; the log's origin says what it really is.
 *
 * @throws {Failure} log-unavailable if they differ.
 */
export function checkTree(head: Head, treeId: bigint): void {
  const [origin = ""] = head.checkpoint.split("\n", 1);
  if (!origin.endsWith(` - ${treeId}`)) {
    throw new Failure("log-unavailable", "the configured tree id is not the log's");
  }
}
