/** Claims as text: exactly what the token said, or a refusal. The values are attacker-chosen within what the issuer signs. */
import { isEmailAddress } from "../../core/formats/email.ts";
import type { JsonValue } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { type Claims, isObject } from "./id-token.ts";
import type { ClaimRule } from "./provider.ts";

/** The longest subject and the longest name. */
export const maxNameLength = 2_048;
/** The longest value of an extension. */
export const maxExtensionLength = 1_024;

/** RFC 3986 §3.3: characters of a path segment, without the colon that separates within one, and without encoded ones. */
const word = /^[A-Za-z0-9._~!$&'()*+,;=@-]+$/;
const path = /^(?!\/)(?:[A-Za-z0-9._~!$&'()*+,;=:@/#-]|%[0-9A-Fa-f]{2})+$/;
const dots = /(?:^|\/)(?:\.|%2[eE]){1,2}(?:\/|$)/;
const uri = /^[a-z][a-z0-9+.-]*:\/\/(?:[A-Za-z0-9._~:/?#[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$/;
const origin = /^https:\/\/[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?$/;
/** Hangul fillers and the combining grapheme joiner show nothing although they are letters or marks to Unicode. */
const blank = /[\u034f\u115f\u1160\u3164\uffa0]/;

/** The value at a place of the token; undefined if there is none. Own members only. */
export function valueAt(claims: Claims, place: readonly string[]): JsonValue | undefined {
  let value: JsonValue | undefined = claims;
  for (const name of place) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** A claim as text of its type: null if it is absent or empty. @throws {Malformed} if it is anything else. */
export function claimText(claims: Claims, name: string, rule: ClaimRule): string | null {
  return asText(valueAt(claims, rule.at ?? [name]), name, rule);
}

/** A value as text of a claim's type: null if there is none or it is empty. @throws {Malformed} if it is anything else. */
export function asText(value: JsonValue | undefined, name: string, rule: ClaimRule): string | null {
  if (value === undefined || value === null || value === "") return null;
  const text = rule.type === "flag" ? flag(value) : plain(value);
  if (text === null) throw new Malformed(`id token: claim "${name}" is not text`);
  checkText(text, `claim "${name}"`, maxNameLength);
  if (!fits(text, rule.type)) {
    throw new Malformed(`id token: claim "${name}" is not of type ${rule.type}`);
  }
  return text;
}

/** Refuses text in which a reader could see something else than a machine compares. */
export function checkText(text: string, what: string, maxLength: number): string {
  if (text.length === 0 || text.length > maxLength) {
    throw new Malformed(`id token: length of ${what}`);
  }
  // Most claims are printable ASCII, which is all of that at one look.
  if (/^[!-~](?:[ -~]*[!-~])?$/.test(text)) return text;
  // \p{C}: controls, bidirectional and zero-width formatting, surrogates, private use, unassigned.
  const hidden = /[\p{C}\p{Zl}\p{Zp}]/u.test(text) || blank.test(text);
  if (hidden || text.trim() !== text || text.normalize("NFC") !== text) {
    throw new Malformed(`id token: ${what} has invisible or ambiguous characters`);
  }
  return text;
}

/** True for an absolute URI of RFC 3986 characters. */
export function isUri(text: string): boolean {
  return text.length <= maxNameLength && uri.test(text);
}

function plain(value: JsonValue): string | null {
  if (typeof value === "string") return value;
  // Beyond 2^53 neighbouring numbers look alike, and minus zero is not written as it is: such a number names nobody.
  const exact = typeof value === "number" && Number.isSafeInteger(value) && !Object.is(value, -0);
  return exact ? String(value) : null;
}

function flag(value: JsonValue): string | null {
  if (value === true || value === "true") return "true";
  return value === false || value === "false" ? "false" : null;
}

function fits(text: string, type: ClaimRule["type"]): boolean {
  switch (type) {
    case "text":
    case "flag":
      return true;
    case "word":
      return word.test(text) && !dots.test(text);
    case "path":
      return path.test(text) && !dots.test(text);
    case "uri":
      return isUri(text);
    case "email":
      return isEmailAddress(text);
    case "origin":
      return origin.test(text);
  }
}
