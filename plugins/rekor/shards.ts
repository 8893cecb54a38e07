/**
 * The trees of Rekor v1 (sharding as rekor v1.5 has it): one takes entries, those before it are frozen and read for ever. An entry's
 * index counts over all of them; inside its tree it has another.
 */
import { Malformed } from "../../core/formats/malformed.ts";
import { parseEntryId } from "../../core/formats/rekor-entry.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import type { AnswerOf } from "../../events/contract.ts";
import { findLeaf, type Head, latestHead, listLogs } from "../../events/log.ts";
import type { RekorContext } from "./manifest.ts";

/** A tree. */
export interface Shard {
  readonly log: string;
  readonly key: string;
  readonly treeId: bigint;
  /** Index of its first entry over all shards. */
  readonly firstIndex: bigint;
}

/** Every tree, oldest first: the last one takes entries. */
export interface Shards {
  readonly all: readonly Shard[];
  readonly active: Shard;
}

type Needed = Pick<RekorContext, "ask" | "config">;

/**
 * Reads where each shard begins, and makes sure that it begins where the one before it ends. To the shards of the configuration come
 * those that have taken over since from the one it says takes entries.
 *
 * @throws {Failure} log-unavailable if not, or if one cannot be asked.
 */
export async function readShards({ ask, config }: Needed): Promise<Shards> {
  const { log, key, treeId, shards: earlier } = config;
  const later = successorsOf(log, (await ask(listLogs, {})).logs);
  const all: Shard[] = [];
  let end: bigint | null = null;
  for (const one of [...earlier, { log, key, treeId }, ...later]) {
    const { head, firstIndex = 0n } = await unavailable(
      ["not-found"],
      ask(latestHead, { log: one.log }),
    );
    checkTree(head, BigInt(one.treeId));
    // Its promises would name indices that belong to other entries, or to none.
    if (end !== null && firstIndex !== end) {
      throw new Failure(
        "log-unavailable",
        `the log "${one.log}" begins at index ${firstIndex}, but the shards before it end at ${end}`,
      );
    }
    all.push({ ...one, treeId: BigInt(one.treeId), firstIndex });
    end = firstIndex + head.size;
  }
  const active = all.at(-1);
  if (active === undefined) throw new TypeError("there is always an active shard");
  return { all, active };
}

function successorsOf(
  log: string,
  logs: AnswerOf<typeof listLogs>["logs"],
): readonly { readonly log: string; readonly key: string; readonly treeId: string }[] {
  const next = logs.find(({ after, phase }) => after === log && phase !== "created");
  if (next === undefined) return [];
  const { name, key, treeId = "0" } = next;
  return [{ log: name, key, treeId }, ...successorsOf(name, logs)];
}

/** The shard with this index over all shards. @throws {Failure} not-found before the first */
export function shardAt({ all }: Shards, index: bigint): Shard {
  const shard = all.findLast(({ firstIndex }) => firstIndex <= index);
  if (shard === undefined) throw new Failure("not-found", "no shard has an entry with this index");
  return shard;
}

/** The shard with this tree id. @throws {Failure} not-found */
export function shardCalled({ all }: Shards, treeId: bigint): Shard {
  const shard = all.find((one) => one.treeId === treeId);
  if (shard === undefined) throw new Failure("not-found", "there is no log with this tree id");
  return shard;
}

/** The entry with this leaf hash, in the newest of `shards` that has one. @throws {Failure} not-found */
export async function findIn(
  ask: RekorContext["ask"],
  shards: readonly Shard[],
  leafHash: Uint8Array,
): Promise<{ readonly shard: Shard; readonly index: bigint }> {
  for (const shard of shards.toReversed()) {
    try {
      const { index } = await ask(findLeaf, { log: shard.log, leafHash });
      return { shard, index };
    } catch (thrown) {
      if (!(thrown instanceof Failure) || thrown.code !== "not-found") throw thrown;
    }
  }
  throw new Failure("not-found", "no entry has this leaf hash");
}

/** The leaf hash in an id of 64 or 80 hex digits, and the shards it may be in. @throws {Failure} malformed or not-found */
export function readId(id: string, shards: Shards): { hash: Uint8Array; among: readonly Shard[] } {
  try {
    const { treeId, leafHash: hash } = parseEntryId(id.toLowerCase());
    return { hash, among: treeId === undefined ? shards.all : [shardCalled(shards, treeId)] };
  } catch (cause) {
    if (cause instanceof Malformed) throw new Failure("malformed", cause.message, { cause });
    throw cause;
  }
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

/** For clients of Rekor a log that is not installed, or has no key, is one that is down. */
export async function unavailable<T>(
  codes: readonly FailureCode[],
  answer: Promise<T>,
): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    if (!(cause instanceof Failure) || !codes.includes(cause.code)) throw cause;
    throw new Failure("log-unavailable", "the transparency log is not available", { cause });
  }
}
