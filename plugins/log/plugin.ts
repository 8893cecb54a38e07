/** The plugin that hosts every configured log. */
import { Failure } from "../../events/failure.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Health } from "../../core/plugin.ts";
import { watchForPromises } from "../../core/clock.ts";
import { Log } from "./log.ts";
import { log } from "./manifest.ts";

export default log.implement(async ({ config, stores, ask, clock, journal, draining }) => {
  await using started = new AsyncDisposableStack();
  const logs = new Map<string, Log>();
  const steady = watchForPromises(clock);
  for (const one of config.logs) {
    const store = await stores.open(one.name);
    const surroundings = { config: one, store, ask, clock, steady, journal };
    logs.set(one.name, started.use(await Log.start(surroundings, draining)));
  }
  const running = started.move();
  const find = (name: string): Log => {
    const found = logs.get(name);
    if (found === undefined) throw new Failure("not-found", `there is no log "${name}"`);
    return found;
  };
  let troubleSince: Date | null = null;

  return {
    handlers: {
      appendEntry: async ({ log: name, entry, prove }, envelope) =>
        await sound(find(name).append(entry, envelope, prove)),
      freezeLog: async ({ log: name }, envelope) => {
        if (envelope.from !== "operator") {
          throw new Failure("access-denied", "only operators freeze logs");
        }
        return await find(name).freeze(envelope);
      },
      readEntries: async ({ log: name, from, limit }) => ({
        entries: await sound(find(name).entries(from, limit)),
      }),
      findLeaf: async ({ log: name, leafHash }) => ({
        index: await sound(find(name).find(leafHash)),
      }),
      async latestHead({ log: name }) {
        const { logId, firstIndex } = find(name);
        return { logId, head: find(name).head(), ...(firstIndex > 0n && { firstIndex }) };
      },
      proveInclusion: async ({ log: name, index, size }) =>
        await sound(find(name).proveInclusion(index, size)),
      proveConsistency: async ({ log: name, first, second }) =>
        await sound(find(name).proveConsistency(first, second)),
      readTile: async ({ log: name, level, index, width }) => ({
        tile: await sound(find(name).tile(level, index, width)),
      }),
    },
    health(): Health {
      const troubles = [...logs.values()].flatMap(({ trouble }) => trouble ?? []);
      const worst = troubles.find(({ status }) => status === "failed") ?? troubles[0];
      if (worst === undefined) {
        troubleSince = null;
        return { status: "ok" };
      }
      troubleSince ??= clock.now();
      return { ...worst, since: troubleSince };
    },
    async [Symbol.asyncDispose]() {
      await running.disposeAsync();
    },
  };
});

/** What the store holds does not fit the tree: the answer would be wrong, so there is none. */
async function sound<Answer>(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer;
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    const sentence = "the log's store is damaged; run fsck";
    throw new Failure("log-unavailable", sentence, { cause: thrown });
  }
}
