/** `chancery token explain`: what it says of a token that is believed and of tokens that are not, and what it keeps to itself. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runCommand } from "../../config/commands.ts";
import { issuerKey, type IssuerKey, signToken } from "../support/issuer.ts";

const home = mkdtempSync(join(tmpdir(), "chancery-explain-"));
let key: IssuerKey;
const now = Math.floor(Date.now() / 1_000);
const claims = {
  iss: "https://idp.example",
  aud: "sigstore",
  sub: "s-1",
  iat: now - 5,
  exp: now + 300,
  email: "ada@corp.example",
  email_verified: true,
};

beforeAll(async () => {
  key = await issuerKey();
  const instance = {
    version: 1,
    id: crypto.randomUUID(),
    origin: "https://sign.example",
    port: 1,
    tlsPort: 2,
    natsPort: 3,
    createdAt: "2026-01-01T00:00:00.000Z",
    treeId: "1",
  };
  writeFileSync(join(home, "instance.json"), JSON.stringify(instance));
  writeFileSync(join(home, "jwks.json"), JSON.stringify({ keys: [key.jwk] }));
  writeFileSync(
    join(home, "config.yaml"),
    "identity:\n  issuers:\n    - issuerUrl: https://idp.example\n      provider: email\n      jwksFile: jwks.json\n      oneTime: true\n",
  );
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function explain(token: string) {
  writeFileSync(join(home, "token.jwt"), token);
  return await command("token", "explain", "token.jwt");
}

async function command(...args: readonly string[]) {
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  const readInput = async () => await Promise.resolve(new Uint8Array());
  const terminal = {
    environment: { CHANCERY_HOME: home },
    folder: home,
    print,
    complain: print,
    readInput,
  };
  return {
    code: await runCommand(args, terminal),
    text: lines.join("\n"),
  };
}

it("a token that is believed: every check, every extension, and nothing personal", async () => {
  const token = await signToken(key, claims);
  const { code, text } = await explain(token);
  expect(text).toContain(
    "passed       an issuer that is configured: https://idp.example, provider email version 1",
  );
  expect(text).toContain(
    "passed       the policy: version unnamed, rule default: no rule applies, and the policy's default is to allow",
  );
  expect(text).toContain("  name (email): (personal)");
  expect(text.endsWith("ACCEPTED")).toBe(true);
  expect(code).toBe(0);
  expect(text).not.toContain("ada@");
  for (const part of token.split(".")) expect(text).not.toContain(part);
  // Looking at it has not used it.
  expect((await explain(token)).code).toBe(0);
});

it.each([
  [
    { email_verified: false },
    "failed       claims as the provider wants them: id token: the e-mail address is not verified",
    "provider email",
  ],
  [{ aud: "other" }, "failed       audience and times: id token: for another audience", "audience"],
  [
    { iss: "https://evil.example" },
    "failed       an issuer that is configured",
    'issuerUrl is "https://evil.example"',
  ],
])("a token with %j: the first check it fails, and where to look", async (change, line, hint) => {
  const { code, text } = await explain(await signToken(key, { ...claims, ...change }));
  expect(text).toContain(line);
  expect(text).toContain(hint);
  expect(text).toContain("not reached  not used before");
  expect(text).toContain("not reached  the policy");
  expect(text.endsWith("REFUSED")).toBe(true);
  expect(code).toBe(1);
});

it("something that is no token, and one of a stranger", async () => {
  expect((await explain("x")).text).toContain("failed       three parts");
  const stranger = await issuerKey("RS256", "key-1");
  const { text } = await explain(await signToken(stranger, claims));
  expect(text).toContain(
    "failed       signed by a key of the issuer: id token: the signature does not verify",
  );
  expect(text).toContain("jwksFile");
});

it.each([
  [
    "rules",
    "rule people-at-work: only who is at work",
    "look at policy.yaml:8, rule people-at-work",
  ],
  ["issuers", "rule default:issuer: ", "look at policy.yaml:4, rule default:issuer"],
  ["default", "rule default: ", "look at policy.yaml:2, rule default"],
])(
  "a token that is believed, and refused by the %s: the line that decides",
  async (by, why, line) => {
    const policy = [
      "version: v1",
      `default: ${by === "default" ? "deny" : "allow"}`,
      "issuers:",
      `  ${by === "issuers" ? claims.iss : "https://other.example"}: deny`,
      "rules:",
      "  - { id: others, effect: deny, reason: never, when: { san: nobody@corp.example } }",
      "  # whoever is not at work",
      `  - { id: people-at-work, effect: ${by === "rules" ? "deny" : "allow"}, reason: only who is at work,`,
      `      when: { claims: { at_work: "${by === "rules" ? "no" : "yes"}" } } }`,
    ];
    const config = readFileSync(join(home, "config.yaml"), "utf8");
    writeFileSync(join(home, "policy.yaml"), policy.join("\n"));
    writeFileSync(join(home, "config.yaml"), `${config}policy: { file: policy.yaml }\n`);
    const { code, text } = await explain(await signToken(key, { ...claims, at_work: "no" }));
    writeFileSync(join(home, "config.yaml"), config);
    expect(text).toContain(`failed       the policy: version v1, ${why}`);
    expect(text).toContain(line);
    expect(text.endsWith("REFUSED")).toBe(true);
    expect(code).toBe(1);
  },
);

it("a token that is refused by its issuer's entry: the line of that entry", async () => {
  const { text } = await explain(await signToken(key, { ...claims, aud: "other" }));
  expect(text).toContain("look at config.yaml:3, identity.issuers: issuerUrl https://idp.example");
});

it("a policy is held against the providers of the home", async () => {
  const rule = (id: string, when: string) =>
    `  - { id: ${id}, effect: allow, reason: r, when: ${when} }\n`;
  writeFileSync(
    join(home, "draft.yaml"),
    `default: deny\nrules:\n${rule("a", "{ provider: email, claims: { colour: blue } }")}${rule(
      "b",
      "{ provider: github-workflow, claims: { repository: x, job_worklow_ref: y } }",
    )}${rule("c", "{ provider: mail, claims: { groups: staff } }")}`,
  );
  const linted = await command("policy", "lint", "draft.yaml");
  expect(linted).toEqual({
    code: 1,
    text: [
      'doubt: rule a: provider "email" knows no claim "colour" (unknown-claim)',
      'doubt: rule b: provider "github-workflow" knows no claim "job_worklow_ref" (unknown-claim)',
      'doubt: rule c: there is no provider "mail" (unknown-provider)',
    ].join("\n"),
  });
  const tested = await command("policy", "test", "draft.yaml", "--case", "{issuer: x, san: a@b}");
  expect(tested.code).toBe(1);
  expect(tested.text).toContain('knows no claim "colour"');
  expect(tested.text).toContain("deny, by default:");
});
