/**
 * Issuers' addresses: exact URLs and URI templates. A template is matched piece by piece against a URL that is plain to begin with,
 * so that neither a query, a fragment, user information nor another spelling of a host can pass for a variable.
 */
import { Malformed } from "../../core/formats/malformed.ts";

/** What the variables of a pattern stood for. */
export type Variables = { readonly [name: string]: string };

/** `scheme://host[:port][/path]` and nothing else: lower-case labels, no empty, dot or encoded segment but a trailing slash. */
const plainUrl =
  /^https?:\/\/(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[1-9][0-9]{0,4})?(?:\/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*\/?$/;
const dotSegment = /\/\.{1,2}(?=\/|$)/;
const variable = /\{([a-z][a-z0-9_]*)\}/;
const one = "[-_A-Za-z0-9]+";
const authority = "[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?";

/** True for a URL that an issuer may have. */
export function isPlainIssuer(url: string): boolean {
  return url.length <= 2_048 && plainUrl.test(url) && !dotSegment.test(url);
}

/** True if the text has variables. */
export function isPattern(text: string): boolean {
  return variable.test(text);
}

/** Matches whole URLs; null is no match. */
export type IssuerMatch = (url: string) => Variables | null;

/** @throws {Malformed} unless it is an absolute URL with variables in their places. */
export function compilePattern(pattern: string): IssuerMatch {
  const names: string[] = [];
  const pieces = pattern.split(/(\{[^{}]*\})/);
  const source = pieces
    .map((piece) => {
      if (!piece.startsWith("{")) return piece.replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`);
      const name = variable.exec(piece)?.[1];
      if (name === undefined || names.includes(name)) {
        throw new Malformed(`issuer "${pattern}": "${piece}" is not a variable of its own`);
      }
      names.push(name);
      return `(${name === "host" ? authority : one})`;
    })
    .join("");
  const probe = pieces.map((piece) => (piece.startsWith("{") ? "x1" : piece)).join("");
  if (!isPlainIssuer(probe)) throw new Malformed(`issuer "${pattern}": not a plain URL`);
  const whole = new RegExp(`^${source}$`);
  return (url) => {
    if (!isPlainIssuer(url)) return null;
    const found = whole.exec(url);
    if (found === null) return null;
    return Object.fromEntries(names.map((name, at) => [name, found[at + 1] ?? ""]));
  };
}

/** Same host, or the same last two labels: an issuer speaks for its own domain only. */
export function related(issuerHost: string, host: string): boolean {
  if (issuerHost === host) return true;
  if (/^[\d.]+$/.test(host) || /^[\d.]+$/.test(issuerHost)) return false;
  const tail = (name: string) => name.split(".").slice(-2).join(".");
  return tail(issuerHost) === tail(host) && tail(host).includes(".");
}
