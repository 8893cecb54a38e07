/**
 * Reading Protobuf's JSON form (protobuf.dev/programming-guides/json, proto3) strictly: members in lowerCamelCase, unknown members
 * refused, bytes in standard base64, 64-bit integers as strings. `null` means absent, as the specification has it.
 */
import { decodeBase64 } from "./encoding.ts";
import type { JsonValue } from "./json.ts";
import { Malformed } from "./malformed.ts";

/** A JSON value that may be missing. */
export type Field = JsonValue | undefined;

/**
 * The members of an object, of which each must be among `names`; null members come back as undefined.
 *
 * @param where names the object in the error.
 * @throws {Malformed} if `value` is no object or has a member that is not in `names`.
 */
export function readMembers<const Names extends readonly string[]>(
  value: Field,
  where: string,
  names: Names,
): Readonly<Record<Names[number], Field>> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Malformed(`${where}: expected an object`);
  }
  const members: Record<string, Field> = {};
  for (const name of names) members[name] = undefined;
  for (const [name, member] of Object.entries(value)) {
    if (!names.includes(name))
      throw new Malformed(`${where}: unknown field "${name.slice(0, 64)}"`);
    if (member !== null) members[name] = member;
  }
  return members as Record<Names[number], Field>; // exactly the listed names were set above
}

/** @throws {Malformed} unless `value` is a string that is not empty. */
export function readText(value: Field, where: string): string {
  if (typeof value !== "string" || value === "") throw new Malformed(`${where}: expected text`);
  return value;
}

/** Text that may be missing or empty, which Protobuf does not tell apart. @throws {Malformed} if it is no string. */
export function readOptionalText(value: Field, where: string): string {
  return value === undefined || value === "" ? "" : readText(value, where);
}

/** @throws {Malformed} unless `value` is the base64 of at least one byte. */
export function readBytes(value: Field, where: string): Uint8Array {
  try {
    return decodeBase64(readText(value, where));
  } catch (cause) {
    throw new Malformed(`${where}: expected base64`, { cause });
  }
}

/**
 * As {@link readBytes}, in every spelling Protobuf's JSON form allows: the standard or the URL-safe alphabet, with padding or without.
 *
 * @throws {Malformed} unless `value` is one of them, of at least one byte.
 */
export function readAnyBytes(value: Field, where: string): Uint8Array {
  const text = readText(value, where);
  const standard = /[-_]/.test(text) ? fromUrlSafe(text, where) : text;
  const isPadded = standard.includes("=");
  return readBytes(
    isPadded ? standard : standard.padEnd(Math.ceil(standard.length / 4) * 4, "="),
    where,
  );
}

function fromUrlSafe(text: string, where: string): string {
  if (/[+/]/.test(text)) throw new Malformed(`${where}: expected one alphabet of base64`);
  return text.replaceAll("-", "+").replaceAll("_", "/");
}

/** A 64-bit integer that must not be negative; a string in canonical form, or a small number. Missing means 0, as in Protobuf. */
export function readInt64(value: Field, where: string): bigint {
  if (value === undefined) return 0n;
  const text = typeof value === "number" && Number.isSafeInteger(value) ? String(value) : value;
  if (typeof text !== "string" || !/^(0|[1-9][0-9]{0,18})$/.test(text)) {
    throw new Malformed(`${where}: expected an integer that is not negative`);
  }
  const integer = BigInt(text);
  if (integer >= 1n << 63n) throw new Malformed(`${where}: does not fit 64 bits`);
  return integer;
}

/** A list of at most `max` items; missing means empty. The limit is applied before any item is looked at. @throws {Malformed} */
export function readList(value: Field, where: string, max: number): readonly JsonValue[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new Malformed(`${where}: expected a list`);
  if (value.length > max) throw new Malformed(`${where}: more than ${max} items`);
  return value;
}

const rfc3339 = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?Z$/;

/** An RFC 3339 time in UTC; digits below a millisecond are dropped. @throws {Malformed} */
export function readTimestamp(value: Field, where: string): Date {
  const [, seconds, fraction = ""] = rfc3339.exec(readText(value, where)) ?? [];
  const time = new Date(`${seconds}.${fraction.padEnd(3, "0").slice(0, 3)}Z`);
  // The second half refuses 31 February, which Date rolls over.
  if (
    seconds === undefined ||
    Number.isNaN(time.getTime()) ||
    !time.toISOString().startsWith(seconds)
  ) {
    throw new Malformed(`${where}: expected a time such as 2026-01-01T00:00:00Z`);
  }
  return time;
}

/** RFC 3339 in UTC, without a fraction where it is zero. */
export function formatTimestamp(time: Date): string {
  return time.toISOString().replace(".000Z", "Z");
}
