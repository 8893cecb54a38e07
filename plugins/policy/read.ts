/** A policy's text: YAML 1.2 without its traps (no duplicate keys, no anchors, no tags), held strictly against the schema. */
import * as v from "valibot";
import { parseDocument } from "yaml";
import { Malformed } from "../../core/formats/malformed.ts";
import { type Policy, policySchema } from "./document.ts";

/** @throws {Malformed} that says where and what. */
export function parsePolicy(text: string): Policy {
  return accept(policySchema, parseYaml(text));
}

/** @throws {Malformed} */
export function parseYaml(text: string): unknown {
  const document = parseDocument(text, { version: "1.2", uniqueKeys: true, strict: true });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new Malformed(problem.message.split("\n")[0] ?? "not YAML");
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw new Malformed("anchors and aliases are not used here: write it out", { cause });
  }
}

/** @throws {Malformed} naming the first place that does not fit the schema. */
export function accept<S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> {
  const checked = v.safeParse(schema, value);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  throw new Malformed(`${v.getDotPath(issue) ?? "(root)"}: ${issue.message}`);
}
