/** A provider to begin with: its file and its vectors, from a name alone or from the claims of a token one has. */
import { stringify } from "yaml";
import { Malformed } from "../../../core/formats/malformed.ts";
import { type Claims, isObject } from "../id-token.ts";
import { isPlainIssuer } from "../issuer-pattern.ts";
import type { ClaimRule } from "../provider.ts";

/** Two files' texts. */
export interface Scaffold {
  readonly provider: string;
  readonly vectors: string;
}

/** Members every token has, which no provider declares. */
const common = new Set([
  "iss",
  "sub",
  "aud",
  "exp",
  "iat",
  "nbf",
  "jti",
  "azp",
  "nonce",
  "at_hash",
]);
const personal = /mail|user|actor|login|name$/;

/** `claims` are those of a token, verified or not: nothing is believed, only its shape is looked at. @throws {Malformed} */
export function scaffold(type: string, claims: Claims | null): Scaffold {
  if (!/^[a-z][a-z0-9-]{0,63}$/.test(type)) {
    throw new Malformed(
      `"${type}": a provider is called by lower-case letters, digits and hyphens`,
    );
  }
  const sample = claims ?? { sub: "job:42", project: "team/app", commit: "0a1b2c3d" };
  const issuer = typeof sample["iss"] === "string" ? sample["iss"] : "https://ci.corp.example";
  if (!isPlainIssuer(issuer))
    throw new Malformed(`"${issuer.slice(0, 128)}": no issuer can be called so`);
  const rules = rulesOf(sample);
  const own = Object.fromEntries(
    Object.entries(sample).filter(([name]) => !common.has(name) || name === "sub"),
  );
  const template = "{base}/{claims.sub}";
  const subject = typeof sample["sub"] === "string" ? sample["sub"] : "job:42";
  const base = new URL(issuer).origin;
  const provider = {
    type,
    version: 1,
    title: `Pipelines of ${new URL(issuer).hostname}`,
    issuers: [{ url: issuer, base }],
    claims: { sub: { type: "path", required: true }, ...rules },
    challenge: "sub",
    san: { kind: "uri", template },
    uniqueBy: ["sub"],
    extensions: [{ arc: 9, template }],
    facets: { subject: "{claims.sub}" },
  };
  const name = `${base}/${subject}`;
  const vectors = {
    issuer: { issuerUrl: issuer },
    accepted: [
      {
        name: "a job",
        claims: { ...own, sub: subject },
        san: { kind: "uri", value: name },
        extensions: { "9": name },
      },
    ],
    refused: [
      { name: "a subject that climbs", change: { sub: "../x" }, because: "not of type path" },
    ],
  };
  return {
    provider: `# A provider: docs/providers/README.md says what each member means, "chancery provider test" whether it holds.\n${stringify(provider)}`,
    vectors: `# Tokens and what a certificate must say of them.\n${stringify(vectors)}`,
  };
}

function rulesOf(claims: Claims): { [name: string]: ClaimRule } {
  const rules: { [name: string]: ClaimRule } = {};
  const add = (place: readonly string[], value: unknown): void => {
    const last = place.at(-1) ?? "";
    const name = last.replaceAll(/[^A-Za-z0-9_]/g, "_").replace(/^[^A-Za-z]/, "c_");
    if (Object.hasOwn(rules, name)) return;
    const at = place.length === 1 && last === name ? {} : { at: place };
    const kind = typeof value === "boolean" ? "flag" : "text";
    rules[name] = { ...at, type: kind, ...(personal.test(name) && { personal: true as const }) };
  };
  for (const [name, value] of Object.entries(claims)) {
    // Addresses need a rule for how they were verified: that is for the author to say.
    if (common.has(name) || /email/.test(name)) continue;
    if (["string", "number", "boolean"].includes(typeof value)) add([name], value);
    if (!isObject(value)) continue;
    for (const [inner, one] of Object.entries(value)) {
      if (["string", "number", "boolean"].includes(typeof one)) add([name, inner], one);
    }
  }
  return rules;
}
