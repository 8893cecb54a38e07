/** Rekor v1 over the log plugin: entries by index, id or proposed form, and the log's head and consistency. */
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import { entryId, parseEntryId } from "../../core/formats/rekor-entry.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import { describeKey } from "../../events/hsm.ts";
import {
  appendEntry,
  findLeaf,
  type Head,
  latestHead,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";
import type { LogEntry } from "../../events/rekor.ts";
import { admit } from "./admission.ts";
import { rekor } from "./manifest.ts";

export default rekor.implement(async ({ config, ask }) => {
  const { log } = config;
  const treeId = BigInt(config.treeId);
  let publicKey: Uint8Array | null = null;

  async function entryAt(index: bigint): Promise<LogEntry> {
    const { entries } = await ask(readEntries, { log, from: index, limit: 1 });
    const [entry] = entries;
    if (entry === undefined || entry.index !== index) {
      throw new Failure("not-found", "the log has no entry with this index");
    }
    // Asked for after the entry, so that the head covers it.
    const { logId, head } = await ask(latestHead, { log });
    const { proof } = await ask(proveInclusion, { log, index, size: head.size });
    const inclusion = { head, proof };
    return formatEntry(treeId, { ...entry, body: entry.entry, logId, inclusion });
  }

  async function entryBy(hash: Uint8Array): Promise<LogEntry> {
    const { index } = await ask(findLeaf, { log, leafHash: hash });
    return await entryAt(index);
  }

  return {
    handlers: {
      async createEntry({ proposed }) {
        const body = admit(proposed);
        const appended = await unavailable(
          ["not-found"],
          ask(appendEntry, { log, entry: { kind: "body", body } }),
        );
        const { head, inclusionProof: proof, known } = appended;
        const inclusion = { head, proof };
        return { entry: formatEntry(treeId, { ...appended, body, inclusion }), known };
      },

      async getEntry({ by }) {
        switch (by.kind) {
          case "index":
            return await entryAt(by.index);
          case "id":
            return await entryBy(readId(by.id, treeId));
          case "proposed":
            return await entryBy(leafHash(admit(by.proposed)));
        }
      },

      async describeLog() {
        const { head } = await unavailable(["not-found"], ask(latestHead, { log }));
        checkTree(head, treeId);
        publicKey ??= (
          await unavailable(["key-unavailable"], ask(describeKey, { key: config.key }))
        ).publicKey;
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

/** What a `LogEntry` is made of. */
interface Logged {
  readonly index: bigint;
  readonly body: Uint8Array;
  readonly logId: Uint8Array;
  readonly integratedAtMs: bigint;
  readonly promise?: Uint8Array | undefined;
  readonly inclusion: { readonly head: Head; readonly proof: readonly Uint8Array[] };
}

function formatEntry(treeId: bigint, logged: Logged): LogEntry {
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

/** The configured tree id is part of every entry's name; the log's origin says what it really is. */
function checkTree(head: Head, treeId: bigint): void {
  const [origin = ""] = head.checkpoint.split("\n", 1);
  if (!origin.endsWith(` - ${treeId}`)) {
    throw new Failure("log-unavailable", "the configured tree id is not the log's");
  }
}

/** For clients of Rekor a log that is not installed, or has no key, is one that is down. */
async function unavailable<T>(codes: readonly FailureCode[], answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    if (!(cause instanceof Failure) || !codes.includes(cause.code)) throw cause;
    throw new Failure("log-unavailable", "the transparency log is not available", { cause });
  }
}

/** @throws {Failure} malformed, or not-found for another tree's id. */
function readId(id: string, treeId: bigint): Uint8Array {
  try {
    const parsed = parseEntryId(id.toLowerCase());
    if (parsed.treeId === undefined || parsed.treeId === treeId) return parsed.leafHash;
  } catch (cause) {
    if (cause instanceof Malformed) throw new Failure("malformed", cause.message, { cause });
    throw cause;
  }
  throw new Failure("not-found", "there is no log with this tree id");
}
