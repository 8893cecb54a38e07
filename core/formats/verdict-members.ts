/** Members of verdicts, taken out of JSON strictly. */
import { decodeHex } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** A JSON object. @throws {Malformed} */
export function members(value: unknown): { readonly [name: string]: unknown } {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Malformed("verdict: expected an object");
  }
  return { ...value };
}

/** A JSON array. @throws {Malformed} */
export function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Malformed("verdict: expected an array");
  return value;
}

/** A JSON string. @throws {Malformed} */
export function text(value: unknown): string {
  if (typeof value !== "string") throw new Malformed("verdict: expected a string");
  return value;
}

/** So many bytes in lower-case hex. @throws {Malformed} */
export function bytesOf(value: unknown, length: number): Uint8Array {
  const bytes = decodeHex(text(value));
  if (bytes.length !== length) throw new Malformed(`verdict: expected ${length} bytes`);
  return bytes;
}
