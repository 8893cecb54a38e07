/** `chancery token explain`: what it says of a token that is believed and of tokens that are not, and what it keeps to itself. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  const readInput = async () => await Promise.resolve(new Uint8Array());
  writeFileSync(join(home, "token.jwt"), token);
  const terminal = {
    environment: { CHANCERY_HOME: home },
    folder: home,
    print,
    complain: print,
    readInput,
  };
  return {
    code: await runCommand(["token", "explain", "token.jwt"], terminal),
    text: lines.join("\n"),
  };
}

it("a token that is believed: every check, every extension, and nothing personal", async () => {
  const token = await signToken(key, claims);
  const { code, text } = await explain(token);
  expect(text).toContain(
    "passed       an issuer that is configured: https://idp.example, provider email version 1",
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
