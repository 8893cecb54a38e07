/**
 * Patterns in which `*` stands for any text and everything else for itself. Matching goes back to the last `*` only, so it takes at most
 * the length of the pattern times the length of the value.
 */

/** A pattern or a plain value, ready to be held against values. */
export interface Pattern {
  /** As it is looked for. */
  readonly text: string;
  /** Nothing but `text` matches. */
  readonly isPlain: boolean;
  /** What every match begins with. */
  readonly prefix: string;
  matches(value: string): boolean;
}

/** Reads a pattern; `fold` makes upper and lower case the same, and then `text` and `prefix` are in lower case. */
export function parsePattern(pattern: string, fold: boolean): Pattern {
  const text = fold ? pattern.toLowerCase() : pattern;
  const folded = (value: string): string => (fold ? value.toLowerCase() : value);
  if (!text.includes("*")) {
    return { text, isPlain: true, prefix: text, matches: (value) => folded(value) === text };
  }
  const [first = "", ...rest] = text.split("*");
  const last = rest.pop() ?? "";
  const parts = { first, middle: rest, last };
  return { text, isPlain: false, prefix: first, matches: (value) => fits(folded(value), parts) };
}

/** The leftmost place is the best for each part in the middle: whatever fits behind a later one fits behind it too. */
function fits(
  value: string,
  parts: { readonly first: string; readonly middle: readonly string[]; readonly last: string },
): boolean {
  const { first, middle, last } = parts;
  if (!value.startsWith(first)) return false;
  let at = first.length;
  for (const part of middle) {
    const found = value.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return value.length - last.length >= at && value.endsWith(last);
}
