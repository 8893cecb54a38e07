import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLocalJWKSet, jwtVerify } from "jose";
import { afterAll, beforeAll, expect, it } from "vitest";
import { StartRefused } from "../../core/plugin.ts";
import { decode } from "../../core/wire.ts";
import { describeProvider, issueDemoToken } from "../../events/idp.ts";
import idp from "../../plugins/idp/plugin.ts";
import { bootForTest, silentJournal } from "../support/boot.ts";
import { idTokenVault } from "../support/id-token-vault.ts";

const issuer = "http://localhost:8420/oidc";
const adminSecret = "0123456789abcdef0123456789abcdef";

let home = "";
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "chancery-idp-"));
  await mkdir(join(home, "secrets"));
  await writeFile(join(home, "secrets", "admin"), `${adminSecret}\n`);
});
afterAll(async () => await rm(home, { recursive: true }));

async function bootProvider(accounts: unknown = "any", more: object = {}) {
  const warnings: string[] = [];
  const { plugin, signed } = idTokenVault();
  const installation = await bootForTest({
    entries: [idp, plugin],
    config: { idp: { issuer, accounts, ...more }, hsm: {} },
    home,
    journal: () => ({ ...silentJournal, warn: (event) => warnings.push(event) }),
  });
  return {
    installation,
    signed,
    warnings,
    [Symbol.asyncDispose]: async () => await installation.dispose(),
  };
}

const question = { adminSecret, email: "demo@example.com", audience: "sigstore" };

it("issues a token that its own documents verify, and marks it", async () => {
  await using booted = await bootProvider();
  const { idToken } = await booted.installation.ask(issueDemoToken, question);
  const { discovery, jwks } = await booted.installation.ask(describeProvider, {});
  const document = JSON.parse(discovery) as { [name: string]: unknown };
  expect(document).toMatchObject({
    issuer,
    jwks_uri: `${issuer}/jwks`,
    code_challenge_methods_supported: ["S256"],
    id_token_signing_alg_values_supported: ["RS256"],
  });
  const { payload, protectedHeader } = await jwtVerify(
    idToken,
    createLocalJWKSet(JSON.parse(jwks) as never),
    {
      issuer,
      audience: "sigstore",
    },
  );
  expect(protectedHeader.alg).toBe("RS256");
  expect(payload).toMatchObject({
    email: "demo@example.com",
    email_verified: true,
    demo_account: true,
  });
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(600);
  // On record, by the digest that the certificate's record has too.
  const reader = await booted.installation.storage.openReader("idp");
  const facts = await reader.read("facts", 0n, 10);
  const bodies = facts.map(({ value }) => decode((decode(value) as { body: Uint8Array }).body));
  expect(bodies).toMatchObject([
    {
      tokenDigest: new Uint8Array(createHash("sha256").update(idToken).digest()),
      subject: "demo:demo@example.com",
      email: "demo@example.com",
      by: "admin-secret",
    },
  ]);
});

it.each([
  ["secrets/short", "is shorter than 32 characters"],
  ["secrets/none", "cannot be read (ENOENT)"],
])("refuses to start with %s for a secret, for good", async (adminSecretFile, said) => {
  await writeFile(join(home, "secrets", "short"), adminSecret.slice(1));
  const refused: unknown = await bootProvider("any", { adminSecretFile }).catch((e: unknown) => e);
  expect(refused).toMatchObject({ message: expect.stringContaining(said) as string });
  expect(String((refused as Error).message)).toContain(join(home, adminSecretFile));
  expect(refused).toBeInstanceOf(StartRefused);
});

it("says loudly that demo accounts are on, and only then", async () => {
  await using on = await bootProvider();
  expect(on.warnings[0]).toContain("DEMO ACCOUNTS ARE ON");
  await using off = await bootProvider([]);
  expect(off.warnings).toEqual([]);
});

it.each(["", "x", adminSecret.slice(1), `${adminSecret}0`, adminSecret.toUpperCase()])(
  "refuses the secret %j and signs nothing",
  async (secret) => {
    await using booted = await bootProvider();
    await expect(
      booted.installation.ask(issueDemoToken, { ...question, adminSecret: secret }),
    ).rejects.toMatchObject({ code: "access-denied" });
    expect(booted.signed).toEqual([]);
  },
);

it.each([
  "",
  "demo",
  "a b@example.com",
  "demo@example.com\n",
  '"demo"@example.com',
  "demo@exämple.com",
  '"},"sub":"x@a',
])("refuses the address %j and signs nothing", async (email) => {
  await using booted = await bootProvider();
  await expect(
    booted.installation.ask(issueDemoToken, { ...question, email }),
  ).rejects.toMatchObject({
    code: "malformed",
  });
  expect(booted.signed).toEqual([]);
});

it("issues tokens for listed accounts only", async () => {
  await using booted = await bootProvider(["demo@example.com"]);
  await expect(booted.installation.ask(issueDemoToken, question)).resolves.toBeDefined();
  await expect(
    booted.installation.ask(issueDemoToken, { ...question, email: "other@example.com" }),
  ).rejects.toMatchObject({ code: "policy-refused" });
  await using closed = await bootProvider([]);
  const wrong = { ...question, adminSecret: "another-secret-altogether" };
  for (const asked of [question, wrong]) {
    await expect(closed.installation.ask(issueDemoToken, asked)).rejects.toMatchObject({
      code: "policy-refused",
    });
  }
});
