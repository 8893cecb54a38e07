/**
 * The subset of Go's text/template that Fulcio's configuration uses: `{{ .name }}`, `{{ index . "name" }}`, `{{ if eq A "text" }}…
 * {{ else }}…{{ end }}`, string constants, and trimming with `{{-` and `-}}`. Anything else is refused, because it would have to be
 * guessed.
 */
import { Malformed } from "../../core/formats/malformed.ts";

/** A piece of a template. */
export type GoNode =
  | { readonly text: string }
  | { readonly key: string }
  | {
      readonly key: string;
      readonly equals: string;
      readonly chosen: string;
      readonly otherwise: string;
    };

/** @throws {Malformed} on whatever is not in the subset. */
export function parseGoTemplate(template: string): readonly GoNode[] {
  // A value without an action is the name of a claim, not a template.
  if (!template.includes("{{")) {
    if (template.includes("://")) throw new Malformed(`"${template}": is taken for a claim's name`);
    return [{ key: template }];
  }
  const nodes: GoNode[] = [];
  const pieces = piecesOf(template);
  for (let at = 0; at < pieces.length; at++) {
    const piece = pieces[at] ?? { text: "" };
    if ("text" in piece) {
      if (piece.text !== "") nodes.push(piece);
      continue;
    }
    const condition = /^if eq (\S+|\(?index \. "[^"]*"\)?) "([^"]*)"$/.exec(piece.action);
    if (condition === null) {
      nodes.push(operand(piece.action));
      continue;
    }
    const { chosen, otherwise, end } = branches(pieces, at + 1);
    const [, left = "", equals = ""] = condition;
    const of = operand(left);
    if (!("key" in of)) throw new Malformed(`"${piece.action}": compare a claim with a text`);
    nodes.push({ key: of.key, equals, chosen, otherwise });
    at = end;
  }
  return nodes;
}

type Piece = { readonly text: string } | { readonly action: string };

function piecesOf(template: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let trim = false;
  for (const piece of template.split(/(\{\{(?:[^"}]|"[^"]*"|\}(?!\}))*\}\})/)) {
    const action = /^\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}$/s.exec(piece);
    if (action === null) {
      if (/\{\{|\}\}/.test(piece)) throw new Malformed(`"${piece}": an action that does not end`);
      pieces.push({ text: trim ? piece.trimStart() : piece });
      trim = false;
      continue;
    }
    const [, before, inside = "", after] = action;
    const last = pieces.at(-1);
    if (before !== undefined && last !== undefined && "text" in last) {
      pieces[pieces.length - 1] = { text: last.text.trimEnd() };
    }
    pieces.push({ action: inside.replaceAll(/\s+/g, " ") });
    trim = after !== undefined;
  }
  return pieces;
}

function operand(action: string): GoNode {
  const bare = /^\((.*)\)$/.exec(action)?.[1]?.trim() ?? action;
  const field = /^\.([A-Za-z_][A-Za-z0-9_]*)$/.exec(bare)?.[1];
  const indexed = /^index \. "([^"\\]+)"$/.exec(bare)?.[1];
  const constant = /^"([^"\\]*)"$/.exec(bare)?.[1];
  const key = field ?? indexed;
  if (key !== undefined) return { key };
  if (constant !== undefined) return { text: constant };
  throw new Malformed(`"{{ ${action} }}" is beyond what can be carried over`);
}

/** The texts of a condition; only texts, because what is chosen by a claim is not to be another claim. */
function branches(pieces: readonly Piece[], from: number) {
  const texts = ["", ""];
  let side = 0;
  for (let at = from; at < pieces.length; at++) {
    const piece = pieces[at] ?? { text: "" };
    if ("text" in piece) {
      texts[side] += piece.text;
      continue;
    }
    if (piece.action === "end")
      return { chosen: texts[0] ?? "", otherwise: texts[1] ?? "", end: at };
    const inner = piece.action === "else" && side === 0 ? null : operand(piece.action);
    if (inner === null) side = 1;
    else if ("text" in inner) texts[side] += inner.text;
    else throw new Malformed(`"{{ ${piece.action} }}": a condition may choose between texts only`);
  }
  throw new Malformed("a condition without {{ end }}");
}
