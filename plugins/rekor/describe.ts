/** What Rekor v1 tells of its trees. */
import type { AnswerOf, QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { describeKey } from "../../events/hsm.ts";
import { latestHead, proveConsistency } from "../../events/log.ts";
import type { describeLog, proveLog } from "../../events/rekor.ts";
import type { RekorContext } from "./manifest.ts";
import { checkTree, type Shard, shardCalled, type Shards, unavailable } from "./shards.ts";

/** Gives the head and key of every tree. A key does not change while it is named so: one ask a start is enough. */
export function describing(
  ask: RekorContext["ask"],
): (shards: Shards) => Promise<AnswerOf<typeof describeLog>> {
  const keys = new Map<string, Uint8Array>();
  const describe = async ({ log, key, treeId }: Shard) => {
    const { head, publicKey: kept } = await unavailable(["not-found"], ask(latestHead, { log }));
    checkTree(head, treeId);
    let publicKey = kept ?? keys.get(key);
    if (publicKey === undefined) {
      ({ publicKey } = await unavailable(["key-unavailable"], ask(describeKey, { key })));
      keys.set(key, publicKey);
    }
    const { size, root, checkpoint } = head;
    return { treeId: String(treeId), size, root, checkpoint, publicKey };
  };
  return async ({ all, active }) => {
    const inactive = all.filter((shard) => shard !== active);
    const [described, others] = await Promise.all([
      describe(active),
      Promise.all(inactive.map(describe)),
    ]);
    return { ...described, inactive: others };
  };
}

/** The proof that one size of a tree goes on from another. @throws {Failure} not-found or out-of-range */
export async function prove(
  ask: RekorContext["ask"],
  shards: Shards,
  { first, last, treeId }: QuestionOf<typeof proveLog>,
): Promise<AnswerOf<typeof proveLog>> {
  const { log } = treeId === undefined ? shards.active : shardCalled(shards, BigInt(treeId));
  if (first < 1n || first > last) {
    throw new Failure("out-of-range", "expected 1 <= first size <= last size");
  }
  const { root, proof } = await ask(proveConsistency, { log, first, second: last });
  return { root, hashes: proof };
}
