/**
 * Strict JSON, RFC 8259 within the limits of I-JSON (RFC 7493): duplicate members, lone surrogates, noncharacters, numbers beyond a double,
 * deep nesting and anything after the value are refused. The input is attacker-controlled; `JSON.parse` would take the first five.
 */
import { decodeUtf8 } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** Any JSON value. */
export type JsonValue =
  null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue };

/** How deep arrays and objects may nest. */
export const maxJsonDepth = 64;

/** Characters a text may have: no body that carries JSON here is larger. */
const maxJsonLength = 16 * 1024 * 1024;

/** @throws {Malformed} as the file's comment says. */
export function parseJson(text: string): JsonValue {
  return parse({ text, at: 0, nul: true });
}

/**
 * {@link parseJsonBytes} for requests: no string in them has a use for U+0000, and whoever reads them later may take it for an end.
 *
 * @throws {Malformed}
 */
export function parseRequestJson(bytes: Uint8Array): JsonValue {
  return parse({ text: decodeUtf8(bytes), at: 0, nul: false });
}

function parse(scanner: Scanner): JsonValue {
  const { text } = scanner;
  if (text.length > maxJsonLength) throw new Malformed("json: too long");
  // One look at the whole is cheaper than one a string; escapes are looked at where they stand.
  checkCharacters(text);
  const value = readValue(scanner, 0);
  skipSpace(scanner);
  if (scanner.at !== text.length) throw unexpected(scanner);
  return value;
}

/** RFC 7493 §2.1. */
function checkCharacters(text: string): void {
  if (!text.isWellFormed()) throw new Malformed("json: lone surrogate");
  if (/\p{Noncharacter_Code_Point}/u.test(text)) throw new Malformed("json: noncharacter");
}

/** {@link parseJson} of UTF-8 without a byte order mark. @throws {Malformed} */
export function parseJsonBytes(bytes: Uint8Array): JsonValue {
  return parseJson(decodeUtf8(bytes));
}

/**
 * {@link parseJsonBytes} for claims, whose numbers are identifiers too: one whose digits say something else than the whole number
 * they are read as is refused, so that no two numbers become one.
 *
 * @throws {Malformed}
 */
export function parseClaimsJson(bytes: Uint8Array): JsonValue {
  return parse({ text: decodeUtf8(bytes), at: 0, nul: false, exact: true });
}

/** Where the parser stands; the one mutable thing here. */
interface Scanner {
  readonly text: string;
  at: number;
  /** Whether a string may hold U+0000. */
  readonly nul: boolean;
  /** Whether a whole number must be exactly the one that is written. */
  readonly exact?: true;
}

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const backslash = 0x5c;
const openArray = 0x5b;
const closeArray = 0x5d;
const openObject = 0x7b;
const closeObject = 0x7d;

function readValue(scanner: Scanner, depth: number): JsonValue {
  skipSpace(scanner);
  switch (scanner.text.charCodeAt(scanner.at)) {
    case quote:
      return readString(scanner);
    case openObject:
      return readObject(scanner, depth + 1);
    case openArray:
      return readArray(scanner, depth + 1);
    case 0x74: // t
      return readWord(scanner, "true", true);
    case 0x66: // f
      return readWord(scanner, "false", false);
    case 0x6e: // n
      return readWord(scanner, "null", null);
    default:
      return readNumber(scanner);
  }
}

function readObject(scanner: Scanner, depth: number): JsonValue {
  if (depth > maxJsonDepth) throw new Malformed("json: nested too deeply");
  const object: { [name: string]: JsonValue } = {};
  scanner.at++;
  if (nextIs(scanner, closeObject)) return object;
  for (;;) {
    skipSpace(scanner);
    if (scanner.text.charCodeAt(scanner.at) !== quote) throw unexpected(scanner);
    const name = readString(scanner);
    if (Object.hasOwn(object, name)) throw new Malformed("json: duplicate member");
    if (!nextIs(scanner, colon)) throw unexpected(scanner);
    setMember(object, name, readValue(scanner, depth));
    if (nextIs(scanner, comma)) continue;
    if (nextIs(scanner, closeObject)) return object;
    throw unexpected(scanner);
  }
}

function setMember(object: { [name: string]: JsonValue }, name: string, value: JsonValue): void {
  if (name !== "__proto__") {
    object[name] = value;
    return;
  }
  // A plain assignment would set the prototype.
  Object.defineProperty(object, name, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

function readArray(scanner: Scanner, depth: number): JsonValue {
  if (depth > maxJsonDepth) throw new Malformed("json: nested too deeply");
  const array: JsonValue[] = [];
  scanner.at++;
  if (nextIs(scanner, closeArray)) return array;
  for (;;) {
    array.push(readValue(scanner, depth));
    if (nextIs(scanner, comma)) continue;
    if (nextIs(scanner, closeArray)) return array;
    throw unexpected(scanner);
  }
}

/** RFC 8259 §7; a string that needs no decoding is a slice. */
function readString(scanner: Scanner): string {
  const { text } = scanner;
  const start = scanner.at;
  let plain = true;
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      scanner.at = at + 1;
      return plain
        ? text.slice(start + 1, at)
        : decodeEscapes(text.slice(start, at + 1), scanner.nul);
    }
    if (code < 0x20) throw new Malformed("json: control character in a string");
    if (code === backslash) {
      plain = false;
      at++;
    }
  }
  throw new Malformed("json: string does not end");
}

function decodeEscapes(quoted: string, nul: boolean): string {
  let value: unknown;
  try {
    value = JSON.parse(quoted);
  } catch (cause) {
    throw new Malformed("json: escape in a string", { cause });
  }
  if (typeof value !== "string") throw new Malformed("json: escape in a string");
  checkCharacters(value);
  if (!nul && value.includes("\0")) throw new Malformed("json: U+0000 in a string");
  return value;
}

function readNumber(scanner: Scanner): number {
  // Made anew each time, because a sticky expression carries state.
  const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
  number.lastIndex = scanner.at;
  const digits = number.exec(scanner.text)?.[0];
  if (digits === undefined) throw unexpected(scanner);
  scanner.at += digits.length;
  const value = Number(digits);
  if (!Number.isFinite(value)) throw new Malformed("json: number too large");
  if (scanner.exact === true && Number.isInteger(value) && !isExact(digits, value)) {
    throw new Malformed("json: number is not exact");
  }
  return value;
}

/** True if the digits write exactly this whole number. A double's range bounds the exponent that is raised here. */
function isExact(digits: string, value: number): boolean {
  if (Number.isSafeInteger(value) && /^-?[0-9]+$/.test(digits)) return true;
  const [, sign = "", whole = "", fraction = "", power = "0"] =
    /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(digits) ?? [];
  const significant = `${whole}${fraction}`.replace(/0+$/, "");
  if (/^0*$/.test(significant)) return true;
  const scale =
    Number(power) - fraction.length + (whole.length + fraction.length - significant.length);
  return scale >= 0 && BigInt(`${sign}${significant}`) * 10n ** BigInt(scale) === BigInt(value);
}

function readWord<Value>(scanner: Scanner, word: string, value: Value): Value {
  if (!scanner.text.startsWith(word, scanner.at)) throw unexpected(scanner);
  scanner.at += word.length;
  return value;
}

/** Skips white space and, if `code` is next, that too. */
function nextIs(scanner: Scanner, code: number): boolean {
  skipSpace(scanner);
  if (scanner.text.charCodeAt(scanner.at) !== code) return false;
  scanner.at++;
  return true;
}

function skipSpace(scanner: Scanner): void {
  for (;;) {
    const code = scanner.text.charCodeAt(scanner.at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
    scanner.at++;
  }
}

function unexpected(scanner: Scanner): Malformed {
  return scanner.at >= scanner.text.length
    ? new Malformed("json: text ends too early")
    : new Malformed(`json: unexpected character at ${scanner.at}`);
}
