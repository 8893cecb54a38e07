/** Starts the index's thread and the follower that feeds it, and answers searches. */
import { join } from "node:path";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Metric } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { IndexThread, IndexUnavailable } from "./client.ts";
import { facetReader, readConditions } from "./filter.ts";
import { type Followed, Follower } from "./follower.ts";
import { search } from "./manifest.ts";
import { searchPage, type Searching } from "./pages.ts";
import { conditionsIn, retrieveIds } from "./retrieve.ts";

export default search.implement(async (context) => {
  await Promise.resolve();
  const { ask, config, home } = context;
  const thread = new IndexThread(join(home(), config.directory, "search.db"));
  const follower = new Follower(context, thread);
  const searching = (): Searching => {
    const logs = follower.logs();
    if (logs.length > 0) return { ask, thread, logs };
    throw new IndexUnavailable({ message: "no log has been looked at yet", isDamage: false });
  };

  return {
    handlers: {
      searchEntries: async (question) =>
        await answering(async () => {
          readConditions(question.conditions);
          for (const field of question.facets) facetReader(field);
          const { log } = question;
          const all = searching();
          if (log !== undefined && !all.logs.some((one) => one.log === log)) {
            throw new Failure("not-found", `there is no log "${log}"`);
          }
          return await searchPage(all, question);
        }),
      retrieveIndex: async (question) =>
        await answering(async () => {
          readConditions(conditionsIn(question));
          return await retrieveIds(searching(), question);
        }),
      async rebuildIndex(_question, envelope) {
        if (envelope.from !== "operator") {
          throw new Failure("access-denied", "only operators rebuild the index");
        }
        await answering(async () => await follower.rebuild());
        return {};
      },
    },
    // Always well: whoever is sent elsewhere because the index is behind or broken would lose the logs, too. How far it is, is told
    // with every answer and by `chancery status`.
    metrics: async () => await Promise.resolve([behind(follower.logs())]),
    async [Symbol.asyncDispose]() {
      await follower[Symbol.asyncDispose]();
      await thread[Symbol.asyncDispose]();
    },
  };
});

/** Entries that are in a log and not in the index yet. */
function behind(logs: readonly Followed[]): Metric {
  const values = logs.map(({ log, size, indexed }) => ({
    labels: { log },
    value: Number(size - indexed),
  }));
  const help = "Entries of a log that search does not find yet";
  return { name: "chancery_search_behind", help, type: "gauge", aggregator: "sum", values };
}

async function answering<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof Malformed) throw new Failure("malformed", cause.message, { cause });
    if (!(cause instanceof IndexUnavailable)) throw cause;
    throw new Failure("overloaded", "the index cannot be searched just now", { cause });
  }
}
