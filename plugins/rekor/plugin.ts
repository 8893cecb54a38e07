/** Rekor over the log plugin, v1 and v2: entries by index, id or proposed form, and the log's head and consistency. */
import { leafHash } from "../../core/formats/merkle.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import { describeKey } from "../../events/hsm.ts";
import { appendEntry, latestHead, proveConsistency } from "../../events/log.ts";
import { rekorV2Version } from "../../core/formats/rekor-v2.ts";
import { admitV2 } from "./admission-v2.ts";
import { admit } from "./admission.ts";
import { checkTree, entryAt, entryBy, formatEntry, readId } from "./entries.ts";
import { rekor } from "./manifest.ts";

export default rekor.implement(async (context) => {
  const { config, ask } = context;
  const { log } = config;
  const treeId = BigInt(config.treeId);
  let publicKey: Uint8Array | null = null;
  return {
    handlers: {
      async createEntry({ proposed }) {
        const body = admit(proposed);
        const entry = { kind: "body", body } as const;
        const appended = await unavailable(["not-found"], ask(appendEntry, { log, entry }));
        const { head, inclusionProof: proof, known } = appended;
        const inclusion = { head, proof };
        return { entry: formatEntry(treeId, { ...appended, body, inclusion }), known };
      },

      async createEntryV2({ request }) {
        const { v2 } = config;
        if (v2 === undefined) throw new Failure("not-found", "this installation has no Rekor v2");
        const { kind, body } = admitV2(request, v2.dsse);
        const entry = { kind: "body", body } as const;
        const appended = await unavailable(["not-found"], ask(appendEntry, { log: v2.log, entry }));
        const { index, logId, head, inclusionProof: hashes } = appended;
        const { size, root, checkpoint } = head;
        const version = rekorV2Version;
        return { index, logId, kind, version, body, size, root, hashes, checkpoint };
      },

      async getEntry({ by }) {
        switch (by.kind) {
          case "index":
            return await entryAt(context, by.index);
          case "id":
            return await entryBy(context, readId(by.id, treeId));
          case "proposed":
            return await entryBy(context, leafHash(admit(by.proposed)));
        }
      },

      async describeLog() {
        const { head } = await unavailable(["not-found"], ask(latestHead, { log }));
        checkTree(head, treeId);
        const { key } = config;
        // A key does not change while it is named so; one ask a start is enough.
        publicKey ??= (await unavailable(["key-unavailable"], ask(describeKey, { key }))).publicKey;
        const { size, root, checkpoint } = head;
        return { treeId: config.treeId, size, root, checkpoint, publicKey };
      },

      async proveLog({ first, last, treeId: wanted }) {
        if (wanted !== undefined && wanted !== config.treeId) {
          throw new Failure("not-found", "there is no log with this tree id");
        }
        if (first < 1n || first > last) {
          throw new Failure("out-of-range", "expected 1 <= first size <= last size");
        }
        const { root, proof } = await ask(proveConsistency, { log, first, second: last });
        return { root, hashes: proof };
      },
    },
  };
});

/** For clients of Rekor a log that is not installed, or has no key, is one that is down. */
async function unavailable<T>(codes: readonly FailureCode[], answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    if (!(cause instanceof Failure) || !codes.includes(cause.code)) throw cause;
    throw new Failure("log-unavailable", "the transparency log is not available", { cause });
  }
}
