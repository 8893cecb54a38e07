/** What is doubtful in a policy: rules that cannot decide anything, and names that no token here has. */
import type { Matcher, Policy, Rule, When } from "./document.ts";
import { compileGlob, covers } from "./glob.ts";

/** One doubt. */
export interface Doubt {
  readonly lint: "unreachable" | "shadowed" | "unknown-claim" | "unknown-provider" | "no-effect";
  readonly rule: string;
  readonly text: string;
}

/** What there is to be named, where that is known. */
export interface Known {
  /** Members of a token by type of provider. */
  readonly providers?: ReadonlyMap<string, ReadonlySet<string>>;
}

/**
 * Members that any issuer may send, whatever its provider makes of them: RFC 7519 §4.1, OpenID Connect Core 1.0 §2 and §5.1, and the
 * three of RFC 9068 §2.2.3.1 for what somebody belongs to.
 */
const registered: ReadonlySet<string> = new Set(
  [
    "iss sub aud exp nbf iat jti auth_time nonce acr amr azp",
    "name given_name family_name middle_name nickname preferred_username profile picture website",
    "email email_verified gender birthdate zoneinfo locale phone_number phone_number_verified address updated_at",
    "groups roles entitlements",
  ].flatMap((names) => names.split(" ")),
);

/** Every doubt, in the order of the rules. */
export function lintPolicy(policy: Policy, known: Known = {}): readonly Doubt[] {
  return policy.rules.flatMap((rule, at) => [
    ...unreachable(rule, policy.rules.slice(0, at)),
    ...unknown(rule, known),
    ...pointless(rule, at, policy),
  ]);
}

/** A rule before it applies to whatever this one applies to. */
function unreachable(rule: Rule, before: readonly Rule[]): readonly Doubt[] {
  const cause = before.find((one) => one.unless === undefined && implies(rule.when, one.when));
  if (cause === undefined) return [];
  const same = cause.effect === rule.effect;
  const text = same
    ? `"${cause.id}" before it decides the same for whatever it could apply to`
    : `"${cause.id}" before it decides the opposite for whatever it could apply to`;
  return [{ lint: same ? "shadowed" : "unreachable", rule: rule.id, text }];
}

/** The last rule does what the default does anyway. */
function pointless(rule: Rule, at: number, policy: Policy): readonly Doubt[] {
  const last = at === policy.rules.length - 1;
  if (!last || rule.effect !== policy.default || Object.keys(policy.issuers).length > 0) return [];
  return [{ lint: "no-effect", rule: rule.id, text: "it decides what the default decides anyway" }];
}

function unknown({ id, when, unless }: Rule, { providers }: Known): readonly Doubt[] {
  if (providers === undefined) return [];
  const doubts: Doubt[] = [];
  for (const condition of [when, unless ?? {}]) {
    for (const name of literals(condition.provider)) {
      if (providers.has(name)) continue;
      doubts.push({ lint: "unknown-provider", rule: id, text: `there is no provider "${name}"` });
    }
    const asked = askedOf(condition.provider ?? when.provider, providers);
    for (const name of Object.keys(condition.claims ?? {})) {
      const root = rootOf(name);
      if (registered.has(root) || asked.some((type) => providers.get(type)?.has(root))) continue;
      const whose = asked.length === 1 ? `provider "${asked[0]}" knows no` : "no provider knows a";
      doubts.push({ lint: "unknown-claim", rule: id, text: `${whose} claim "${name}"` });
    }
  }
  return doubts;
}

/** The providers whose tokens a condition can be about: those it names, else all. */
function askedOf(matcher: Matcher | undefined, providers: ReadonlyMap<string, unknown>): string[] {
  const all = [...providers.keys()];
  if (matcher === undefined || (typeof matcher === "object" && !Array.isArray(matcher))) return all;
  const globs = [matcher].flat().map(compileGlob);
  const named = all.filter((type) => globs.some((matches) => matches(type)));
  return named.length === 0 ? all : named;
}

/** The claim that a name or a JSON pointer begins with. */
function rootOf(name: string): string {
  if (!name.startsWith("/")) return name;
  return (name.slice(1).split("/")[0] ?? "").replaceAll("~1", "/").replaceAll("~0", "~");
}

function literals(matcher: Matcher | undefined): readonly string[] {
  if (matcher === undefined || (typeof matcher === "object" && "absent" in matcher)) return [];
  const patterns = typeof matcher === "object" && "not" in matcher ? matcher.not : matcher;
  return [patterns].flat().filter((pattern) => !pattern.includes("*"));
}

/** True if whatever satisfies `narrow` satisfies `wide`. May say no where it is yes, never the other way. */
function implies(narrow: When, wide: When): boolean {
  const texts = ["provider", "issuer", "subject", "san"] as const;
  return (
    texts.every((name) => within(narrow[name], wide[name])) &&
    (wide.sanKind === undefined || wide.sanKind === narrow.sanKind) &&
    allWithin(narrow.extensions, wide.extensions) &&
    allWithin(narrow.claims, wide.claims) &&
    sameOrNone(narrow.time, wide.time) &&
    sameOrNone(narrow.assurance, wide.assurance)
  );
}

type Matchers = { readonly [name: string]: Matcher | undefined };

function allWithin(narrow: Matchers = {}, wide: Matchers = {}): boolean {
  return Object.entries(wide).every(([name, matcher]) => within(narrow[name], matcher));
}

function within(narrow: Matcher | undefined, wide: Matcher | undefined): boolean {
  if (wide === undefined) return true;
  if (narrow === undefined) return false;
  const isList = (matcher: Matcher) => typeof matcher === "string" || Array.isArray(matcher);
  if (!isList(narrow) || !isList(wide)) return JSON.stringify(narrow) === JSON.stringify(wide);
  const [patterns, covering] = [[narrow].flat(), [wide].flat()] as [string[], string[]]; // lists, as just seen
  return patterns.every((one) => covering.some((all) => covers(all, one)));
}

function sameOrNone(narrow: unknown, wide: unknown): boolean {
  return wide === undefined || JSON.stringify(narrow) === JSON.stringify(wide);
}
