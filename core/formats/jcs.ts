/** The JSON Canonicalization Scheme, RFC 8785: one text for one value. */
import type { JsonValue } from "./json.ts";
import { Malformed } from "./malformed.ts";

/** @throws {Malformed} on a number that is not finite or a string with a lone surrogate (RFC 8785 §3.2.2.2, §3.2.2.3). */
export function canonicalize(value: JsonValue): string {
  if (value === null) return "null";
  if (typeof value === "string") return text(value);
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value !== "number") return Array.isArray(value) ? array(value) : object(value);
  // ECMAScript's own number-to-string is what §3.2.2.3 demands; "-0" becomes "0".
  if (!Number.isFinite(value)) throw new Malformed("canonical JSON: number is not finite");
  return JSON.stringify(value);
}

function array(values: readonly JsonValue[]): string {
  return `[${values.map(canonicalize).join(",")}]`;
}

function object(value: object): string {
  const members = value as { readonly [name: string]: JsonValue }; // not an array, not null: an object of values
  let all = "";
  // §3.2.3: members sorted by the UTF-16 code units of their names, which is how JavaScript sorts strings.
  for (const name of Object.keys(members).sort()) {
    const member = members[name];
    if (member === undefined) throw new Malformed("canonical JSON: a member without a value");
    all += `${all === "" ? "" : ","}${text(name)}:${canonicalize(member)}`;
  }
  return `{${all}}`;
}

function text(value: string): string {
  if (!value.isWellFormed()) throw new Malformed("canonical JSON: lone surrogate");
  return JSON.stringify(value);
}
