/** Rules of claims beyond their type, compiled once an issuer. */
import { Malformed } from "../../core/formats/malformed.ts";
import { asText, valueAt } from "./claim-text.ts";
import type { Claims } from "./id-token.ts";
import type { ClaimRule } from "./provider.ts";

/** Reads one claim: null if it is absent. `instead` is what an absent one counts as in this token, and is held to the same. @throws {Malformed} */
export type ReadClaim = (claims: Claims, instead?: string | null) => string | null;

/** `settle` gives the text of a template that has no claims in it. */
export function compileRule(
  name: string,
  rule: ClaimRule,
  settle: (template: string) => string,
): ReadClaim {
  const startsWith = rule.startsWith === undefined ? null : settle(rule.startsWith);
  const equals = rule.equals === undefined ? null : settle(rule.equals);
  const within = rule.within === undefined ? null : settle(rule.within);
  const fallback = rule.default === undefined ? null : settle(rule.default);
  const domain = rule.type === "origin" ? parentDomain(settle("{iss.host}")) : "";
  const refuse = (why: string) => new Malformed(`id token: claim "${name}" ${why}`);
  const place = rule.at ?? [name];
  return (claims, instead = null) => {
    const text = asText(valueAt(claims, place), name, rule) ?? asText(instead, name, rule);
    if (text === null) {
      if (rule.required === true) throw new Malformed(`id token: no claim "${name}"`);
      return fallback;
    }
    if (text === fallback && rule.type === "origin") return text;
    if (rule.type === "origin" && !isBelow(text, domain)) throw refuse("is of another domain");
    if (equals !== null && text !== equals) throw refuse("is not the issuer's");
    if (startsWith !== null && (!text.startsWith(startsWith) || text === startsWith)) {
      throw refuse("lies outside the issuer's names");
    }
    if (within !== null && !isWithin(text, within))
      throw refuse("lies outside the issuer's domain");
    if (rule.oneOf !== undefined && !rule.oneOf.includes(text)) throw refuse("has no known value");
    if (rule.without?.some((part) => text.includes(part)) === true) {
      throw refuse("has something in it that it must not have");
    }
    return text;
  };
}

/** A URI with exactly the scheme and host of `allowed`, spelled as that spells them, and no user information. */
function isWithin(text: string, allowed: string): boolean {
  if (!URL.canParse(text) || !URL.canParse(allowed)) return false;
  const { protocol, host, username, password } = new URL(text);
  const limit = new URL(allowed);
  const own = protocol === limit.protocol && host === limit.host && username + password === "";
  const start = `${protocol}//${host}`;
  return own && text.startsWith(start) && /^(?:[/?#]|$)/.test(text.slice(start.length));
}

/** The domain an issuer's siblings are in: its host without the first label, unless hardly anything would be left. */
function parentDomain(host: string): string {
  const name = host.replace(/:\d+$/, "");
  const labels = name.split(".");
  return labels.length > 2 && !/^[\d.]+$/.test(name) ? labels.slice(1).join(".") : name;
}

function isBelow(origin: string, domain: string): boolean {
  const { hostname } = new URL(origin);
  return hostname === domain || hostname.endsWith(`.${domain}`);
}
