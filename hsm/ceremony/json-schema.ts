/** The JSON Schema (draft 2020-12) of ceremony scripts, for editors and reviewers: derived from the schema that the engine parses with. */
import type * as v from "valibot";
import { scriptSchema } from "./schema.ts";

type Schema = v.GenericSchema;
interface Node {
  readonly [member: string]: unknown;
}

/** The published schema. A number cannot be a parameter; a string may be one. */
export function scriptJsonSchema(): string {
  const schema = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Chancery ceremony script, version 1",
    ...node(scriptSchema),
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

/** The kinds of schema that scripts use, with the members that this reads. */
type Known =
  | { readonly type: "string" | "number" }
  | { readonly type: "literal"; readonly literal: string | number }
  | { readonly type: "picklist"; readonly options: readonly string[] }
  | { readonly type: "array"; readonly item: Schema }
  | { readonly type: "optional"; readonly wrapped: Schema }
  | { readonly type: "union" | "variant"; readonly options: readonly Schema[] }
  | { readonly type: "strict_object"; readonly entries: { readonly [name: string]: Schema } };

function node(schema: Schema): Node {
  // Valibot tells the kind in `type` and nothing else is read; a kind that is not known ends in an error below.
  const known = schema as unknown as Known;
  const constraints = pipe(schema).map((action) => constraint(action, known.type === "array"));
  return Object.assign({}, kind(known), ...constraints) as Node;
}

function kind(known: Known): Node {
  switch (known.type) {
    case "string":
    case "number":
      return { type: known.type };
    case "literal":
      return { const: known.literal };
    case "picklist":
      return { enum: known.options };
    case "array":
      return { type: "array", items: node(known.item) };
    case "optional":
      return node(known.wrapped);
    case "union":
    case "variant":
      return { anyOf: known.options.map(node) };
    case "strict_object":
      return {
        type: "object",
        additionalProperties: false,
        required: Object.keys(known.entries).filter(
          (name) => known.entries[name]?.type !== "optional",
        ),
        properties: Object.fromEntries(
          Object.entries(known.entries).map(([name, entry]) => [name, node(entry)]),
        ),
      };
  }
}

interface Action {
  readonly type: string;
  readonly requirement?: unknown;
}

function pipe(schema: Schema): readonly Action[] {
  return "pipe" in schema ? pieces(schema.pipe) : [];
}

function pieces(parts: unknown): readonly Action[] {
  if (!Array.isArray(parts)) return [];
  const [root, ...rest] = parts as readonly (Action & { readonly kind: string })[];
  // A pipe may begin with another pipe.
  const inner = root && "pipe" in root ? pieces(root.pipe) : [];
  return [...inner, ...rest];
}

function constraint({ type, requirement }: Action, isList: boolean): Node {
  const unit = isList ? "Items" : "Length";
  switch (type) {
    case "integer":
      return { type: "integer" };
    case "min_value":
      return { minimum: requirement };
    case "max_value":
      return { maximum: requirement };
    case "min_length":
      return { [`min${unit}`]: requirement };
    case "max_length":
      return { [`max${unit}`]: requirement };
    case "regex":
      return requirement instanceof RegExp ? { pattern: requirement.source } : {};
    case "ip":
      return { anyOf: [{ format: "ipv4" }, { format: "ipv6" }] };
    default:
      throw new Error(`scripts use "${type}", which the published schema cannot say`);
  }
}
