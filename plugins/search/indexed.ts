/** What an entry is found by: texts, which make its profile, and keys of values that are kept as hashes. */
import type { Described } from "./describe.ts";
import { clip, extensionField, hashedArcs, hashedKey, type Term, textFields } from "./fields.ts";

/** An entry for the index. */
export interface Indexed {
  readonly atMs: number;
  /** In one order, without repetition: entries that say the same share a profile. */
  readonly terms: readonly Term[];
  readonly keys: readonly number[];
}

/** Everything an entry is found by. */
export function indexedBy({ kind, digests, signers }: Described, atMs: number): Indexed {
  const terms = new Map<string, Term>();
  const keys = new Set<number>();
  const keep = (field: number, value: string): void => {
    const text = clip(value);
    terms.set(`${field}\0${text}`, { field, value: text });
  };
  keep(textFields.kind, kind);
  for (const { algorithm, value } of digests)
    keys.add(hashedKey("digest", `${algorithm}:${value}`));
  for (const { key, certificate, sans, extensions } of signers) {
    if (key !== undefined) keys.add(hashedKey("key", key));
    if (certificate !== undefined) keys.add(hashedKey("certificate", certificate));
    for (const name of sans) {
      keep(textFields[name.kind], name.value);
      const folded = name.value.toLowerCase();
      if (folded !== name.value) keep(textFields.folded, folded);
    }
    for (const [arc, value] of Object.entries(extensions)) {
      if (hashedArcs.has(Number(arc))) keys.add(hashedKey(`extension.${arc}`, value));
      else keep(extensionField(Number(arc)), value);
    }
  }
  const inOrder = [...terms].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, term]) => term);
  return { atMs, terms: inOrder, keys: [...keys] };
}
