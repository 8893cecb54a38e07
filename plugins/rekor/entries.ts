/** Log entries as Rekor v1 shows them. */
import { leafHash } from "../../core/formats/merkle.ts";
import { entryId } from "../../core/formats/rekor-entry.ts";
import { Failure } from "../../events/failure.ts";
import { type Head, latestHead, proveInclusion, readEntries } from "../../events/log.ts";
import type { QuestionOf } from "../../events/contract.ts";
import type { getEntry, LogEntry } from "../../events/rekor.ts";
import { admit } from "./admission.ts";
import type { RekorContext } from "./manifest.ts";
import { checkTree, findIn, readId, type Shard, shardAt, type Shards } from "./shards.ts";

/** The entry that is asked for. @throws {Failure} not-found, log-unavailable, or what is wrong with a proposal */
export async function readEntry(
  ask: RekorContext["ask"],
  shards: Shards,
  by: QuestionOf<typeof getEntry>["by"],
): Promise<LogEntry> {
  if (by.kind === "index") {
    const shard = shardAt(shards, by.index);
    return await entryAt(ask, shard, by.index - shard.firstIndex);
  }
  const { hash, among } =
    by.kind === "id"
      ? readId(by.id, shards)
      : { hash: leafHash(admit(by.proposed)), among: shards.all };
  const { shard, index } = await findIn(ask, among, hash);
  return await entryAt(ask, shard, index);
}

/** The entry with this index inside a shard. */
async function entryAt(ask: RekorContext["ask"], shard: Shard, index: bigint): Promise<LogEntry> {
  const { log } = shard;
  const { entries } = await ask(readEntries, { log, from: index, limit: 1 });
  const [entry] = entries;
  if (entry === undefined || entry.index !== index) {
    throw new Failure("not-found", "the log has no entry with this index");
  }
  // Asked for after the entry, so that the head covers it.
  const { logId, head } = await ask(latestHead, { log });
  const { proof } = await ask(proveInclusion, { log, index, size: head.size });
  const inclusion = { head, proof };
  const { entry: body } = entry;
  return formatEntry(shard, { ...entry, leafHash: leafHash(body), body, logId, inclusion });
}

/** What a `LogEntry` is made of. */
export interface Logged {
  /** Inside its shard. */
  readonly index: bigint;
  readonly leafHash: Uint8Array;
  readonly body: Uint8Array;
  readonly logId: Uint8Array;
  readonly integratedAtMs: bigint;
  readonly promise?: Uint8Array | undefined;
  readonly inclusion: { readonly head: Head; readonly proof: readonly Uint8Array[] };
}

/** The entry as the bus carries it. @throws {Failure} log-unavailable if the log is not the one that is configured. */
export function formatEntry({ treeId, firstIndex }: Shard, logged: Logged): LogEntry {
  const { index, leafHash: hash, body, logId, integratedAtMs, promise, inclusion } = logged;
  checkTree(inclusion.head, treeId);
  if (promise === undefined) {
    throw new Failure("log-unavailable", "the log gives no signed entry timestamps: not rekor-v1");
  }
  const { size, root, checkpoint } = inclusion.head;
  return {
    entryId: entryId(treeId, hash),
    logIndex: firstIndex + index,
    logId,
    integratedTimeSeconds: integratedAtMs / 1_000n,
    body,
    signedEntryTimestamp: promise,
    inclusionProof: { index, size, root, hashes: [...inclusion.proof], checkpoint },
  };
}
