/** Templates of providers, taken apart once: see `provider.ts` for what they are. */
import { Malformed } from "../../core/formats/malformed.ts";

/** A piece of a template. */
export type Part = { readonly text: string } | { readonly space: string; readonly name: string };

/** Looks a reference up; null if it has no value. */
export type Lookup = (space: string, name: string) => string | null;

const reference = /^(claims|const|choice|config|iss|derived)\.([A-Za-z][A-Za-z0-9_]*)$/;

/** @throws {Malformed} on a brace that is not part of a reference, or a reference to no space. */
export function parseTemplate(template: string): readonly Part[] {
  const parts: Part[] = [];
  for (const piece of template.split(/(\{[^{}]*\})/)) {
    if (piece === "") continue;
    if (!/[{}]/.test(piece)) {
      parts.push({ text: piece });
      continue;
    }
    const inside = piece.slice(1, -1);
    if (inside === "iss" || inside === "base") {
      parts.push({ space: inside, name: "" });
      continue;
    }
    const [, space, name] = reference.exec(inside) ?? [];
    if (space === undefined || name === undefined) {
      throw new Malformed(`"${template}": "${piece}" is not a reference such as {claims.sub}`);
    }
    parts.push({ space, name });
  }
  return parts;
}

/** Replaces every reference that is known before any token is. */
export function bind(parts: readonly Part[], known: Lookup): readonly Part[] {
  const bound: Part[] = [];
  for (const part of parts) {
    const text = "text" in part ? part.text : known(part.space, part.name);
    const last = bound.at(-1);
    if (text === null) bound.push(part);
    else if (last !== undefined && "text" in last)
      bound[bound.length - 1] = { text: last.text + text };
    else bound.push({ text });
  }
  return bound;
}

/** The text of a template; null if something in it has no value. */
export function fill(parts: readonly Part[], lookup: Lookup): string | null {
  let text = "";
  for (const part of parts) {
    const value = "text" in part ? part.text : lookup(part.space, part.name);
    if (value === null) return null;
    text += value;
  }
  return text;
}

/** The text of a template whose references are all bound. @throws {Malformed} if one is not. */
export function settled(parts: readonly Part[], about: string): string {
  const text = fill(parts, () => null);
  if (text === null) throw new Malformed(`${about}: refers to something that is not fixed`);
  return text;
}
