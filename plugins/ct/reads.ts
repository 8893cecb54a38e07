/** The reading half of RFC 6962 (§4.3-§4.6, §4.8), answered from the log room. */
import { Failure, type FailureCode } from "../../events/failure.ts";
import {
  findLeaf,
  latestHead,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";
import type { ct } from "./manifest.ts";

/** What the plugin is given. */
export type CtContext = Parameters<Parameters<typeof ct.implement>[0]>[0];

/** Entries in one answer of get-entries; more are cut off (RFC 6962 §4.6). */
const maxEntries = 256n;

type Needed = Pick<CtContext, "ask" | "config">;

/** Handlers of the asks that change nothing. */
export function reads(context: Needed) {
  return { ...treeReads(context), ...entryReads(context) };
}

function treeReads({ ask, config: { log } }: Needed) {
  return {
    async getSth() {
      const { head } = await inLog(() => ask(latestHead, { log }));
      if (head.treeHead === undefined) {
        throw new Failure("log-unavailable", `the log "${log}" signs no RFC 6962 tree heads`);
      }
      return { size: head.size, root: head.root, ...head.treeHead };
    },

    async getSthConsistency({
      first,
      second,
    }: {
      readonly first: bigint;
      readonly second: bigint;
    }) {
      if (first === 0n || first > second) {
        throw new Failure("out-of-range", "first must be at least 1 and at most second");
      }
      const { proof } = await inLog(() => ask(proveConsistency, { log, first, second }));
      return { consistency: proof };
    },

    async getProofByHash({
      hash,
      treeSize,
    }: {
      readonly hash: Uint8Array;
      readonly treeSize: bigint;
    }) {
      if (treeSize === 0n) throw new Failure("out-of-range", "an empty tree proves nothing");
      const { index } = await inLog(() => ask(findLeaf, { log, leafHash: hash }), ["not-found"]);
      if (index >= treeSize) {
        throw new Failure("not-found", "the leaf came after the tree had that size");
      }
      const { proof } = await inLog(() => ask(proveInclusion, { log, index, size: treeSize }));
      return { leafIndex: index, auditPath: proof };
    },
  };
}

function entryReads({ ask, config: { log } }: Needed) {
  return {
    async getEntries({ start, end }: { readonly start: bigint; readonly end: bigint }) {
      if (start > end) throw new Failure("out-of-range", "start must not be above end");
      const wanted = end - start + 1n;
      const limit = Number(wanted < maxEntries ? wanted : maxEntries);
      const { entries } = await inLog(() => ask(readEntries, { log, from: start, limit }));
      if (entries.length === 0) throw new Failure("out-of-range", "start is beyond the tree");
      return { entries: entries.map(({ entry, extraData }) => ({ leafInput: entry, extraData })) };
    },

    async getEntryAndProof({
      leafIndex,
      treeSize,
    }: {
      readonly leafIndex: bigint;
      readonly treeSize: bigint;
    }) {
      if (leafIndex >= treeSize) {
        throw new Failure("out-of-range", "leaf_index must be below tree_size");
      }
      // The proof first: it refuses a tree that is not there yet.
      const { proof } = await inLog(() =>
        ask(proveInclusion, { log, index: leafIndex, size: treeSize }),
      );
      const { entries } = await inLog(() => ask(readEntries, { log, from: leafIndex, limit: 1 }));
      const [found] = entries;
      if (found === undefined) throw new Failure("log-unavailable", "an entry is missing");
      return { leafInput: found.entry, extraData: found.extraData, auditPath: proof };
    },
  };
}

/** What is wrong with the log is `log-unavailable` to those who ask here, whatever the log room calls it. */
export async function inLog<T>(
  work: () => Promise<T>,
  passing: readonly FailureCode[] = [],
): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const failure = Failure.from(thrown);
    const isOurs = [...passing, "out-of-range", "overloaded", "deadline-exceeded"];
    if (isOurs.includes(failure.code)) throw failure;
    throw new Failure("log-unavailable", "the log cannot be used now", { cause: thrown });
  }
}
