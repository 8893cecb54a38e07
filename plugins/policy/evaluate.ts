/** Applies a policy to a request. Pure: the same policy and the same request give the same answer, whenever it is asked. */
import { fulcioArcs } from "../../core/formats/fulcio-oids.ts";
import type { QuestionOf } from "../../events/contract.ts";
import type { decide } from "../../events/policy.ts";
import type { Matcher, Policy, Rule, When } from "./document.ts";
import { compileGlob, type Glob } from "./glob.ts";
import { compileWindows } from "./time.ts";

/** What is decided about. `claims` is null where they are not known any more, as in records. */
export type Request = Omit<QuestionOf<typeof decide>, "claims"> & {
  readonly claims: { readonly [name: string]: unknown } | null;
};

/** What a policy says. */
export interface Verdict {
  /** Null if that hangs on claims that are not known; `rule` is then the first rule that needs them. */
  readonly allowed: boolean | null;
  readonly rule: string;
  readonly reason: string;
}

/** True, false, or null for what cannot be known without the claims. */
type Tri = boolean | null;
type Condition = (request: Request) => Tri;

/** A policy that is ready to decide. */
export type Decide = (request: Request) => Verdict;

/** Compiles a policy: the work that does not hang on the request is done once. */
export function compilePolicy(policy: Policy): Decide {
  const rules = policy.rules.map((rule) => ({ rule, applies: compileRule(rule) }));
  return (request) => {
    for (const { rule, applies } of rules) {
      const does = applies(request);
      if (does === false) continue;
      const allowed = does === null ? null : rule.effect === "allow";
      return { allowed, rule: rule.id, reason: rule.reason };
    }
    const { oidcIssuer } = request.principal;
    const own = Object.hasOwn(policy.issuers, oidcIssuer) ? policy.issuers[oidcIssuer] : undefined;
    if (own === undefined) {
      const reason = `no rule applies, and the policy's default is to ${policy.default}`;
      return { allowed: policy.default === "allow", rule: "default", reason };
    }
    const reason = `no rule applies, and the default of this issuer is to ${own}`;
    return { allowed: own === "allow", rule: "default:issuer", reason };
  };
}

function compileRule({ when, unless }: Rule): Condition {
  const holds = compileWhen(when);
  if (unless === undefined) return holds;
  const excepted = compileWhen(unless);
  return (request) => both(holds(request), negate(excepted(request)));
}

/** All of what a rule asks for. */
function compileWhen(when: When): Condition {
  const { provider, issuer, subject, san, sanKind, extensions = {}, claims = {} } = when;
  const conditions: Condition[] = [
    ...ofText(provider, (request) => request.provider),
    ...ofText(issuer, ({ principal }) => principal.oidcIssuer),
    ...ofText(subject, ({ principal }) => principal.subject),
    ...ofText(san, ({ principal }) => principal.san.value),
    ...(sanKind === undefined ? [] : [({ principal }: Request) => principal.san.kind === sanKind]),
    ...Object.entries(extensions).map(([name, matcher]) => ofExtension(name, matcher)),
    ...Object.entries(claims).map(([name, matcher]) => ofClaim(name, matcher)),
    ...ofTime(when.time),
    ...ofAssurance(when.assurance),
  ];
  return (request) => conditions.reduce<Tri>((tri, holds) => both(tri, holds(request)), true);
}

/** No is no whatever the other is; else what is not known stays so. */
function both(a: Tri, b: Tri): Tri {
  if (a === false || b === false) return false;
  return a === null || b === null ? null : true;
}

function negate(tri: Tri): Tri {
  return tri === null ? null : !tri;
}

function ofText(
  matcher: Matcher | undefined,
  read: (request: Request) => string,
): readonly Condition[] {
  if (matcher === undefined) return [];
  const fits = compileMatcher(matcher);
  return [(request) => fits([read(request)])];
}

function ofExtension(name: string, matcher: Matcher): Condition {
  const fits = compileMatcher(matcher);
  const wanted = (fulcioArcs as { readonly [name: string]: number })[name]; // a name is one of them by its schema
  return ({ principal }) => {
    if (wanted === fulcioArcs.issuer || wanted === fulcioArcs.issuerV2)
      return fits([principal.oidcIssuer]);
    if (wanted === fulcioArcs.tokenSubject) return fits([principal.subject]);
    return fits(principal.extensions.filter(({ arc }) => arc === wanted).map((one) => one.value));
  };
}

function ofClaim(name: string, matcher: Matcher): Condition {
  const fits = compileMatcher(matcher);
  const path = name.startsWith("/") ? name.slice(1).split("/").map(unescapePointer) : [name];
  return ({ claims }) => (claims === null ? null : fits(textsOf(find(claims, path))));
}

/** RFC 6901 §4. */
function unescapePointer(token: string): string {
  return token.replaceAll("~1", "/").replaceAll("~0", "~");
}

function find(value: unknown, path: readonly string[]): unknown {
  let at = value;
  for (const name of path) {
    if (typeof at !== "object" || at === null || Array.isArray(at)) return undefined;
    if (!Object.hasOwn(at, name)) return undefined;
    at = (at as { readonly [name: string]: unknown })[name]; // an object that has the name
  }
  return at;
}

/** What of a claim can be compared exactly: text, whole numbers and booleans, alone or in a list. Undefined if there is no claim. */
function textsOf(claim: unknown): readonly string[] | undefined {
  if (claim === undefined || claim === null) return undefined;
  const list: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
  return list.flatMap((one) => {
    if (typeof one === "string") return [one];
    const exact =
      typeof one === "boolean" || (typeof one === "number" && Number.isSafeInteger(one));
    return exact ? [String(one)] : [];
  });
}

/** Given the values there are; undefined or none where there is nothing. */
function compileMatcher(matcher: Matcher): (values: readonly string[] | undefined) => boolean {
  if (typeof matcher === "object" && "absent" in matcher) {
    return (values) => values === undefined || values.length === 0;
  }
  const negated = typeof matcher === "object" && "not" in matcher;
  const patterns = negated ? matcher.not : matcher;
  const globs: readonly Glob[] = [patterns].flat().map(compileGlob);
  const any = (values: readonly string[] = []) =>
    values.some((value) => globs.some((matches) => matches(value)));
  return negated ? (values) => !any(values) : any;
}

function ofTime(time: When["time"]): readonly Condition[] {
  if (time === undefined) return [];
  const inside = compileWindows(time);
  return [({ atMs }) => inside(Number(atMs))];
}

/** How far the issuer's clock may be ahead of ours. */
const skewSeconds = 60;

function ofAssurance(asked: When["assurance"]): readonly Condition[] {
  if (asked === undefined) return [];
  const { amrAny, amrAll, signedInWithinSeconds: within } = asked;
  const conditions: Condition[] = [];
  if (asked.acr !== undefined) {
    const fits = compileMatcher(asked.acr);
    conditions.push(({ assurance: { acr } }) => fits(acr === undefined ? undefined : [acr]));
  }
  if (amrAny) conditions.push(({ assurance: { amr = [] } }) => amrAny.some((m) => amr.includes(m)));
  if (amrAll)
    conditions.push(({ assurance: { amr = [] } }) => amrAll.every((m) => amr.includes(m)));
  if (within !== undefined) {
    conditions.push(({ assurance: { authTimeS }, atMs }) => {
      if (authTimeS === undefined) return false;
      const ageSeconds = Number(atMs) / 1_000 - authTimeS;
      return ageSeconds <= within && ageSeconds >= -skewSeconds;
    });
  }
  return conditions;
}
