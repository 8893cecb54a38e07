/** Query strings and numbers in them, strictly: WHATWG URL §5 forms without repeats and without a second spelling of any value. */
import { Malformed } from "../../core/formats/malformed.ts";

/** Decoded parameters by name. */
export type Parameters = ReadonlyMap<string, string>;

const maxQueryLength = 4_096;
const maxParameters = 32;
const none: Parameters = new Map();

/** Decodes a query or a form body. @throws {Malformed} on a repeated name or a broken escape. */
export function parseParameters(text: string): Parameters {
  if (text === "") return none;
  if (text.length > maxQueryLength || !/^[!-~]*$/.test(text))
    throw new Malformed("query: characters");
  const parts = text.split("&", maxParameters + 1);
  if (parts.length > maxParameters) throw new Malformed("query: too many parameters");
  const parameters = new Map<string, string>();
  for (const part of parts) {
    const equals = part.indexOf("=");
    const name = unescape(equals < 0 ? part : part.slice(0, equals));
    if (parameters.has(name)) throw new Malformed("query: a parameter is repeated");
    parameters.set(name, equals < 0 ? "" : unescape(part.slice(equals + 1)));
  }
  return parameters;
}

/** Decimal, not negative, without leading zeros, below 2^63. @throws {Malformed} */
export function parseUint(text: string | undefined): bigint {
  if (text === undefined || !/^(?:0|[1-9][0-9]{0,18})$/.test(text))
    throw new Malformed("not a number");
  const value = BigInt(text);
  if (value >= 2n ** 63n) throw new Malformed("number too large");
  return value;
}

function unescape(text: string): string {
  let value: string;
  try {
    value = decodeURIComponent(text.replaceAll("+", " "));
  } catch (cause) {
    throw new Malformed("query: broken escape", { cause });
  }
  if (value.includes("\0")) throw new Malformed("query: U+0000");
  return value;
}
