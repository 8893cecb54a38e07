/** Evaluates a filter over the logs of the index: pages in the order of time, and counts. */
import type { Dictionary } from "./dictionary.ts";
import { facetReader, type Wanted } from "./filter.ts";
import type { Span } from "./run.ts";
import type { Shard } from "./shard.ts";
import { type Effort, entriesIn, markEvery, type Plan, planFor } from "./stream.ts";

/** An entry of a log. */
export interface Place {
  readonly log: string;
  readonly index: number;
}

/** Where a search goes on in each log: newest first, below here; oldest first, from here on. */
export type Bounds = Readonly<{ [log: string]: number }>;

/** What is evaluated. */
export interface Search {
  readonly wanted: Wanted;
  readonly log?: string | undefined;
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
}

/** Which page. */
export interface PageOf {
  readonly newestFirst: boolean;
  readonly limit: number;
  /** Absent on the first page. */
  readonly bounds?: Bounds | undefined;
}

/** A page by the index. */
export interface PlacesFound {
  readonly places: readonly Place[];
  /** Where it began. */
  readonly from: Bounds;
  /** Where it goes on; null at the end. */
  readonly next: Bounds | null;
}

/** How many. */
export interface Counted {
  readonly total: number;
  /** False if there is more than was looked at. */
  readonly exact: boolean;
  readonly facets: {
    readonly [field: string]: readonly { readonly value: string; readonly count: number }[];
  };
}

/** Entries that are looked at for one page, and for one count: well below what anybody waits for. */
const lookedAt = { page: 1_000_000, count: 4_000_000 };
const effort: { readonly page: Effort; readonly count: Effort } = {
  page: { texts: 512, profiles: 512 },
  count: { texts: 50_000, profiles: 300_000 },
};
/** Different profiles whose texts are looked at for one count. */
const mostProfiles = 50_000;
/** Values that are told of a facet. */
const mostValues = 20;

/** One page. */
export function findPage(
  { shards, dictionary }: { readonly shards: readonly Shard[]; readonly dictionary: Dictionary },
  search: Search,
  page: PageOf,
): PlacesFound {
  const plan = planFor(search.wanted, dictionary, effort.page);
  const budget = { left: lookedAt.page };
  const streams = shards.flatMap((shard) => {
    const span = spanOf(shard, search, page);
    return span === null ? [] : [new Stream(shard, plan, { span, newestFirst: page.newestFirst })];
  });
  const from = boundsOf(streams);
  const places: Place[] = [];
  while (places.length < page.limit) {
    for (const stream of streams) stream.look(budget);
    const isCut = streams.some((stream) => !stream.isKnown);
    const best = isCut ? null : firstOf(streams, page.newestFirst);
    if (best === null) return { places, from, next: isCut ? boundsOf(streams) : null };
    places.push(best.take());
  }
  return { places, from, next: boundsOf(streams) };
}

/** Counts all that is found, and the values of facets among it. */
export function countAll(
  { shards, dictionary }: { readonly shards: readonly Shard[]; readonly dictionary: Dictionary },
  search: Search,
  fields: readonly string[],
): Counted {
  const plan = planFor(search.wanted, dictionary, effort.count);
  const byProfile = new Map<number, number>();
  let total = 0;
  let left = lookedAt.count;
  for (const shard of shards) {
    const span = spanOf(shard, search, { newestFirst: true, limit: 0 });
    if (span === null) continue;
    for (const index of entriesIn(shard, plan, span, true)) {
      left -= index < 0 ? markEvery : 1;
      if (byProfile.size > mostProfiles) left = 0;
      if (left <= 0) break;
      if (index < 0) continue;
      total++;
      const profile = shard.profileAt(index);
      byProfile.set(profile, (byProfile.get(profile) ?? 0) + 1);
    }
  }
  const facets = fields.map((field) => [field, commonest(byProfile, dictionary, field)] as const);
  return { total, exact: left > 0, facets: Object.fromEntries(facets) };
}

function commonest(byProfile: ReadonlyMap<number, number>, dictionary: Dictionary, field: string) {
  const valuesIn = facetReader(field);
  const counts = new Map<string, number>();
  for (const [profile, count] of byProfile) {
    for (const value of valuesIn(dictionary.termsOf(profile))) {
      counts.set(value, (counts.get(value) ?? 0) + count);
    }
  }
  return [...counts]
    .map(([value, count]) => ({ value, count }))
    .toSorted((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1))
    .slice(0, mostValues);
}

/** The entries of a log that are still to be looked at; null if the log is not looked at. */
function spanOf(shard: Shard, search: Search, { newestFirst, bounds }: PageOf): Span | null {
  const { name } = shard.log;
  if (search.log !== undefined && search.log !== name) return null;
  const bound = bounds !== undefined && Object.hasOwn(bounds, name) ? bounds[name] : undefined;
  // A log that was not there on the first page holds newer entries only.
  if (bounds !== undefined && bound === undefined && newestFirst) return null;
  const low = search.sinceMs === undefined ? 0 : shard.firstSince(search.sinceMs);
  const high = search.untilMs === undefined ? shard.size : shard.firstSince(search.untilMs);
  return {
    low: newestFirst ? low : Math.max(low, bound ?? 0),
    high: newestFirst ? Math.min(high, bound ?? high) : high,
  };
}

function boundsOf(streams: readonly Stream[]): Bounds {
  return Object.fromEntries(streams.map((stream) => [stream.name, stream.bound]));
}

/** By time, then by the order of the logs. */
function firstOf(streams: readonly Stream[], newestFirst: boolean): Stream | null {
  let best: Stream | null = null;
  for (const stream of streams) {
    if (stream.atMs === null) continue;
    const other = best?.atMs ?? null;
    if (other === null || (newestFirst ? stream.atMs > other : stream.atMs < other)) best = stream;
  }
  return best;
}

/** What is found in one log, from its next entry on. */
class Stream {
  readonly name: string;
  readonly #shard: Shard;
  readonly #newestFirst: boolean;
  readonly #entries: Generator<number>;
  #head: { readonly index: number; readonly atMs: number } | null = null;
  #isDone = false;
  #bound: number;
  readonly #end: number;

  constructor(
    shard: Shard,
    plan: Plan,
    { span, newestFirst }: { readonly span: Span; readonly newestFirst: boolean },
  ) {
    this.name = shard.log.name;
    this.#shard = shard;
    this.#newestFirst = newestFirst;
    this.#bound = newestFirst ? Math.max(span.low, span.high) : span.low;
    this.#end = newestFirst ? span.low : Math.max(span.low, span.high);
    this.#entries = entriesIn(shard, plan, span, newestFirst);
  }

  /** When the next entry was logged; null if there is none. */
  get atMs(): number | null {
    return this.#head?.atMs ?? null;
  }

  /** False if the budget was used up before the next entry was found. */
  get isKnown(): boolean {
    return this.#isDone || this.#head !== null;
  }

  get bound(): number {
    return this.#bound;
  }

  /** Looks for the next entry. */
  look(budget: { left: number }): void {
    while (!this.isKnown && budget.left > 0) {
      const { value, done } = this.#entries.next();
      if (done === true) {
        this.#isDone = true;
        this.#bound = this.#end;
      } else if (value < 0) {
        budget.left -= markEvery;
        this.#bound = this.#newestFirst ? -1 - value : -value;
      } else {
        budget.left--;
        this.#head = { index: value, atMs: this.#shard.timeAt(value) };
      }
    }
  }

  take(): Place {
    if (this.#head === null) throw new TypeError("nothing to take");
    const { index } = this.#head;
    this.#head = null;
    this.#bound = this.#newestFirst ? index : index + 1;
    return { log: this.name, index };
  }
}
