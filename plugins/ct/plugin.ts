/** Certificate transparency (RFC 6962): holds submissions against the rules, and lets the log room keep them. */
import { equalBytes } from "../../core/formats/encoding.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import { describeKey } from "../../events/hsm.ts";
import {
  appendEntry,
  findLeaf,
  latestHead,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";
import { acceptChain, readTrust } from "./chain.ts";
import { ct } from "./manifest.ts";

/** Entries in one answer of get-entries; more are cut off (RFC 6962 §4.6). */
const maxEntries = 256n;
const noExtensions = new Uint8Array();

export default ct.implement(async ({ ask, clock, config: { log, accepts } }) => {
  const described = await Promise.all(accepts.map(async (key) => await ask(describeKey, { key })));
  const trust = readTrust(
    described.map(({ chain = [] }) => chain),
    clock.now(),
  );

  async function add(kind: "certificate" | "precertificate", chain: readonly Uint8Array[]) {
    const entry = acceptChain(kind, chain, trust, clock.now());
    const taken = await inLog(() => ask(appendEntry, { log, entry }));
    const { logId, integratedAtMs: timestampMs, promise: signature } = taken;
    if (signature === undefined) {
      throw new Failure(
        "log-unavailable",
        `the log "${log}" gives no SCT: is it of format rfc6962?`,
      );
    }
    return { logId, timestampMs, extensions: noExtensions, signature };
  }

  return {
    handlers: {
      addChain: async ({ chain }) => await add("certificate", chain),
      addPreChain: async ({ chain }) => await add("precertificate", chain),

      async getSth() {
        const { head } = await inLog(() => ask(latestHead, { log }));
        if (head.treeHead === undefined) {
          throw new Failure("log-unavailable", `the log "${log}" signs no RFC 6962 tree heads`);
        }
        return { size: head.size, root: head.root, ...head.treeHead };
      },

      async getSthConsistency({ first, second }) {
        if (first === 0n || first > second) {
          throw new Failure("out-of-range", "first must be at least 1 and at most second");
        }
        const { proof } = await inLog(() => ask(proveConsistency, { log, first, second }));
        return { consistency: proof };
      },

      async getProofByHash({ hash, treeSize }) {
        if (treeSize === 0n) throw new Failure("out-of-range", "an empty tree proves nothing");
        const { index } = await inLog(() => ask(findLeaf, { log, leafHash: hash }), ["not-found"]);
        if (index >= treeSize) {
          throw new Failure("not-found", "the leaf came after the tree had that size");
        }
        const { proof } = await inLog(() => ask(proveInclusion, { log, index, size: treeSize }));
        return { leafIndex: index, auditPath: proof };
      },

      async getEntries({ start, end }) {
        if (start > end) throw new Failure("out-of-range", "start must not be above end");
        const wanted = end - start + 1n;
        const limit = Number(wanted < maxEntries ? wanted : maxEntries);
        const { entries } = await inLog(() => ask(readEntries, { log, from: start, limit }));
        if (entries.length === 0) throw new Failure("out-of-range", "start is beyond the tree");
        return {
          entries: entries.map(({ entry, extraData }) => ({ leafInput: entry, extraData })),
        };
      },

      async getRoots() {
        await Promise.resolve();
        const certificates = trust.roots.map(({ certificate }) => certificate.der);
        // Several issuing CAs may share a root.
        const isFirst = (der: Uint8Array, at: number): boolean =>
          certificates.findIndex((other) => equalBytes(other, der)) === at;
        return { certificates: certificates.filter(isFirst) };
      },
    },
  };
});

/** What is wrong with the log is `log-unavailable` to those who ask here, whatever the log room calls it. */
async function inLog<T>(work: () => Promise<T>, passing: readonly FailureCode[] = []): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const failure = Failure.from(thrown);
    const isOurs = [...passing, "out-of-range", "overloaded", "deadline-exceeded"];
    if (isOurs.includes(failure.code)) throw failure;
    throw new Failure("log-unavailable", "the log cannot be used now", { cause: thrown });
  }
}
