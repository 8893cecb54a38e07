/** What a provider must be beyond its schema, so that its names mean one principal each and nothing of a token is lost in silence. */
import { Malformed } from "../../core/formats/malformed.ts";
import type { ClaimRule, Provider } from "./provider.ts";
import { parseTemplate, type Part } from "./template.ts";

/** Everything that is wrong with it, in sentences; none is the only good answer. Does not throw. */
export function faultsOf(provider: Provider): readonly string[] {
  const faults: string[] = [];
  const refs = (template: string): readonly Part[] => {
    try {
      return parseTemplate(template);
    } catch (thrown) {
      faults.push(thrown instanceof Error ? thrown.message : "unknown");
      return [];
    }
  };
  const san = refs(provider.san.template);
  const named = new Set([...san, ...refs(provider.issuer ?? "{iss}")].flatMap(claimOf));
  for (const claim of provider.uniqueBy) {
    const isKnown = claim === "sub" || Object.hasOwn(provider.claims, claim);
    if (!isKnown) faults.push(`uniqueBy: there is no claim "${claim}"`);
    else if (!named.has(claim)) {
      faults.push(`uniqueBy: "${claim}" is not in the name, so two principals would share one`);
    }
  }
  for (const claim of san.flatMap(claimOf)) {
    const rule = ruleOf(provider, claim);
    if (!provider.uniqueBy.includes(claim))
      faults.push(`uniqueBy: "${claim}" is in the name and not listed`);
    if (rule !== undefined && rule.required !== true && rule.default === undefined) {
      faults.push(`claims.${claim}: is in the name, so it must be required or have a default`);
    }
  }
  if (san.some((part) => "space" in part && part.space === "choice")) {
    faults.push("san: a choice gives one name to many");
  }
  faults.push(...ambiguities(provider, san));
  for (const [name, { default: otherwise }] of Object.entries(provider.claims)) {
    for (const other of refs(otherwise ?? "").flatMap(claimOf)) {
      if (other === "sub" || ruleOf(provider, other)?.required === true) continue;
      faults.push(`claims.${name}: its default names "${other}", which must be required`);
    }
    if (isOwnOnly(provider, name) && refs(otherwise ?? "").some(isOfToken)) {
      faults.push(
        `claims.${name}: the issuer vouches for it in no other member, so its default can be nothing of the token`,
      );
    }
    if (named.has(name) && refs(otherwise ?? "").flatMap(claimOf).length > 0) {
      faults.push(`claims.${name}: is in the name, so its default can be no other claim`);
    }
  }
  for (const template of templatesOf(provider)) refs(template);
  if (provider.challenge === "email" && provider.claims["email"]?.type !== "email") {
    faults.push('challenge: "email" needs a claim "email" of type email');
  }
  if (provider.claims["email"]?.type === "email" && provider.mail === undefined) {
    faults.push("mail: say which member of the token states that the address was verified");
  }
  for (const [claim, rule] of Object.entries(provider.claims)) {
    if (rule.type === "email" && rule.personal !== true) {
      faults.push(`claims.${claim}: an address is personal: say so`);
    }
  }
  return faults;
}

/** Every template but the name's and the issuer's; whether what they refer to is there is seen when an issuer is configured. */
function templatesOf({ extensions, facets = {}, choices = {}, claims }: Provider): string[] {
  return [
    ...extensions.map(({ template }) => template),
    ...Object.values(facets),
    ...Object.values(choices).map(({ of }) => of),
    ...Object.values(claims).flatMap(({ default: otherwise, startsWith, equals, within }) =>
      [otherwise, startsWith, equals, within].filter((one) => one !== undefined),
    ),
  ];
}

/** @throws {Malformed} with the first fault. */
export function checkProvider(file: string, provider: Provider): Provider {
  const [fault] = faultsOf(provider);
  if (fault !== undefined) throw new Malformed(`${file}: ${fault}`);
  return provider;
}

function claimOf(part: Part): string[] {
  return "space" in part && part.space === "claims" ? [part.name] : [];
}

function isOfToken(part: Part): boolean {
  return "space" in part && ["claims", "choice", "derived"].includes(part.space);
}

/** What says that an address was verified says it of that member alone; and an origin takes the place of the issuer's. */
function isOwnOnly(provider: Provider, claim: string): boolean {
  const type = ruleOf(provider, claim)?.type;
  return type === "email" || type === "origin";
}

function ruleOf(provider: Provider, claim: string): ClaimRule | undefined {
  return Object.hasOwn(provider.claims, claim) ? provider.claims[claim] : undefined;
}

/** With several claims in a name, a separator between each two, and at most one that may hold separators itself. */
function ambiguities({ claims, san: { kind } }: Provider, parts: readonly Part[]): string[] {
  const references = parts.flatMap(claimOf);
  if (references.length < 2) return [];
  const faults: string[] = [];
  const wide = references.filter((name) => {
    const type = claims[name]?.type ?? "text";
    return type !== "word" && type !== "origin" && type !== "flag";
  });
  if (wide.length > 1) {
    faults.push(`san: ${wide.join(" and ")} may both hold separators: make all but one a word`);
  }
  for (const [at, part] of parts.entries()) {
    const before = parts[at - 1];
    if (!("space" in part) || at === 0 || before === undefined) continue;
    if ("space" in before || (kind === "uri" && !/[:/?#%]/.test(before.text))) {
      faults.push(`san: nothing separates {${part.space}.${part.name}} from what stands before it`);
    }
  }
  return faults;
}
