/** The plugin that hosts every configured log. */
import { Failure } from "../../events/failure.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Answers, Envelope, Health } from "../../core/plugin.ts";
import type { AnswerOf } from "../../events/contract.ts";
import type { latestHead } from "../../events/log.ts";
import { lookOften, watchForPromises } from "../../core/clock.ts";
import type { Log } from "./log.ts";
import { Logs } from "./logs.ts";
import { Reserve } from "./reserve.ts";
import { Scrubber } from "./scrubber.ts";
import { log } from "./manifest.ts";

export default log.implement(async (context) => {
  const { clock, config, journal } = context;
  await using started = new AsyncDisposableStack();
  const { reserveBytes } = config;
  const reserve = started.use(await Reserve.watch(context.home(), { reserveBytes }));
  const steady = watchForPromises(clock);
  started.use(lookOften(steady));
  const logs = started.use(await Logs.start(context, steady));
  const { entriesPerSecond } = config.scrub;
  const scrubbed = async () => await logs.scrubbed();
  const scrubber = started.use(new Scrubber({ logs: scrubbed, entriesPerSecond, clock, journal }));
  const running = started.move();
  let troubleSince: Date | null = null;

  return {
    handlers: {
      async appendEntry(question, envelope) {
        reserve.require();
        return await sound(logs.append(question, envelope));
      },
      ...ends(logs),
      listLogs: async () => ({ logs: logs.list() }),
      readEntries: async ({ log: name, from, limit }) => ({
        entries: await sound(logs.find(name).entries(from, limit)),
      }),
      findLeaf: async ({ log: name, leafHash }) => ({
        index: await sound(logs.find(name).find(leafHash)),
      }),
      latestHead: async ({ log: name, newest }) => await latest(logs.find(name, newest)),
      proveInclusion: async ({ log: name, index, size }) =>
        await sound(logs.find(name).proveInclusion(index, size)),
      proveConsistency: async ({ log: name, first, second }) =>
        await sound(logs.find(name).proveConsistency(first, second)),
      readTile: async ({ log: name, newest, level, index, width }) => ({
        tile: await sound(logs.find(name, newest).tile(level, index, width)),
      }),
    },
    health(): Health {
      const worst = troubleOf(logs) ?? degraded(reserve.trouble ?? scrubber.trouble);
      if (worst === undefined) {
        troubleSince = null;
        return { status: "ok" };
      }
      troubleSince ??= clock.now();
      return { ...worst, since: troubleSince };
    },
    metrics: async () => scrubber.metrics(),
    async [Symbol.asyncDispose]() {
      await running.disposeAsync();
    },
  };
});

/** What operators do to a log. */
function ends(
  logs: Logs,
): Pick<Answers<typeof log.manifest.offers>, "freezeLog" | "rollLog" | "retireLog"> {
  return {
    freezeLog: async ({ log: name }, envelope) => {
      requireOperator(envelope);
      return await logs.find(name).freeze(envelope);
    },
    rollLog: async (successor, envelope) => {
      requireOperator(envelope);
      return await logs.roll(successor, envelope);
    },
    retireLog: async ({ log: name }, envelope) => {
      requireOperator(envelope);
      return await logs.retire(name);
    },
  };
}

async function latest(found: Log): Promise<AnswerOf<typeof latestHead>> {
  const { logId, firstIndex, isRetired, publicKey } = found;
  return {
    logId,
    head: await found.newestHead(),
    ...(firstIndex > 0n && { firstIndex }),
    ...(isRetired && { publicKey: publicKey.spki }),
  };
}

function troubleOf(logs: Logs) {
  const troubles = logs.running().flatMap(({ trouble }) => trouble ?? []);
  const [stuck] = logs.stuck();
  const owed =
    stuck === undefined
      ? null
      : `log "${stuck}" is frozen and its successor has not begun; roll it again`;
  return troubles.find(({ status }) => status === "failed") ?? troubles[0] ?? degraded(owed);
}

function degraded(reason: string | null) {
  return reason === null ? undefined : { status: "degraded" as const, reason };
}

function requireOperator({ from }: Envelope): void {
  if (from !== "operator") throw new Failure("access-denied", "only operators end logs");
}

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
