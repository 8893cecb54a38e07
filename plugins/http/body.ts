/** Reading JSON bodies whose members nobody has vouched for. */
import { type JsonValue, parseRequestJson } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";

/** The members of a JSON object. Absent ones read as undefined, inherited ones do not exist. */
export type Members = { readonly [name: string]: JsonValue | undefined };

/** The JSON object a body holds. @throws {Malformed} */
export function parseMembers(body: Uint8Array): Members {
  return members(parseRequestJson(body));
}

/** `value` as an object. @throws {Malformed} if it is none. */
export function members(value: JsonValue | undefined): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Malformed("json: expected an object");
  }
  // Without a prototype, so that a name such as "constructor" finds nothing.
  return Object.assign(Object.create(null), value);
}

/** `value` as an array; absent and null are empty. @throws {Malformed} if it is neither. */
export function list(value: JsonValue | undefined): readonly JsonValue[] {
  if (value === undefined || value === null) return [];
  if (!isList(value)) throw new Malformed("json: expected an array");
  return value;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
