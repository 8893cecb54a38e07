/** The issuers an installation accepts: each with its provider, its mapping and its keys, found by the exact `iss` of a token. */
import { createHash } from "node:crypto";
import { canonicalize } from "../../core/formats/jcs.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import type { JsonValue } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Provenance } from "../../events/identity.ts";
import { compileMapping, fixedOf, type Binding, type Mapping } from "./mapping.ts";
import {
  compilePattern,
  isPattern,
  isPlainIssuer,
  related,
  type Variables,
} from "./issuer-pattern.ts";
import type { IssuerConfig } from "./manifest.ts";
import { type Namespace, namespaceOf, overlap } from "./namespaces.ts";
import type { IssuerPattern, Provider, Setting } from "./provider.ts";
import { bind, parseTemplate, settled } from "./template.ts";

/** A provider with what is recorded of it. */
export interface KnownProvider {
  readonly provider: Provider;
  /** SHA-256 of its file, or of its canonical JSON. */
  readonly sha256: Uint8Array;
}

/** An issuer whose tokens are accepted. */
export interface Issuer {
  readonly config: IssuerConfig;
  /** Exactly `iss`. */
  readonly url: string;
  readonly provider: Provider;
  readonly map: Mapping;
  /** The origin of its key set where that is not its own. */
  readonly jwksOrigin: string | undefined;
  readonly recorded: Pick<Provenance, "provider" | "providerVersion" | "mappingSha256">;
}

/** Where issuers are looked up. */
export interface Issuers {
  /** Null for one that is not accepted. Nothing is fetched, and nothing but the text decides. */
  find(url: string): Issuer | null;
  /** As configured, templates as such. */
  readonly configured: readonly { readonly config: IssuerConfig; readonly provider: Provider }[];
}

/** Concrete issuers of templates that are remembered; those that were configured by their URL are never forgotten. */
const maxRemembered = 100;

/** What is recorded of a provider of this tree. */
export function known(provider: Provider): KnownProvider {
  // Providers of this tree are JSON values: `derive` is for files from outside, which are hashed as files.
  const text = canonicalize({ ...provider } as unknown as JsonValue);
  return {
    provider,
    sha256: new Uint8Array(createHash("sha256").update(encodeUtf8(text)).digest()),
  };
}

/** @throws {Malformed} naming the issuer that cannot work, and why. */
export function createIssuers(
  configs: readonly IssuerConfig[],
  providers: readonly KnownProvider[],
): Issuers {
  const exact = new Map<string, Issuer>();
  const templates: { match: (url: string) => Variables | null; make: (url: string) => Issuer }[] =
    [];
  const configured: { config: IssuerConfig; provider: Provider; namespace: Namespace | null }[] =
    [];
  for (const config of configs) {
    if (configured.some((one) => one.config.issuerUrl === config.issuerUrl)) {
      throw new Malformed(`issuer ${config.issuerUrl} is listed twice`);
    }
    const found = providerFor(config, providers);
    const template = isPattern(config.issuerUrl);
    if (template) refuseForTemplates(config, found.provider);
    // A template is tried with a host that cannot be, so that what cannot work fails now.
    const sample = template
      ? config.issuerUrl.replaceAll(/\{[a-z0-9_]*\}/g, "x1")
      : config.issuerUrl;
    const { issuer, namespace } = makeIssuer(config, sample, found);
    if (!template) exact.set(config.issuerUrl, issuer);
    else {
      const make = (url: string) => makeIssuer(config, url, found).issuer;
      templates.push({ match: compilePattern(config.issuerUrl), make });
    }
    configured.push({ config, provider: found.provider, namespace });
  }
  refuseSharedNames(configured);
  const remembered = new Map<string, Issuer>();
  return {
    configured,
    find(url) {
      const issuer = exact.get(url) ?? remembered.get(url);
      if (issuer !== undefined) return issuer;
      const template = templates.find(({ match }) => match(url) !== null);
      if (template === undefined) return null;
      const made = template.make(url);
      const [oldest] = remembered.keys();
      if (remembered.size >= maxRemembered && oldest !== undefined) remembered.delete(oldest);
      remembered.set(url, made);
      return made;
    },
  };
}

function makeIssuer(
  config: IssuerConfig,
  url: string,
  { provider: own, sha256 }: KnownProvider,
): { issuer: Issuer; namespace: Namespace | null } {
  const provider = config.challenge === undefined ? own : { ...own, challenge: config.challenge };
  try {
    const binding = bindingOf(config, url, provider);
    const issuer = {
      config,
      url,
      provider,
      map: compileMapping(provider, binding),
      jwksOrigin: config.jwksOrigin ?? jwksOf(url, provider),
      recorded: {
        provider: provider.type,
        providerVersion: String(provider.version),
        mappingSha256: sha256,
      },
    };
    return { issuer, namespace: namespaceOf(provider, fixedOf(provider, binding)) };
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    throw new Malformed(`issuer ${config.issuerUrl}: ${thrown.message}`, { cause: thrown });
  }
}

/** The provider an issuer's configuration names, with what that provider needs and nothing it does not know. */
function providerFor(config: IssuerConfig, providers: readonly KnownProvider[]): KnownProvider {
  const { issuerUrl, provider: type } = config;
  const found = providers.find(({ provider }) => provider.type === type);
  if (found === undefined) {
    const types = providers.map(({ provider }) => provider.type).join(", ");
    throw new Malformed(`issuer ${issuerUrl}: there is no provider "${type}"; known are ${types}`);
  }
  const needs = found.provider.needs ?? [];
  for (const setting of ["subjectDomain", "trustDomain", "cluster"] as const satisfies Setting[]) {
    const must = needs.includes(setting);
    if (must === (config[setting] !== undefined)) continue;
    throw new Malformed(
      `issuer ${issuerUrl}: provider "${type}" ${must ? "needs" : "takes no"} ${setting}`,
    );
  }
  const mails = found.provider.mail !== undefined;
  for (const setting of ["mailDomains", "trustMail"] as const) {
    if (mails || config[setting] === undefined || config[setting] === false) continue;
    throw new Malformed(`issuer ${issuerUrl}: provider "${type}" takes no ${setting}`);
  }
  if (config.federates !== undefined && found.provider.issuer === undefined) {
    throw new Malformed(`issuer ${issuerUrl}: provider "${type}" takes no federates`);
  }
  return found;
}

/** Settings that say something of one issuer say nothing of many. */
function refuseForTemplates(
  { issuerUrl, jwksFile, cluster, trustDomain }: IssuerConfig,
  { type }: Provider,
): void {
  // The last two labels of the host are the operator's, so that a token cannot send us anywhere.
  if (!/^https?:\/\/(?:[^/]*\.)?[a-z0-9-]+\.[a-z0-9-]+(?::\d{1,5})?(?:\/|$)/.test(issuerUrl)) {
    throw new Malformed(`issuer ${issuerUrl}: the domain of a template must be fixed`);
  }
  const about = [jwksFile, cluster, trustDomain].some((one) => one !== undefined);
  if (!about && type !== "dex" && type !== "spiffe") return;
  throw new Malformed(
    `issuer ${issuerUrl}: many issuers cannot share one trust domain, cluster or key set`,
  );
}

function bindingOf(config: IssuerConfig, url: string, provider: Provider): Binding {
  if (!isPlainIssuer(url)) throw new Malformed("not a plain URL");
  const { base, variables } = baseOf(config, url, provider.issuers);
  const { subjectDomain, trustDomain, cluster, trustMail, mailDomains, federates } = config;
  if (subjectDomain !== undefined) checkSubjectDomain(url, subjectDomain, provider);
  return {
    issuerUrl: url,
    base,
    variables,
    settings: { subjectDomain, trustDomain, cluster },
    trustMail,
    mailDomains: mailDomains ?? null,
    federates: federates ?? null,
  };
}

/**
 * The address people see: the operator's word, or what the issuer's pattern says, or the issuer's own origin. Never an address that
 * belongs to another tenant of the provider.
 */
function baseOf(
  { baseUrl }: IssuerConfig,
  url: string,
  patterns: readonly IssuerPattern[],
): { readonly base: string; readonly variables: Variables } {
  for (const pattern of patterns) {
    const variables = compilePattern(pattern.url)(url);
    if (variables === null) continue;
    const parts = bind(parseTemplate(asReferences(pattern.base)), (space, name) =>
      space === "iss" && name === "" ? url : (variables[name] ?? null),
    );
    return { base: baseUrl ?? settled(parts, "base"), variables };
  }
  return { base: baseUrl ?? new URL(url).origin, variables: {} };
}

function jwksOf(url: string, { issuers }: Provider): string | undefined {
  return issuers.find((pattern) => compilePattern(pattern.url)(url) !== null)?.jwks;
}

/** A pattern's base names the variables as its URL does: `{host}` there is `{iss.host}` here. */
function asReferences(base: string): string {
  return base.replaceAll(/\{([a-z][a-z0-9_]*)\}/g, (whole, name: string) =>
    name === "iss" ? whole : `{iss.${name}}`,
  );
}

function checkSubjectDomain(issuerUrl: string, subjectDomain: string, provider: Provider): void {
  const isUrl = provider.san.kind === "uri";
  if (isUrl !== /^https?:\/\/[a-z0-9.-]+(?::\d{1,5})?$/.test(subjectDomain)) {
    throw new Malformed(`subjectDomain must be ${isUrl ? "a scheme and host" : "a domain"}`);
  }
  if (!isUrl && !/^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/.test(subjectDomain)) {
    throw new Malformed("subjectDomain must be a domain");
  }
  const host = isUrl ? new URL(subjectDomain).hostname : subjectDomain;
  if (!related(new URL(issuerUrl).hostname, host)) {
    throw new Malformed("subjectDomain is of another organisation");
  }
}

/** Issuers of one provider share its names, and the certificate's issuer tells them apart; of two providers they would not be what they seem. */
function refuseSharedNames(
  configured: readonly { config: IssuerConfig; provider: Provider; namespace: Namespace | null }[],
): void {
  for (const [at, one] of configured.entries()) {
    for (const other of configured.slice(at + 1)) {
      if (one.provider.type === other.provider.type) continue;
      if (one.namespace === null || other.namespace === null) continue;
      if (!overlap(one.namespace, other.namespace)) continue;
      throw new Malformed(
        `issuers ${one.config.issuerUrl} and ${other.config.issuerUrl}: the providers "${one.provider.type}" and "${other.provider.type}" could name the same URI`,
      );
    }
  }
}
