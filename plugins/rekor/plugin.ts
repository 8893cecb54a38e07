/** Rekor over the log plugin, v1 and v2: entries by index, id or proposed form, and the log's head and consistency. */
import { rekorV2Version } from "../../core/formats/rekor-v2.ts";
import { Failure } from "../../events/failure.ts";
import { appendEntry, type Candidate } from "../../events/log.ts";
import { admitV2 } from "./admission-v2.ts";
import { admitEntry } from "./admission.ts";
import { describing, prove } from "./describe.ts";
import { formatEntry, readEntry } from "./entries.ts";
import { rekor } from "./manifest.ts";
import { readShards, type Shard, type Shards, unavailable } from "./shards.ts";

export default rekor.implement(async (context) => {
  const { config, ask } = context;
  let known: Shards | null = null;
  // Where a shard begins never changes, but another may come; until it could be read once, every ask tries again.
  const refreshed = async (): Promise<Shards> => (known = await readShards(context));
  const shards = async (): Promise<Shards> => known ?? (await refreshed());
  const describe = describing(ask);
  const shardOf = async (log: string): Promise<Shard> => {
    const find = ({ all }: Shards) => all.find((one) => one.log === log);
    const found = find(await shards()) ?? find(await refreshed());
    if (found === undefined) throw new Failure("log-unavailable", "another log took the entry");
    return found;
  };
  return {
    handlers: {
      async createEntry({ proposed }) {
        const { body, subjects } = admitEntry(proposed);
        const { active } = await shards();
        const entry = candidateOf(body, subjects);
        const appended = await unavailable(
          ["not-found"],
          ask(appendEntry, { log: active.log, entry, newest: true }),
        );
        const { head, inclusionProof: proof, known: before, log = active.log } = appended;
        const shard = await shardOf(log);
        const inclusion = { head, proof };
        return { entry: formatEntry(shard, { ...appended, body, inclusion }), known: before };
      },

      async createEntryV2({ request }) {
        const { v2 } = config;
        if (v2 === undefined) throw new Failure("not-found", "this installation has no Rekor v2");
        const { kind, body, subjects } = admitV2(request, v2.dsse);
        const entry = candidateOf(body, subjects);
        const appended = await unavailable(
          ["not-found"],
          ask(appendEntry, { log: v2.log, entry, newest: true }),
        );
        const { index, logId, head, inclusionProof: hashes } = appended;
        const { size, root, checkpoint } = head;
        const version = rekorV2Version;
        return { index, logId, kind, version, body, size, root, hashes, checkpoint };
      },

      async getEntry({ by }) {
        const before = await shards();
        try {
          return await readEntry(ask, before, by);
        } catch (thrown) {
          // A tree that has come since may have it.
          if (!(thrown instanceof Failure) || thrown.code !== "not-found") throw thrown;
          const now = await refreshed();
          if (now.all.length === before.all.length) throw thrown;
          return await readEntry(ask, now, by);
        }
      },
      describeLog: async () => await describe(await refreshed()),
      proveLog: async (question) => await prove(ask, await refreshed(), question),
    },
  };
});

function candidateOf(body: Uint8Array, subjects: Uint8Array): Candidate {
  return { kind: "body", body, ...(subjects.length > 0 && { subjects }) };
}
