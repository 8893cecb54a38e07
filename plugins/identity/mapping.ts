/**
 * From verified claims to the principal that goes into the certificate, by a provider's data. Whatever does not depend on the token
 * is worked out when the issuer is configured; a request fills in the claims.
 */
import { isEmailAddress } from "../../core/formats/email.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Principal, Provenance } from "../../events/identity.ts";
import { assuranceOf } from "./assurance.ts";
import { checkText, claimText, isUri, maxExtensionLength, maxNameLength } from "./claim-text.ts";
import { compileRule, type ReadClaim } from "./claim-rules.ts";
import type { Claims } from "./id-token.ts";
import type { Variables } from "./issuer-pattern.ts";
import type { ClaimRule, Provider, Setting } from "./provider.ts";
import { bind, fill, type Lookup, parseTemplate, type Part, settled } from "./template.ts";

/** What an issuer's configuration fixes for its provider. */
export interface Binding {
  readonly issuerUrl: string;
  readonly base: string;
  readonly variables: Variables;
  readonly settings: { readonly [name in Setting]?: string | undefined };
  /** The operator answers for the addresses the issuer states, though the token does not say that they were verified. */
  readonly trustMail: boolean;
  /** Domains that addresses must lie in; null is any. */
  readonly mailDomains: readonly string[] | null;
  /** Issuers for which it may speak; null is any. */
  readonly federates: readonly string[] | null;
}

/** What a token means. */
export interface Mapped {
  readonly principal: Principal;
  readonly assurance: Provenance["assurance"];
  readonly facets: Provenance["facets"];
}

/** Maps verified claims. @throws {Malformed} with the reason. */
export type Mapping = (claims: Claims) => Mapped;

const subjectRule = { type: "text", required: true } as const;

/** @throws {Malformed} if the provider or what the operator configured cannot work. */
export function compileMapping(provider: Provider, binding: Binding): Mapping {
  const known = fixedOf(provider, binding);
  const compile = (template: string) => bind(parseTemplate(template), known);
  const declared: Provider["claims"] = { sub: subjectRule, ...provider.claims };
  const readers = Object.entries(declared).map(([name, rule]) => readerOf(name, rule, compile));
  const choices = Object.entries(provider.choices ?? {}).map(([name, choice]) => ({
    ...choice,
    name,
    parts: compile(choice.of),
    cases: new Map(Object.entries(choice.cases)),
  }));
  const san = compile(provider.san.template);
  const issuer = compile(provider.issuer ?? "{iss}");
  const extensions = provider.extensions.map(({ arc, template }) => ({
    arc,
    parts: compile(template),
  }));
  const facets = Object.entries(provider.facets ?? {}).map(([name, template]) => ({
    name,
    parts: compile(template),
  }));

  return (claims) => {
    // OpenID Connect Core §2 has it a string: a number in its place is another issuer's idea of a token.
    if (typeof claims["sub"] !== "string") throw new Malformed("id token: no subject");
    const texts = new Map<string, string | null>();
    for (const { name, read } of readers) texts.set(name, read(claims));
    const lookup = lookupIn(texts, choices, provider.derive?.(claims));
    for (const { name, read, later } of readers) {
      if (later !== null && texts.get(name) === null)
        texts.set(name, read(claims, fill(later, lookup)));
    }
    checkMail(claims, texts.get("email") ?? null, provider, binding);
    const subject = texts.get("sub") ?? "";
    const name = checkName(fill(san, lookup), provider.san.kind);
    return {
      principal: {
        oidcIssuer: checkIssuer(fill(issuer, lookup), binding),
        subject,
        challenge: challengeOf(claims, provider.challenge, subject),
        san: { kind: provider.san.kind, value: name },
        extensions: extensions.flatMap(({ arc, parts }) => {
          const value = fill(parts, lookup);
          if (value === null || value === "") return [];
          return [{ arc, value: checkText(value, `extension ${arc}`, maxExtensionLength) }];
        }),
      },
      assurance: assuranceOf(claims, provider.assurance),
      facets: facets.flatMap(({ name: facet, parts }) => {
        const value = fill(parts, lookup);
        if (value === null || value === "") return [];
        return [{ name: facet, value: checkText(value, `facet "${facet}"`, maxExtensionLength) }];
      }),
    };
  };
}

/** Reads one claim; `later` is its default where that is another claim, which is not known before the token is. */
function readerOf(
  name: string,
  rule: ClaimRule,
  compile: (template: string) => readonly Part[],
): { readonly name: string; readonly read: ReadClaim; readonly later: readonly Part[] | null } {
  const { default: otherwise, ...bare } = rule;
  const parts = otherwise === undefined ? [] : compile(otherwise);
  const isLate = parts.some((part) => "space" in part);
  const settle = (template: string) => settled(compile(template), `claim "${name}"`);
  return {
    name,
    read: compileRule(name, isLate ? bare : rule, settle),
    later: isLate ? parts : null,
  };
}

/** What is known before any token is. @throws {Malformed} on a reference to something that does not exist: the provider's mistake. */
export function fixedOf(provider: Provider, binding: Binding): Lookup {
  const { issuerUrl, base, variables, settings } = binding;
  const url = new URL(issuerUrl);
  const parts: Variables = { ...variables, host: url.host, origin: url.origin };
  return (space, name) => {
    const missing = () =>
      new Malformed(`provider "${provider.type}": there is no {${space}.${name}}`);
    const from = (values: { readonly [name: string]: unknown }): string => {
      const value = Object.hasOwn(values, name) ? values[name] : undefined;
      if (typeof value !== "string") throw missing();
      return value;
    };
    switch (space) {
      case "base":
        return base;
      case "iss":
        return name === "" ? issuerUrl : from(parts);
      case "const":
        return from(provider.constants ?? {});
      case "config":
        return from(settings);
      case "claims":
        if (name !== "sub" && !Object.hasOwn(provider.claims, name)) throw missing();
        return null;
      case "choice":
        if (!Object.hasOwn(provider.choices ?? {}, name)) throw missing();
        return null;
      default:
        if (provider.derive === undefined) throw missing();
        return null;
    }
  };
}

type Choices = readonly {
  readonly name: string;
  readonly parts: readonly Part[];
  readonly cases: ReadonlyMap<string, string>;
  readonly otherwise?: string;
}[];

function lookupIn(
  texts: ReadonlyMap<string, string | null>,
  choices: Choices,
  derived: { readonly [name: string]: string } = {},
): Lookup {
  const lookup: Lookup = (space, name) => {
    if (space === "claims") return texts.get(name) ?? null;
    if (space === "derived") return derivedText(derived, name);
    const choice = choices.find((one) => one.name === name);
    const value = choice === undefined ? null : fill(choice.parts, lookup);
    if (choice === undefined || value === null) return null;
    const chosen = choice.cases.get(value) ?? choice.otherwise;
    if (chosen === undefined) throw new Malformed(`id token: "${name}" cannot be decided`);
    return chosen;
  };
  return lookup;
}

function derivedText(derived: { readonly [name: string]: string }, name: string): string | null {
  const value: unknown = Object.hasOwn(derived, name) ? derived[name] : null;
  if (value === null || value === "") return null;
  if (typeof value !== "string") throw new Malformed(`provider: derived "${name}" is not text`);
  return checkText(value, `derived "${name}"`, maxNameLength);
}

/** True or the string "true", which some issuers write; nothing else counts as a yes. */
function checkMail(
  claims: Claims,
  address: string | null,
  { mail }: Provider,
  { trustMail, mailDomains }: Binding,
): void {
  if (mail === undefined || address === null) return;
  const verified = Object.hasOwn(claims, mail.verifiedBy) ? claims[mail.verifiedBy] : undefined;
  // An operator's word takes the place of a missing statement, not of a denial.
  const stated = verified === true || verified === "true" || (trustMail && verified === undefined);
  if (!stated) throw new Malformed("id token: the e-mail address is not verified");
  const domain = address.slice(address.lastIndexOf("@") + 1).toLowerCase();
  if (mailDomains !== null && !mailDomains.includes(domain)) {
    throw new Malformed("id token: the e-mail address is of a domain that is not accepted");
  }
}

function checkIssuer(issuer: string | null, { issuerUrl, federates }: Binding): string {
  if (issuer === null) throw new Malformed("id token: does not say whose issuer it speaks for");
  if (issuer !== issuerUrl && federates !== null && !federates.includes(issuer)) {
    throw new Malformed("id token: speaks for an issuer it may not speak for");
  }
  return checkText(issuer, "issuer", maxNameLength);
}

const emailRule = { type: "email" } as const;

function challengeOf(claims: Claims, kind: Provider["challenge"], subject: string): string {
  const email = kind === "sub" ? null : claimText(claims, "email", emailRule);
  if (email === null && kind === "email") throw new Malformed("id token: no e-mail address");
  return email ?? subject;
}

/** rfc822Name and uniformResourceIdentifier are IA5Strings (RFC 5280 §4.2.1.6); the second must be a URI of RFC 3986 characters. */
function checkName(name: string | null, kind: Provider["san"]["kind"]): string {
  if (name === null || name === "") throw new Malformed("id token: names nobody");
  checkText(name, "name", maxNameLength);
  const acceptable = kind === "uri" ? isUri(name) : kind === "otherName" || isEmailAddress(name);
  if (!acceptable) throw new Malformed(`id token: the name is not an acceptable ${kind}`);
  return name;
}
