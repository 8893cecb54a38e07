import { readFileSync } from "node:fs";
import { fc, test as prop } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import { parseCases, runCases } from "../../plugins/policy/cases.ts";
import { diffPolicies, redecide } from "../../plugins/policy/diff.ts";
import { hashPolicy, type Policy } from "../../plugins/policy/document.ts";
import { compilePolicy } from "../../plugins/policy/evaluate.ts";
import { compileGlob, covers } from "../../plugins/policy/glob.ts";
import { policyJsonSchema } from "../../plugins/policy/json-schema.ts";
import { lintPolicy } from "../../plugins/policy/lint.ts";
import { parsePolicy } from "../../plugins/policy/read.ts";
import { request } from "./policy-request.ts";
import { leastCpuMs } from "../support/cpu-time.ts";

/** What a policy with this one rule, which allows, says: true if the rule applies. */
function applies(condition: object, change: object = {}): boolean {
  const policy = rules({ id: "it", effect: "allow", reason: "it applies", ...condition });
  return compilePolicy(policy)({ ...request, ...change }).rule === "it";
}

function rules(...list: readonly object[]): Policy {
  return parsePolicy(JSON.stringify({ default: "deny", rules: list }));
}

describe("a pattern", () => {
  test.each([
    ["alice@example.com", "alice@example.com", true],
    ["alice@example.com", "Alice@example.com", false],
    ["*@example.com", "alice@example.com", true],
    ["*@example.com", "alice@example.com.evil", false],
    ["*@example.com", "a/b@example.com", false],
    ["**@example.com", "a/b@example.com", true],
    ["https://git.example/acme/*", "https://git.example/acme/app", true],
    ["https://git.example/acme/*", "https://git.example/acme/app/x", false],
    ["https://git.example/acme/**", "https://git.example/acme/app/x", true],
    ["*a*a*b", "aaaaab", true],
    ["*", "", true],
    ["**", "any/thing", true],
    ["a.c", "abc", false],
    ["[a-z]", "b", false],
  ])("%s against %s: %s", (pattern, value, expected) => {
    expect(compileGlob(pattern)(value)).toBe(expected);
  });

  test("cannot be made slow", async () => {
    const matches = compileGlob("*a".repeat(256));
    const value = "a".repeat(4_096);
    const both = (): void => {
      expect(matches(`${value}b`)).toBe(false);
      expect(matches(value)).toBe(true);
    };
    expect(await leastCpuMs(both)).toBeLessThan(500);
  });

  const text = fc.stringMatching(/^[ab/]{0,8}$/);
  const pattern = fc.stringMatching(/^[ab/*]{1,6}$/);
  const naive = (glob: string) =>
    new RegExp(`^${glob.replaceAll(/\*+/g, (run) => (run.length > 1 ? "[^]*" : "[^/]*"))}$`);

  prop.prop([pattern, text])("means what the regular expression means", (glob, value) => {
    expect(compileGlob(glob)(value)).toBe(naive(glob).test(value));
  });

  prop.prop([pattern, pattern, text])(
    "is covered only by what matches all it matches",
    (a, b, value) => {
      expect(!covers(a, b) || !compileGlob(b)(value) || compileGlob(a)(value)).toBe(true);
    },
  );
});

describe("a condition", () => {
  test.each<[string, object, boolean]>([
    ["on the provider", { provider: "github-*" }, true],
    ["on another provider", { provider: ["email", "uri"] }, false],
    ["on the issuer", { issuer: "https://token.example" }, true],
    ["on the subject", { subject: "repo:acme/**" }, true],
    ["on the name", { san: "https://git.example/acme/**" }, true],
    ["on the kind of name", { sanKind: "email" }, false],
    [
      "on an extension",
      { extensions: { sourceRepositoryUri: "https://git.example/acme/*" } },
      true,
    ],
    ["on the issuer's extension", { extensions: { issuerV2: "https://token.example" } }, true],
    ["on an extension that is not there", { extensions: { buildTrigger: "push" } }, false],
    ["on its absence", { extensions: { buildTrigger: { absent: true } } }, true],
    ["on a claim", { claims: { repository_owner: "acme" } }, true],
    ["on one of a list", { claims: { groups: "release" } }, true],
    ["on none of a list", { claims: { groups: { not: ["admin", "ops"] } } }, true],
    ["on none of a list that has one", { claims: { groups: { not: "dev" } } }, false],
    [
      "that a claim is not something, where there is none",
      { claims: { other: { not: "x" } } },
      true,
    ],
    ["on a number", { claims: { run: "7" } }, true],
    ["by a pointer", { claims: { "/nested/a~1b": "x" } }, true],
    ["by a pointer through a list", { claims: { "/groups/length": "2" } }, false],
    ["on what every object has", { claims: { toString: "**" } }, false],
    ["through what every object has", { claims: { "/constructor/name": "**" } }, false],
    ["on acr", { assurance: { acr: ["2", "3"] } }, true],
    ["on one method", { assurance: { amrAny: ["hwk", "otp"] } }, true],
    ["on all methods", { assurance: { amrAll: ["hwk", "otp"] } }, false],
    ["on all of nothing in particular", {}, true],
  ])("%s", (_, when, expected) => {
    expect(applies({ when })).toBe(expected);
    expect(applies({ unless: when })).toBe(!expected);
  });
});

describe("a condition in time", () => {
  test.each([
    [3_600, true],
    [3_599, false],
  ])(
    "on a sign-in within %d seconds that is an hour old: %s",
    (signedInWithinSeconds, expected) => {
      const when = { assurance: { signedInWithinSeconds } };
      expect(applies({ when }, { atMs: 1_003_600_000n })).toBe(expected);
    },
  );

  test("on the sign-in does not hold without its time, or with one that is to come", () => {
    const when = { assurance: { signedInWithinSeconds: 3_600 } };
    expect(applies({ when }, { assurance: {} })).toBe(false);
    expect(applies({ when }, { atMs: 999_940_000n })).toBe(true);
    expect(applies({ when }, { atMs: 999_939_000n })).toBe(false);
  });

  const berlin = { timezone: "Europe/Berlin", weekdays: ["mon", "fri"], hours: ["08:00-18:00"] };
  test.each([
    ["2026-01-05T07:00:00Z", true],
    ["2026-01-05T06:59:59Z", false],
    ["2026-01-05T16:59:59Z", true],
    ["2026-01-05T17:00:00Z", false],
    // Summer time.
    ["2026-07-06T06:00:00Z", true],
    ["2026-07-06T16:00:00Z", false],
    ["2026-01-06T12:00:00Z", false],
  ])("on working hours at %s: %s", (at, expected) => {
    expect(applies({ when: { time: berlin } }, { atMs: BigInt(Date.parse(at)) })).toBe(expected);
  });

  test("on a window has its beginning inside and its end outside", () => {
    const between = [{ from: "2026-01-05T12:00:00Z", until: "2026-01-05T13:00:00+01:00" }];
    const time = { timezone: "UTC", between };
    expect(applies({ when: { time } })).toBe(false);
    const later = [{ from: "2026-01-05T12:00:00Z" }];
    expect(applies({ when: { time: { timezone: "UTC", between: later } } })).toBe(true);
  });
});

describe("a policy", () => {
  test("is decided by its first rule that applies", () => {
    const decideBy = compilePolicy(
      rules(
        { id: "elsewhere", effect: "allow", reason: "no", when: { provider: "email" } },
        { id: "stop", effect: "deny", reason: "stop", when: { claims: { run: "7" } } },
        { id: "go", effect: "allow", reason: "go" },
      ),
    );
    expect(decideBy(request)).toEqual({ allowed: false, rule: "stop", reason: "stop" });
    expect(decideBy({ ...request, claims: {} })).toMatchObject({ allowed: true, rule: "go" });
    expect(decideBy({ ...request, claims: null })).toMatchObject({ allowed: null, rule: "stop" });
  });

  test("falls back to the issuer's default, then to its own", () => {
    const policy = parsePolicy(
      JSON.stringify({ default: "deny", issuers: { "https://token.example": "allow" } }),
    );
    const decideBy = compilePolicy(policy);
    expect(decideBy(request)).toMatchObject({ allowed: true, rule: "default:issuer" });
    const principal = { ...request.principal, oidcIssuer: "constructor" };
    expect(decideBy({ ...request, principal })).toMatchObject({ allowed: false, rule: "default" });
  });

  test("has a hash that depends on what it says and not on how it is written", () => {
    const one = parsePolicy("default: deny\nrules:\n  - {id: a, effect: allow, reason: r}\n");
    const same = parsePolicy(
      `{"rules":[{"reason":"r","id":"a","effect":"allow"}],"default":"deny"}`,
    );
    const other = parsePolicy("default: deny\nrules:\n  - {id: a, effect: deny, reason: r}\n");
    expect(hashPolicy(one)).toEqual(hashPolicy(same));
    expect(hashPolicy(one)).not.toEqual(hashPolicy(other));
  });

  test.each([
    ["no default", "rules: []"],
    ["an unknown key", "default: deny\nrule: []"],
    ["a rule without reason", "default: deny\nrules: [{id: a, effect: deny}]"],
    [
      "one id twice",
      `default: deny\nrules: [{id: a, effect: deny, reason: r}, {id: a, effect: deny, reason: r}]`,
    ],
    ["the id of the default", "default: deny\nrules: [{id: default, effect: deny, reason: r}]"],
    ["no time zone", rule(`{time: {hours: ["08:00-09:00"]}}`)],
    ["a made-up time zone", rule(`{time: {timezone: Mars/Olympus}}`)],
    ["hours over midnight", rule(`{time: {timezone: UTC, hours: ["22:00-06:00"]}}`)],
    ["a time without offset", rule(`{time: {timezone: UTC, between: [{from: 2026-01-01}]}}`)],
    ["a claim whose condition would be lost", rule("{claims: {constructor: x}}")],
    ["an unknown extension", rule("{extensions: {colour: blue}}")],
    ["a pattern too long", rule(`{san: ${"x".repeat(513)}}`)],
    ["a key twice", "default: deny\ndefault: allow"],
    ["an anchor", "default: &a deny\nversion: *a"],
    ["no object", "- deny"],
  ])("with %s is refused", (_, text) => {
    expect(() => parsePolicy(text)).toThrow(expect.objectContaining({ name: "Malformed" }));
  });
});

function rule(when: string): string {
  return `default: deny\nrules: [{id: a, effect: deny, reason: r, when: ${when}}]`;
}

describe("the lint", () => {
  const a = { id: "a", effect: "deny", reason: "r", when: { san: "**@example.com" } };
  test.each<[string, Policy, string[]]>([
    [
      "finds a rule that an opposite one keeps from applying",
      rules(a, { ...a, id: "b", effect: "allow", when: { san: "bob@example.com" } }),
      ["b unreachable"],
    ],
    [
      "finds a rule that another one repeats",
      rules(a, { ...a, id: "b" }, { id: "z", effect: "allow", reason: "r" }),
      ["b shadowed"],
    ],
    [
      "leaves alone what differs",
      rules(a, { ...a, id: "b", effect: "allow", when: { san: "**@example.org" } }),
      [],
    ],
    [
      "leaves alone what an exception lets through",
      rules({ ...a, unless: { claims: { x: "y" } } }, { ...a, id: "b", effect: "allow" }),
      [],
    ],
    ["finds a last rule that changes nothing", rules(a), ["a no-effect"]],
    [
      "finds claims that nobody knows",
      rules({ ...a, effect: "allow", when: { claims: { colour: "blue", "/sub/x": "y" } } }),
      ["a unknown-claim"],
    ],
    [
      "finds claims that another provider has",
      rules({ ...a, effect: "allow", when: { provider: "email", claims: { run: "7" } } }),
      ["a unknown-claim"],
    ],
    [
      "takes claims that a provider of the condition has, or any issuer may send",
      rules({ ...a, effect: "allow", when: { claims: { run: "7", "/x/y": "1", groups: "g" } } }),
      [],
    ],
    [
      "finds providers that nobody knows",
      rules({ ...a, effect: "allow", when: { provider: ["email", "myspace"] } }),
      ["a unknown-provider"],
    ],
  ])("%s", (_, policy, expected) => {
    const providers = new Map([
      ["email", new Set(["sub", "x"])],
      ["ci", new Set(["run"])],
    ]);
    const known = { providers };
    const found = lintPolicy(policy, known).map((doubt) => `${doubt.rule} ${doubt.lint}`);
    expect(found).toEqual(expected);
  });
});

describe("the difference", () => {
  const a = { id: "a", effect: "allow", reason: "r", when: { san: "https://git.example/**" } };
  const b = { id: "b", effect: "deny", reason: "r", when: { claims: { run: "7" } } };
  test("names what was added, removed, changed and moved", () => {
    const before = rules(a, b, { ...b, id: "c" });
    const after = rules(b, a, { ...b, id: "c", effect: "allow" }, { ...b, id: "d" });
    const changes = diffPolicies(before, after).map(({ what, name }) => `${what} ${name}`);
    expect(changes).toEqual(["moved b", "moved a", "changed c", "added d"]);
    const fewer = diffPolicies(after, { ...before, default: "allow" });
    expect(fewer.map(({ what, name }) => `${what} ${name}`)).toContain("removed d");
    expect(fewer[0]).toMatchObject({ what: "changed", name: "default" });
  });

  test("shows which decisions would change, and which hang on what no record keeps", () => {
    const past = [{ of: 1, request: { ...request, claims: null } }];
    expect(redecide(rules(a), rules(), past)).toMatchObject([
      { of: 1, before: true, after: false },
    ]);
    expect(redecide(rules(a), rules(b, a), past)).toMatchObject([{ before: true, after: null }]);
    expect(redecide(rules(b, a), rules(b, a), past)).toEqual([]);
  });
});

test("a table of cases says which go wrong, and why", () => {
  const policy = rules({
    id: "ours",
    effect: "allow",
    reason: "r",
    when: { san: "*@example.com" },
  });
  const outcomes = runCases(
    policy,
    parseCases(`
- {name: ours, request: {issuer: "https://i", san: a@example.com}, expect: allow, rule: ours}
- {name: theirs, request: {issuer: "https://i", san: a@example.org}, expect: allow}
- {name: by default, request: {issuer: "https://i", san: a@example.org}, expect: deny, rule: ours}
`),
  );
  expect(outcomes.map(({ name, wrong }) => [name, wrong !== null])).toEqual([
    ["ours", false],
    ["theirs", true],
    ["by default", true],
  ]);
  expect(outcomes[1]?.wrong).toContain("default says deny");
  expect(outcomes[2]?.wrong).toContain("expected ours to decide");
  expect(() => parseCases("- {name: x}")).toThrow("request");
});

test("the published schema is the one that the room parses with", () => {
  const path = new URL("../../plugins/policy/policy.schema.json", import.meta.url);
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(JSON.parse(policyJsonSchema()));
});
