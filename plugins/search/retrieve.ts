/** Rekor v1's `index/retrieve`: ids of entries by hash, e-mail address, name and key (`rekor:pkg/api/index.go`, v1.5). */
import { entryId } from "../../core/formats/rekor-entry.ts";
import type { AnswerOf, QuestionOf } from "../../events/contract.ts";
import type { retrieveIndex } from "../../events/search.ts";
import { IndexUnavailable } from "./client.ts";
import type { Condition } from "./filter.ts";
import type { Followed } from "./follower.ts";
import { readPlaces, type Searching } from "./pages.ts";

/** Upstream answers all there are, 8 MB and more; here the newest, and whoever wants more turns pages of a search. */
const maxIds = 1_000;

/** More than a log grows by while the index follows. */
const mostBehind = 5_000n;

type Question = QuestionOf<typeof retrieveIndex>;

/** The conditions of a question. */
export function conditionsIn(question: Question): readonly Condition[] {
  const { email, subject, digest, certificate, bareKey } = question;
  const conditions: Condition[] = [];
  const add = (field: Condition["field"], value: string | undefined): void => {
    if (value !== undefined) conditions.push({ field, value });
  };
  add("email", email);
  add("san", subject);
  add("digest", digest);
  add("certificate", certificate);
  add("bareKey", bareKey);
  return conditions;
}

/**
 * Answers it from the Rekor v1 logs: entries of others have no such id.
 *
 * @throws {IndexUnavailable} while the index is being made: an answer without the older entries would be taken for all there is.
 */
export async function retrieveIds(
  searching: Searching,
  question: Question,
): Promise<AnswerOf<typeof retrieveIndex>> {
  if (treesOf(searching).some(({ size, indexed }) => size - indexed > mostBehind)) {
    throw new IndexUnavailable({ message: "the index is being made", isDamage: false });
  }
  const conditions = conditionsIn(question);
  const searches = question.operator === "and" ? [conditions] : conditions.map((one) => [one]);
  const ids = new Set<string>();
  for (const one of searches.filter(({ length }) => length > 0)) {
    for (const id of await idsOf(searching, one)) ids.add(id);
  }
  return { entryIds: [...ids].slice(0, maxIds) };
}

async function idsOf(searching: Searching, conditions: readonly Condition[]) {
  const { thread } = searching;
  const ids: string[] = [];
  for (const { log, treeId } of treesOf(searching)) {
    if (ids.length >= maxIds) break;
    const asked = { conditions, log };
    const page = { asked, newestFirst: true, limit: maxIds - ids.length };
    const { places } = await thread.call("find", page);
    for (const { checked } of await readPlaces(searching, asked, places)) {
      ids.push(entryId(BigInt(treeId ?? "0"), checked.leafHash));
    }
  }
  return ids;
}

/** The trees of Rekor v1, the newest first. */
function treesOf({ logs }: Searching): readonly Followed[] {
  return logs
    .filter(({ treeId }) => treeId !== undefined)
    .toSorted((a, b) => Number(b.firstIndex - a.firstIndex));
}
