/**
 * Which URIs an issuer's tokens can put into a certificate, as far as its provider lets them. A name that could lie anywhere is no
 * name; and no two providers may have names in common.
 */
import { Malformed } from "../../core/formats/malformed.ts";
import type { Provider } from "./provider.ts";
import { bind, type Lookup, parseTemplate } from "./template.ts";

/** URIs that begin with `prefix`, or that have any host of the domain. */
export type Namespace = { readonly prefix: string } | { readonly domain: string };

/** Where a URI's authority has ended, nothing a token adds can lead elsewhere. */
const whole = /^[a-z][a-z0-9+.-]*:\/\/[^/]+\//;

/** Null if names are not URIs. @throws {Malformed} if the provider leaves scheme or host to the token. */
export function namespaceOf(provider: Provider, known: Lookup): Namespace | null {
  if (provider.san.kind !== "uri") return null;
  const settle = (template: string) => {
    const [first, second] = bind(parseTemplate(template), known);
    return first !== undefined && second === undefined && "text" in first ? first.text : "";
  };
  let prefix = "";
  for (const part of bind(parseTemplate(provider.san.template), known)) {
    if ("text" in part) {
      prefix += part.text;
      continue;
    }
    const rule = part.space === "claims" ? provider.claims[part.name] : undefined;
    if (rule?.type === "origin" && prefix === "") {
      return {
        domain:
          `${settle("{iss.host}")} ${rule.default === undefined ? "" : settle(rule.default)}`.trim(),
      };
    }
    if (rule?.startsWith !== undefined) prefix += settle(rule.startsWith);
    else if (rule?.within !== undefined) prefix += `${settle(rule.within).replace(/\/$/, "")}/`;
    else if (rule?.equals !== undefined) {
      prefix += settle(rule.equals);
      continue;
    }
    break;
  }
  if (whole.test(prefix)) return { prefix };
  throw new Malformed(
    `provider "${provider.type}": a token could name a URI of anybody: let the name begin with something fixed, or bind the claim with startsWith or within`,
  );
}

/** True if some URI lies in both. */
export function overlap(one: Namespace, other: Namespace): boolean {
  if ("domain" in one)
    return hostsOf(other).some((host) => hostsOf(one).some((own) => near(own, host)));
  if ("domain" in other) return overlap(other, one);
  return one.prefix.startsWith(other.prefix) || other.prefix.startsWith(one.prefix);
}

function hostsOf(namespace: Namespace): string[] {
  if ("prefix" in namespace) return [/^[a-z0-9+.-]+:\/\/([^/]*)/.exec(namespace.prefix)?.[1] ?? ""];
  return namespace.domain.split(" ").map((text) => text.replace(/^https:\/\//, ""));
}

function near(own: string, host: string): boolean {
  const tail = (name: string) => name.replace(/:\d+$/, "").split(".").slice(-2).join(".");
  return tail(own) === tail(host);
}
