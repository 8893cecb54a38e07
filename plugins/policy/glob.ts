/**
 * Patterns of rules: text in which `*` stands for any run of characters but `/`, `**` for any run at all, and everything else for
 * itself; upper and lower case differ. There are no regular expressions here: matching takes at most the length of the pattern times
 * the length of the value, whatever either of them is.
 */

/** A pattern, ready to be matched. */
export type Glob = (value: string) => boolean;

/** Most characters of a pattern. */
export const maxGlobLength = 512;

/** Compiles a pattern. */
export function compileGlob(pattern: string): Glob {
  const parts = split(pattern);
  if (parts.every(({ kind }) => kind === "text")) return (value) => value === pattern;
  return (value) => matches(parts, value);
}

/** True if every value that `narrow` matches is matched by `wide` too. May say no where it is yes, never the other way. */
export function covers(wide: string, narrow: string): boolean {
  if (wide === narrow || wide === "**") return true;
  if (wide.includes("*") && !narrow.includes("*")) return compileGlob(wide)(narrow);
  // One `**` at one end, and the fixed rest is in the other pattern as it stands.
  if (wide.endsWith("**") && !wide.slice(0, -2).includes("*"))
    return narrow.startsWith(wide.slice(0, -2));
  if (wide.startsWith("**") && !wide.slice(2).includes("*")) return narrow.endsWith(wide.slice(2));
  return false;
}

type Part = { readonly kind: "text"; readonly text: string } | { readonly kind: "any" | "segment" };

function split(pattern: string): readonly Part[] {
  const parts: Part[] = [];
  for (const text of pattern.split(/(\*+)/)) {
    if (text === "") continue;
    if (text.startsWith("*")) parts.push({ kind: text === "*" ? "segment" : "any" });
    else parts.push({ kind: "text", text });
  }
  return parts;
}

/** Keeps the set of positions of the value that the parts so far can have reached: no backtracking, so no blow-up. */
function matches(parts: readonly Part[], value: string): boolean {
  let reached = new Uint8Array(value.length + 1);
  reached[0] = 1;
  for (const part of parts) {
    const next = new Uint8Array(value.length + 1);
    if (part.kind === "text") {
      for (let at = value.indexOf(part.text); at >= 0; at = value.indexOf(part.text, at + 1)) {
        if (reached[at] === 1) next[at + part.text.length] = 1;
      }
    } else {
      let open = false;
      for (let at = 0; at <= value.length; at++) {
        open ||= reached[at] === 1;
        if (open) next[at] = 1;
        if (part.kind === "segment" && value[at] === "/") open = false;
      }
    }
    reached = next;
  }
  return reached[value.length] === 1;
}
