/** Which entries of one log a filter finds, one after the other, by the index alone. */
import type { Dictionary } from "./dictionary.ts";
import { holdsFor, type TextCondition, type Wanted } from "./filter.ts";
import type { Span } from "./run.ts";
import type { Shard } from "./shard.ts";

/** Up to so many profiles their entries are looked up; beyond that every entry is looked at. */
const mostFollowed = 64;
/** How often a search that finds nothing says how far it has come. */
export const markEvery = 1_024;

/** Up to how many texts, and profiles with them, a condition is looked up; beyond that profiles are held against it one by one. */
export interface Effort {
  readonly texts: number;
  readonly profiles: number;
}

/** A filter, prepared with what the dictionary knows. */
export interface Plan {
  readonly keys: readonly number[];
  /** The only profiles that entries may have, if they are few; null if they are not, or there are keys to look for. */
  readonly profiles: readonly number[] | null;
  /** True if entries with this profile fit. */
  readonly fits: (profile: number) => boolean;
}

/** Looks texts up. */
export function planFor({ keys, texts }: Wanted, dictionary: Dictionary, effort: Effort): Plan {
  const listed: ReadonlySet<number>[] = [];
  const rest: TextCondition[] = [];
  for (const condition of texts) {
    const terms = dictionary.find(condition.fields, condition.pattern, effort.texts);
    const profiles = terms && dictionary.holders(terms, effort.profiles);
    if (profiles === null) rest.push(condition);
    else listed.push(profiles);
  }
  const known = new Map<number, boolean>();
  const fits = (profile: number): boolean => {
    if (!listed.every((profiles) => profiles.has(profile))) return false;
    if (rest.length === 0) return true;
    let answer = known.get(profile);
    if (answer === undefined) {
      answer = holdsFor(rest, dictionary.termsOf(profile));
      known.set(profile, answer);
    }
    return answer;
  };
  const [fewest] = listed.toSorted((a, b) => a.size - b.size);
  const few = keys.length === 0 && fewest !== undefined && fewest.size <= effort.texts;
  const profiles = few ? [...fewest].filter(fits) : null;
  return { keys, profiles: profiles && profiles.length <= mostFollowed ? profiles : null, fits };
}

/**
 * Yields the index of each entry in `span` that fits, in order; and now and then, while none does, `-1 - index` of the last entry that
 * has been looked at.
 */
export function* entriesIn(
  shard: Shard,
  plan: Plan,
  span: Span,
  newestFirst: boolean,
): Generator<number> {
  const { keys, profiles, fits } = plan;
  const [first, ...others] = keys;
  if (profiles !== null) {
    const sources = profiles.map((profile) => shard.find(profile, span, newestFirst));
    yield* merged(sources, newestFirst);
    return;
  }
  let missed = 0;
  const candidates =
    first === undefined ? everything(span, newestFirst) : shard.find(first, span, newestFirst);
  for (const index of candidates) {
    if (others.every((key) => shard.has(key, index)) && fits(shard.profileAt(index))) yield index;
    else if (++missed % markEvery === 0) yield -1 - index;
  }
}

function* everything({ low, high }: Span, newestFirst: boolean): Generator<number> {
  if (newestFirst) for (let index = high - 1; index >= low; index--) yield index;
  else for (let index = low; index < high; index++) yield index;
}

/** An entry has one profile, so no index comes twice. */
function* merged(sources: readonly Generator<number>[], newestFirst: boolean): Generator<number> {
  const heads = sources.map((source) => source.next());
  for (;;) {
    let best = -1;
    for (const [at, head] of heads.entries()) {
      if (head.done === true) continue;
      const other = heads[best];
      const isBetter =
        other === undefined ||
        other.done === true ||
        (newestFirst ? head.value > other.value : head.value < other.value);
      if (isBetter) best = at;
    }
    const found = heads[best];
    const source = sources[best];
    if (found === undefined || found.done === true || source === undefined) return;
    yield found.value;
    heads[best] = source.next();
  }
}
