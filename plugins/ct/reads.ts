/** The reading half of RFC 6962 (§4.3-§4.6, §4.8), answered from the log room for each shard. */
import { Failure, type FailureCode } from "../../events/failure.ts";
import {
  findLeaf,
  latestHead,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";
import type { ct } from "./manifest.ts";
import { type Shard, shardCalled } from "./shards.ts";

/** What the plugin is given. */
export type CtContext = Parameters<Parameters<typeof ct.implement>[0]>[0];

/** Entries in one answer of get-entries; more are cut off (RFC 6962 §4.6). */
const maxEntries = 256n;

type Ask = CtContext["ask"];

/** A log by its name. */
type Named<Rest = unknown> = Readonly<{ log: string } & Rest>;

/** Handlers of the asks that change nothing. */
export function reads(ask: Ask, shards: readonly Shard[]) {
  const named = ({ log }: Named): string => shardCalled(shards, log).log;
  return { ...treeReads(ask, named), ...entryReads(ask, named) };
}

function treeReads(ask: Ask, named: (question: Named) => string) {
  return {
    async getSth(question: Named) {
      const log = named(question);
      const { head } = await inLog(() => ask(latestHead, { log }));
      if (head.treeHead === undefined) {
        throw new Failure("log-unavailable", `the log "${log}" signs no RFC 6962 tree heads`);
      }
      return { size: head.size, root: head.root, ...head.treeHead };
    },

    async getSthConsistency(question: Named<{ first: bigint; second: bigint }>) {
      const { first, second } = question;
      const log = named(question);
      if (first === 0n || first > second) {
        throw new Failure("out-of-range", "first must be at least 1 and at most second");
      }
      const { proof } = await inLog(() => ask(proveConsistency, { log, first, second }));
      return { consistency: proof };
    },

    async getProofByHash(question: Named<{ hash: Uint8Array; treeSize: bigint }>) {
      const { hash, treeSize } = question;
      const log = named(question);
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

function entryReads(ask: Ask, named: (question: Named) => string) {
  return {
    async getEntries(question: Named<{ start: bigint; end: bigint }>) {
      const { start, end } = question;
      const log = named(question);
      if (start > end) throw new Failure("out-of-range", "start must not be above end");
      const wanted = end - start + 1n;
      const limit = Number(wanted < maxEntries ? wanted : maxEntries);
      const read = async () => await inLog(() => ask(readEntries, { log, from: start, limit }));
      let { entries } = await read();
      if (entries.length === 0) {
        // What was promised a moment ago is in the tree as soon as somebody asks for its head.
        const { head } = await inLog(() => ask(latestHead, { log }));
        if (head.size > start) ({ entries } = await read());
      }
      if (entries.length === 0) throw new Failure("out-of-range", "start is beyond the tree");
      return { entries: entries.map(({ entry, extraData }) => ({ leafInput: entry, extraData })) };
    },

    async getEntryAndProof(question: Named<{ leafIndex: bigint; treeSize: bigint }>) {
      const { leafIndex, treeSize } = question;
      const log = named(question);
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
export function inLog<T>(work: () => Promise<T>, passing: readonly FailureCode[] = []): Promise<T> {
  return work().catch((thrown: unknown) => {
    const failure = Failure.from(thrown);
    const isOurs = [...passing, "out-of-range", "overloaded", "deadline-exceeded"];
    if (isOurs.includes(failure.code)) throw failure;
    throw new Failure("log-unavailable", "the log cannot be used now", { cause: thrown });
  });
}
