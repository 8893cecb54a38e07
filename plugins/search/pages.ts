/** Pages of hits: what the index found, read in the logs, held against the filter, and cut where a page is full. */
import { entryId } from "../../core/formats/rekor-entry.ts";
import type { AnswerOf, QuestionOf } from "../../events/contract.ts";
import { type Head, latestHead, proveInclusion, readEntries } from "../../events/log.ts";
import type { searchEntries, SearchHit } from "../../events/search.ts";
import { areFew, type Checked, checkEntries } from "./checked.ts";
import type { IndexThread } from "./client.ts";
import { formatCursor, parseCursor } from "./cursor.ts";
import { type Described, subjectsBeside } from "./describe.ts";
import type { Bounds, Place } from "./evaluate.ts";
import type { Followed } from "./follower.ts";
import type { SearchContext } from "./manifest.ts";
import type { Asked } from "./thread.ts";

/** Bytes of hits on a page, as JSON: a whole answer stays below 100 kB. */
const maxHitsBytes = 64_000;
/** Bytes of one hit; a longer one is shortened. */
const maxHitBytes = 8_000;
/** Bytes of a hit besides what its entry says, and of each hash of a proof. */
const plainBytes = 600;
const hashBytes = 70;
/** Of the values of facets. */
const maxFacetsBytes = 20_000;
/** Entries that are read at once. */
const readAtOnce = 32;
const maxShownLength = 256;
const maxShownNames = 4;

type Question = QuestionOf<typeof searchEntries>;
type Answer = AnswerOf<typeof searchEntries>;
type Facets = NonNullable<Answer["counted"]>["facets"];

/** What answering needs. */
export interface Searching {
  readonly ask: SearchContext["ask"];
  readonly thread: IndexThread;
  readonly logs: readonly Followed[];
}

/** A hit with where it stands. */
interface Found {
  readonly place: Place;
  readonly hit: SearchHit;
  readonly sizeBytes: number;
}

/** Answers a search. The question's conditions have been read. */
export async function searchPage(searching: Searching, question: Question): Promise<Answer> {
  const { thread, logs } = searching;
  const { order, limit, cursor } = question;
  const asked = askedIn(question);
  const of = JSON.stringify([asked, order], (_key, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  const newestFirst = order === "newest";
  const bounds = cursor === undefined ? undefined : parseCursor(cursor, of);
  const page = { asked, newestFirst, limit, bounds };
  const { places, from, next } = await thread.call("find", page);
  const heads = question.proof ? await headsOf(searching, places) : new Map<string, Head>();
  const found = await hitsAt(searching, asked, { places, heads });
  const { hits, end } = cut(found, places);
  const going = end === null ? next : boundsAfter(places.slice(0, end), from, newestFirst);
  return {
    hits,
    ...(going !== null && limit > 0 && { cursor: formatCursor(of, going) }),
    extents: logs.map(({ log, indexed, size }) => ({ log, indexed, size })),
    heads: [...heads].map(([log, { size, root, checkpoint }]) => ({ log, size, root, checkpoint })),
    ...(question.facets.length > 0 && { counted: await counted(thread, asked, question.facets) }),
  };
}

/** The filter as the thread takes it. */
export function askedIn({ conditions, log, sinceMs, untilMs }: Question): Asked {
  return {
    conditions,
    ...(log !== undefined && { log }),
    ...(sinceMs !== undefined && { sinceMs: Number(sinceMs) }),
    ...(untilMs !== undefined && { untilMs: Number(untilMs) }),
  };
}

/** Reads entries and holds them against a filter; those that were not meant are left out. */
export async function readPlaces(
  { ask, thread }: Pick<Searching, "ask" | "thread">,
  asked: Asked,
  places: readonly Place[],
): Promise<readonly { place: Place; atMs: bigint; checked: Checked }[]> {
  const rows: AnswerOf<typeof readEntries>["entries"][] = [];
  // One handful after the other: nobody's search takes all of the log's time.
  for (let from = 0; from < places.length; from += readAtOnce) {
    const some = places.slice(from, from + readAtOnce).map(async ({ log, index }) => {
      const { entries } = await ask(readEntries, { log, from: BigInt(index), limit: 1 });
      return entries;
    });
    rows.push(...(await Promise.all(some)));
  }
  const read = rows.flatMap(([row], at) => {
    const place = places[at];
    return row === undefined || place === undefined ? [] : [{ row, place }];
  });
  const entries = read.map(({ row }) => ({ entry: row.entry, subjects: subjectsBeside(row) }));
  const all = areFew(entries)
    ? checkEntries(asked.conditions, entries)
    : await thread.call("check", { asked, entries });
  return read.flatMap(({ row, place }, at) => {
    const checked = all[at];
    return checked ? [{ place, atMs: row.integratedAtMs, checked }] : [];
  });
}

async function headsOf({ ask }: Searching, places: readonly Place[]): Promise<Map<string, Head>> {
  const names = [...new Set(places.map(({ log }) => log))];
  const heads = await Promise.all(
    names.map(async (log) => [log, (await ask(latestHead, { log })).head] as const),
  );
  return new Map(heads);
}

async function hitsAt(
  searching: Searching,
  asked: Asked,
  {
    places,
    heads,
  }: { readonly places: readonly Place[]; readonly heads: ReadonlyMap<string, Head> },
): Promise<readonly Found[]> {
  const read = await readPlaces(searching, asked, places);
  return await Promise.all(
    read.map(async ({ place, atMs, checked }) => {
      const log = searching.logs.find((one) => one.log === place.log);
      const head = heads.get(place.log);
      const proof = head && (await proofOf(searching, place, head));
      const { leafHash, ...described } = checked;
      const shown = shorten(described);
      const index = BigInt(place.index);
      const hit: SearchHit = {
        log: place.log,
        index,
        leafHash,
        ...(log?.treeId !== undefined && { entryId: entryId(BigInt(log.treeId), leafHash) }),
        logIndex: index + (log?.firstIndex ?? 0n),
        integratedAtMs: atMs,
        ...shown,
        ...(proof && { inclusionProof: proof }),
      };
      const sizeBytes = jsonBytes(shown) + plainBytes + hashBytes * (proof?.length ?? 0);
      return { place, hit, sizeBytes };
    }),
  );
}

async function proofOf({ ask }: Searching, { log, index }: Place, { size }: Head) {
  const { proof } = await ask(proveInclusion, { log, index: BigInt(index), size });
  return proof;
}

/** The hits that a page has room for, one at least, and how many places that was; null if it was all of them. */
function cut(
  found: readonly Found[],
  places: readonly Place[],
): { hits: SearchHit[]; end: number | null } {
  let sizeBytes = 0;
  const kept = found.findIndex((one, at) => {
    sizeBytes += one.sizeBytes;
    return at > 0 && sizeBytes > maxHitsBytes;
  });
  if (kept < 0) return { hits: found.map(({ hit }) => hit), end: null };
  const first = found[kept]?.place;
  const end = places.findIndex((place) => place === first);
  return { hits: found.slice(0, kept).map(({ hit }) => hit), end };
}

function boundsAfter(places: readonly Place[], from: Bounds, newestFirst: boolean): Bounds {
  const bounds = { ...from };
  for (const { log, index } of places) bounds[log] = newestFirst ? index : index + 1;
  return bounds;
}

/** What a hit shows of an entry that says a great deal. */
function shorten(described: Described) {
  const { kind, digests, signers } = described;
  if (jsonBytes(described) <= maxHitBytes) return { ...copy(described), shortened: false };
  const [signer] = signers;
  const names = (signer?.sans ?? []).slice(0, maxShownNames);
  const sans = names.map((name) => ({
    ...name,
    value: name.value.slice(0, maxShownLength).toWellFormed(),
  }));
  const shown = signer === undefined ? [] : [{ ...signer, sans, extensions: {} }];
  const few = copy({ kind, digests: digests.slice(0, maxShownNames), signers: shown });
  return { ...few, shortened: true };
}

/** Answers are arrays that may be written to. */
function copy({ kind, digests, signers }: Described) {
  return {
    kind,
    digests: [...digests],
    signers: signers.map((signer) => ({ ...signer, sans: [...signer.sans] })),
  };
}

async function counted(thread: IndexThread, asked: Asked, fields: readonly string[]) {
  const { total, exact, facets } = await thread.call("count", { asked, facets: fields });
  let sizeBytes = 0;
  const shown: { [field: string]: Facets[string] } = {};
  for (const [field, values] of Object.entries(facets)) {
    shown[field] = values
      .filter((one) => (sizeBytes += jsonBytes(one)) <= maxFacetsBytes)
      .map(({ value, count }) => ({ value, count: BigInt(count) }));
  }
  return { total: BigInt(total), exact, facets: shown };
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
