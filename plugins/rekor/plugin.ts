/** Rekor over the log plugin, v1 and v2: entries by index, id or proposed form, and the log's head and consistency. */
import { rekorV2Version } from "../../core/formats/rekor-v2.ts";
import { Failure } from "../../events/failure.ts";
import { appendEntry } from "../../events/log.ts";
import { admitV2 } from "./admission-v2.ts";
import { admit } from "./admission.ts";
import { describing, prove } from "./describe.ts";
import { formatEntry, readEntry } from "./entries.ts";
import { rekor } from "./manifest.ts";
import { readShards, type Shards, unavailable } from "./shards.ts";

export default rekor.implement(async (context) => {
  const { config, ask } = context;
  let known: Shards | null = null;
  // Where a shard begins never changes; until it could be read once, every ask tries again.
  const shards = async (): Promise<Shards> => (known ??= await readShards(context));
  const describe = describing(ask);
  return {
    handlers: {
      async createEntry({ proposed }) {
        const body = admit(proposed);
        const { active } = await shards();
        const entry = { kind: "body", body } as const;
        const appended = await unavailable(
          ["not-found"],
          ask(appendEntry, { log: active.log, entry }),
        );
        const { head, inclusionProof: proof, known: before } = appended;
        const inclusion = { head, proof };
        return { entry: formatEntry(active, { ...appended, body, inclusion }), known: before };
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

      getEntry: async ({ by }) => await readEntry(ask, await shards(), by),
      describeLog: async () => await describe(await shards()),
      proveLog: async (question) => await prove(ask, await shards(), question),
    },
  };
});
