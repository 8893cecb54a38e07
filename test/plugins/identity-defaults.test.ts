/** A claim that is absent may count as another one of the token: that one's text is as much the token's as its own would be. */
import { expect, it } from "vitest";
import { compileMapping } from "../../plugins/identity/mapping.ts";
import { faultsOf } from "../../plugins/identity/provider-check.ts";
import type { ClaimRule, Provider } from "../../plugins/identity/provider.ts";

const issuerUrl = "https://ci.example";

/** A provider whose one extension is `build`, which counts as `workflow` where it is absent. */
function withBuild(build: ClaimRule): Provider {
  return {
    type: "ci",
    version: 1,
    title: "CI",
    issuers: [{ url: issuerUrl, base: issuerUrl }],
    claims: {
      project: { type: "word", required: true },
      workflow: { type: "text", required: true },
      build: { default: "{claims.workflow}", ...build },
    },
    challenge: "sub",
    san: { kind: "uri", template: "{base}/{claims.project}" },
    uniqueBy: ["project"],
    extensions: [{ arc: 9, template: "{claims.build}" }],
  };
}

function buildOf(provider: Provider, claims: { readonly [name: string]: string }) {
  const map = compileMapping(provider, {
    issuerUrl,
    base: issuerUrl,
    variables: {},
    settings: {},
    trustMail: false,
    mailDomains: null,
    federates: null,
  });
  return map({ iss: issuerUrl, sub: "s", project: "p", ...claims }).principal.extensions;
}

const rules: readonly (readonly [ClaimRule, good: string, bad: string])[] = [
  [{ type: "path", startsWith: "trusted/" }, "trusted/ci.yaml", "../evil?x#y"],
  [{ type: "path", startsWith: "trusted/" }, "trusted/ci.yaml", "other/ci.yaml"],
  [{ type: "path" }, "a/b", "a/../b"],
  [{ type: "word" }, "a", "a/b"],
  [{ type: "uri" }, "https://a.example/b", "a"],
  [{ type: "uri", within: "{iss}" }, "https://ci.example/b", "https://ci.example.evil/b"],
  [{ type: "flag" }, "true", "yes"],
  [{ type: "text", equals: "x" }, "x", "y"],
  [{ type: "text", oneOf: ["x", "y"] }, "y", "z"],
  [{ type: "text", without: ["@"] }, "x", "x@y"],
];

it.each(rules)("%j: what it counts as is held to the same, %s and not %s", (rule, good, bad) => {
  const provider = withBuild(rule);
  expect(faultsOf(provider)).toEqual([]);
  expect(buildOf(provider, { workflow: good })).toEqual([{ arc: 9, value: good }]);
  expect(buildOf(provider, { workflow: bad, build: good })).toEqual([{ arc: 9, value: good }]);
  expect(() => buildOf(provider, { workflow: bad })).toThrow('id token: claim "build"');
  expect(() => buildOf(provider, { workflow: good, build: bad })).toThrow("id token: claim");
});

it.each(["email", "origin"] as const)("an %s counts as nothing else of the token", (type) => {
  const personal = type === "email" && { personal: true as const };
  expect(faultsOf(withBuild({ type, ...personal }))).toEqual([
    "claims.build: the issuer vouches for it in no other member, so its default can be nothing of the token",
  ]);
  const fixed = "https://ci.example";
  expect(faultsOf(withBuild({ type, ...personal, default: fixed }))).toEqual([]);
});

it("an address is held to what the token says of addresses, wherever it comes from", () => {
  const { claims, ...rest } = withBuild({ type: "text" });
  const email: ClaimRule = { type: "email", personal: true, default: "{claims.workflow}" };
  const provider = {
    ...rest,
    claims: { ...claims, email },
    mail: { verifiedBy: "email_verified" },
  };
  expect(() => buildOf(provider, { workflow: "a@corp.example" })).toThrow("not verified");
});
