/**
 * A policy as an operator writes it, version 1: who may have a certificate. Published as `policy.schema.json`, for editors.
 *
 * The rules are looked at in their order and **the first that applies decides**; the others are not looked at. A rule applies if all
 * of its `when` holds and its `unless`, if it has one, does not. If none applies, the default of the token's issuer decides, and if
 * that has none, the policy's own.
 */
import { hash } from "node:crypto";
import * as v from "valibot";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { fulcioArcs } from "../../core/formats/fulcio-oids.ts";
import { canonicalize } from "../../core/formats/jcs.ts";
import { parseJson } from "../../core/formats/json.ts";
import { maxGlobLength } from "./glob.ts";
import { weekdays } from "./time.ts";

const glob = v.pipe(v.string(), v.minLength(1), v.maxLength(maxGlobLength));
const globs = v.union([glob, v.pipe(v.array(glob), v.minLength(1), v.maxLength(256))]);
const not = v.strictObject({ not: globs });

/** What a text must be: a pattern, one of several, or none of them. */
const text = v.union([globs, not]);

/** What a claim or an extension must be; `not` holds too where there is none. */
const value = v.union([globs, not, v.strictObject({ absent: v.literal(true) })]);

/** Names that no object can be trusted with. The schema library would leave their entries out, and a condition with them. */
const reservedNames = ["__proto__", "constructor", "prototype"];

function named<S extends v.GenericSchema>(schema: S) {
  const plain = v.custom<v.InferInput<S>>(
    (entries) => !reservedNames.some((name) => Object.hasOwn(Object(entries) as object, name)),
    `expected other names than ${reservedNames.join(", ")}`,
  );
  // For whoever derives another schema from this one and cannot see behind the look.
  return v.pipe(Object.assign(plain, { standsFor: schema }), schema);
}

const effect = v.picklist(["allow", "deny"]);
const instant = v.pipe(v.string(), v.isoTimestamp("expected a time with its offset"));
const timezone = v.pipe(v.string(), v.check(isTimezone, "expected an IANA time zone"));
/** From the first minute, which is inside, to the second, which is not; `24:00` is the end of the day. */
const hours = v.pipe(
  v.string(),
  v.regex(/^(?:[01]\d|2[0-3]):[0-5]\d-(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00)$/),
  v.check((span) => span.slice(0, 5) < span.slice(6), "ends before it begins: write two spans"),
);
const extensionNames = Object.keys(fulcioArcs) as (keyof typeof fulcioArcs)[]; // keys of a const object are its key type

const when = v.strictObject({
  provider: v.optional(text),
  /** The OIDC issuer as it stands in certificates. */
  issuer: v.optional(text),
  subject: v.optional(text),
  /** The name in the certificate. */
  san: v.optional(text),
  sanKind: v.optional(v.picklist(["email", "uri", "otherName"])),
  /** Of the certificate, by their names. */
  extensions: v.optional(named(v.record(v.picklist(extensionNames), value))),
  /** Of the token, by name, or by JSON pointer (RFC 6901) if it begins with `/`. Of a list, one element must fit. */
  claims: v.optional(named(v.record(v.pipe(v.string(), v.minLength(1), v.maxLength(256)), value))),
  time: v.optional(
    v.strictObject({
      /** In which `weekdays` and `hours` are meant: said, never assumed. */
      timezone,
      weekdays: v.optional(v.pipe(v.array(v.picklist(weekdays)), v.minLength(1))),
      hours: v.optional(v.pipe(v.array(hours), v.minLength(1), v.maxLength(16))),
      /** Any of these; `from` is inside, `until` is not. */
      between: v.optional(
        v.pipe(
          v.array(v.strictObject({ from: v.optional(instant), until: v.optional(instant) })),
          v.minLength(1),
          v.maxLength(64),
        ),
      ),
    }),
  ),
  assurance: v.optional(
    v.strictObject({
      acr: v.optional(text),
      /** At least one of these methods. */
      amrAny: v.optional(v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(32))),
      /** All of these methods. */
      amrAll: v.optional(v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(32))),
      /** The token says when its holder signed in (`auth_time`), and it was not longer ago. */
      signedInWithinSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
    }),
  ),
});

const ruleId = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9][a-z0-9._-]{0,63}$/),
  v.check((id) => id !== "default", `"default" is the policy's own`),
);

const rule = v.strictObject({
  id: ruleId,
  effect,
  /** Why, in a sentence for whoever is refused and for whoever audits. */
  reason: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  when: v.optional(when, {}),
  unless: v.optional(when),
});

/** The entries of a policy, for whoever has more in one section. */
export const policyEntries = {
  /** A name for people; what is compared is the hash of the content. */
  version: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64)), "unnamed"),
  default: v.optional(effect, "allow"),
  /** What holds for an OIDC issuer's tokens where no rule applies. */
  issuers: v.optional(
    named(v.record(v.pipe(v.string(), v.minLength(1), v.maxLength(2_048)), effect)),
    {},
  ),
  rules: v.optional(
    v.pipe(
      v.array(rule),
      v.maxLength(1_000),
      v.check(
        (rules) => new Set(rules.map(({ id }) => id)).size === rules.length,
        "two rules have one id",
      ),
    ),
    [],
  ),
};

/** A policy that stands alone: it says what holds where no rule applies. */
export const policySchema = v.strictObject({ ...policyEntries, default: effect });

/** A rule. */
export type Rule = v.InferOutput<typeof rule>;
/** What a rule asks of a request. */
export type When = v.InferOutput<typeof when>;
/** What a text or a claim must be. */
export type Matcher = v.InferOutput<typeof value>;
/** A policy, defaults filled in. */
export type Policy = v.InferOutput<typeof policySchema>;

/** SHA-256 of the policy's canonical JSON (RFC 8785), defaults filled in. */
export function hashPolicy(policy: Policy): Uint8Array {
  const canonical = canonicalize(parseJson(JSON.stringify(policy)));
  return Uint8Array.fromHex(hash("sha256", encodeUtf8(canonical), "hex"));
}

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}
