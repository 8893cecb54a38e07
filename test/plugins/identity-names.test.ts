/** Over all providers at once: no two principals with one name and issuer, and no name in another's namespace. */
import { readFileSync } from "node:fs";
import { fc } from "../support/fixed-draws.ts";
import { expect, it } from "vitest";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { readFulcioConfig } from "../../plugins/identity/fulcio-config.ts";
import type { Claims } from "../../plugins/identity/id-token.ts";
import { createIssuers, type Issuer, known } from "../../plugins/identity/issuers.ts";
import { parseIssuer } from "../../plugins/identity/kit/trial.ts";
import { fixedOf, type Binding } from "../../plugins/identity/mapping.ts";
import { namespaceOf, overlap } from "../../plugins/identity/namespaces.ts";
import type { ClaimRule, Provider } from "../../plugins/identity/provider.ts";
import { shippedProviders } from "../../plugins/identity/shipped.ts";

const accounts: readonly (readonly [string, string, object?])[] = [
  ["email", "https://id.corp.example"],
  ["email", "https://id.other.example"],
  ["google", "https://accounts.google.com"],
  ["dex", "https://dex.corp.example"],
  ["entra", "https://login.microsoftonline.com/t-1/v2.0"],
  ["entra", "https://login.microsoftonline.com/t-2/v2.0"],
  ["okta", "https://corp.okta.example"],
  ["keycloak", "https://sso.corp.example/realms/a"],
  ["keycloak", "https://sso.corp.example/realms/b"],
  ["username", "https://users.corp.example", { subjectDomain: "corp.example" }],
  ["username", "https://users.a.corp.example", { subjectDomain: "a.corp.example" }],
  ["uri", "https://uris.corp.example", { subjectDomain: "https://jobs.corp.example" }],
  ["spiffe", "https://spire.corp.example", { trustDomain: "td" }],
  ["spiffe", "https://spire2.corp.example", { trustDomain: "td.corp.example" }],
  ["kubernetes", "https://k8s-1.corp.example"],
  ["kubernetes", "https://k8s-2.corp.example"],
  ["kubernetes-cluster", "https://k8s-3.corp.example", { cluster: "c" }],
  ["kubernetes-cluster", "https://k8s-4.corp.example", { cluster: "c.d" }],
  ["github-workflow", "https://token.actions.githubusercontent.com"],
  ["github-workflow", "https://token.actions.githubusercontent.com/enterprise"],
  ["github-workflow", "https://ghes.corp.example/_services/token"],
  ["gitlab-pipeline", "https://gitlab.com"],
  ["gitlab-pipeline", "https://gitlab.corp.example"],
  ["forgejo-actions", "https://code.corp.example/api/actions"],
  ["gitea-actions", "https://git.corp.example/api/actions/oidc"],
  ["buildkite-job", "https://agent.buildkite.com"],
  ["codefresh-workflow", "https://oidc.codefresh.io"],
  ["circleci-job", "https://oidc.circleci.com"],
  ["circleci-job", "https://oidc.circleci.com/org/o-1"],
  ["buddy-pipeline", "https://oidc.buddyusercontent.com"],
  ["buddy-pipeline", "https://eu-oidc.buddyusercontent.com"],
  ["jenkins", "https://jenkins.corp.example/oidc"],
  ["chainguard-identity", "https://issuer.enforce.dev"],
  ["ci-provider", "https://ci.corp.example"],
];

function shipped(): Issuer[] {
  const configs = accounts.map(([provider, issuerUrl, more]) =>
    parseIssuer({ issuerUrl, provider, ...more }),
  );
  const issuers = createIssuers(configs, shippedProviders.map(known));
  return configs.flatMap(({ issuerUrl }) => issuers.find(issuerUrl) ?? []);
}

function ofFulcio(): Issuer[] {
  const text = readFileSync("test/vectors/fulcio-config/public-good.yaml", "utf8");
  const { issuers, providers } = readFulcioConfig("f", encodeUtf8(text), shippedProviders);
  const accepted = createIssuers(issuers, [...shippedProviders, ...providers].map(known));
  return issuers.flatMap(
    ({ issuerUrl }) => accepted.find(issuerUrl.replaceAll(/\{v\d\}/g, "x")) ?? [],
  );
}

/** Few pieces with many separators: where a name is ambiguous, two of these meet soon. */
const piece = fc
  .array(
    fc.constantFrom(
      "a",
      "b",
      "/",
      ":",
      "@",
      "#",
      "?",
      "%2F",
      "!",
      "..",
      "-",
      "a/b",
      "b:a",
      "//",
      "pipelines",
      "projects",
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((parts) => parts.join(""));

function claimsOf({ url, provider }: Issuer): fc.Arbitrary<Claims> {
  const { host, origin } = new URL(url);
  const starts = fc.constantFrom(
    "",
    `${host}/`,
    `${origin}/`,
    `${origin}/job/`,
    "https://jobs.corp.example/",
    "spiffe://td/",
    "spiffe://td.corp.example/",
    "system:serviceaccount:",
    "https://github.com/",
    "https://kubernetes.io/namespaces/",
  );
  const value = fc.tuple(starts, piece).map(([start, rest]) => start + rest);
  const special: { [name: string]: fc.Arbitrary<string> } = {
    email: fc.constantFrom("a@b.example", "b@b.example", "A@b.example", "a@b.example.b"),
    connector_id: fc.constantFrom(
      "https://accounts.google.com",
      "https://id.corp.example",
      "github",
    ),
    tid: fc.constantFrom("t-1", "t-2"),
  };
  const rules: [string, ClaimRule][] = Object.entries({ sub: subject, ...provider.claims });
  const members = rules.map(([name, rule]) => {
    const place: readonly string[] = rule.at ?? [name];
    const inName = name === "sub" || provider.uniqueBy.includes(name);
    const text = special[name] ?? (inName ? named(rule, value) : others(rule));
    return fc.tuple(fc.constant(place), text);
  });
  return fc.tuple(...members).map((all) => {
    const claims: { [name: string]: unknown } = { email_verified: true, xms_edov: true };
    for (const [place, text] of all) put(claims, place, text);
    return claims as Claims;
  });
}

const subject: ClaimRule = { type: "text", required: true };
const words = fc.constantFrom("a", "b", "a@b", "a!b", "a-b", "pipelines");

/** Mostly of the claim's type, so that most tokens name somebody. */
function named(rule: ClaimRule, value: fc.Arbitrary<string>): fc.Arbitrary<string> {
  if (rule.type === "origin") {
    const origins = ["", "https://g.codefresh.io", "https://a.codefresh.io", "https://github.com"];
    return fc.constantFrom(...origins);
  }
  // What has to be the issuer's own value cannot name anybody else.
  if (rule.equals !== undefined) return fc.constant("");
  if (rule.type === "word") {
    return fc.oneof({ weight: 9, arbitrary: words }, { weight: 1, arbitrary: piece });
  }
  const account = fc.constant("system:serviceaccount:a:b");
  if (rule.startsWith === "system:serviceaccount:") {
    return fc.oneof({ weight: 9, arbitrary: account }, { weight: 1, arbitrary: value });
  }
  return fc.oneof(words, value, piece);
}

/** What is not in the name is good: only names are looked at. */
function others(rule: ClaimRule): fc.Arbitrary<string> {
  if (rule.default !== undefined) return fc.constant("");
  return fc.constant(rule.type === "flag" ? "true" : "a");
}

function put(
  claims: { [name: string]: unknown },
  [name = "", ...rest]: readonly string[],
  text: string,
): void {
  if (rest.length === 0) claims[name] = text;
  else put((claims[name] ??= {}) as { [name: string]: unknown }, rest, text);
}

/** Who that is: the claims that the provider says make one principal, at the issuer the certificate names. */
function principalOf(provider: Provider, claims: Claims, oidcIssuer: string): string {
  const values = provider.uniqueBy.map((name) => {
    const rule = provider.claims[name] ?? subject;
    const place = rule.at ?? [name];
    const value = place.reduce<unknown>(
      (at, member) => (at as Claims | undefined)?.[member],
      claims,
    );
    // Absent and empty both stand for the default, which only Codefresh writes as its base.
    return value === "" ? rule.default?.replace("{base}", "https://g.codefresh.io") : value;
  });
  return JSON.stringify([oidcIssuer, ...values]);
}

it.each([
  ["the shipped providers", shipped],
  ["Fulcio's configuration", ofFulcio],
])(
  "no two principals of %s share a name, and no name lies in another's namespace",
  (_name, make) => {
    const issuers = make();
    const owners = new Map<string, string>();
    const namespaces = issuers.map(({ url, provider, config }) => {
      const binding: Binding = {
        issuerUrl: url,
        base: baseOf(url, provider),
        variables: {},
        settings: config,
        trustMail: false,
        mailDomains: null,
        federates: null,
      };
      return { type: provider.type, namespace: namespaceOf(provider, fixedOf(provider, binding)) };
    });
    const seen = new Set<string>();
    const drawn = (among: readonly Issuer[]) =>
      fc.constantFrom(...among).chain((issuer) => fc.tuple(fc.constant(issuer), claimsOf(issuer)));
    const hold = ([issuer, claims]: readonly [Issuer, Claims]) => {
      let mapped;
      try {
        mapped = issuer.map(claims);
      } catch (thrown) {
        if (!(thrown instanceof Malformed)) throw thrown;
        return;
      }
      seen.add(issuer.url);
      const { san, oidcIssuer } = mapped.principal;
      const principal = principalOf(issuer.provider, claims, oidcIssuer);
      const name = `${san.kind} ${san.value} ${oidcIssuer}`;
      expect(owners.get(name) ?? principal).toBe(principal);
      owners.set(name, principal);
      if (san.kind !== "uri") return;
      const among = namespaces.filter(
        ({ namespace }) => namespace !== null && overlap(namespace, { prefix: san.value }),
      );
      expect(new Set(among.map(({ type }) => type)), san.value).toEqual(
        new Set([issuer.provider.type]),
      );
    };
    fc.assert(fc.property(drawn(issuers), hold), { numRuns: 8_000 });
    // The property says nothing about issuers that never named anybody: few of their tokens do, so they draw more.
    const silent = () => issuers.filter(({ url }) => !seen.has(url));
    for (let draws = 0; draws < 50 && silent().length > 0; draws += 1) {
      fc.assert(fc.property(drawn(silent()), hold), { numRuns: 1_000 });
    }
    expect(silent()).toEqual([]);
  },
);

function baseOf(url: string, { issuers }: Provider): string {
  const exact = issuers.find(
    (pattern) => pattern.url === url || url.startsWith(`${pattern.url.split("{")[0]}`),
  );
  return exact?.base.replaceAll(/\{host\}/g, new URL(url).host) ?? new URL(url).origin;
}
