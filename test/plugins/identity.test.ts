import { createHash } from "node:crypto";
import { beforeAll, expect, it } from "vitest";
import { decodeVerdict } from "../../core/formats/verdict.ts";
import { listIssuers } from "../../events/identity.ts";
import { testSeals } from "../support/boot.ts";
import {
  bootIdentity,
  claims,
  issuer as issuerOf,
  issuerUrl,
  nowMs,
  publicKeyHash,
  refuse,
} from "../support/identity.ts";
import { issuerKey, type IssuerKey, signToken } from "../support/issuer.ts";

let key: IssuerKey;
beforeAll(async () => {
  key = await issuerKey();
});

/** The issuer with the one key, unless a test says otherwise. */
const issuer = (jwks: unknown = { keys: [key.jwk] }, discovery: object = {}) =>
  issuerOf(jwks, discovery);

it("gives the principal and a verdict the vault can check", async () => {
  await using booted = await bootIdentity(issuer());
  const idToken = await signToken(key, claims());
  const { principal, provenance, sealed } = await booted.present(idToken);
  expect(principal).toEqual({
    oidcIssuer: issuerUrl,
    subject: "subject-1",
    challenge: "user@example.com",
    san: { kind: "email", value: "user@example.com" },
    extensions: [],
  });
  expect(testSeals("hsm").verify("identity", sealed.verdict, sealed.mac)).toBe(true);
  expect(decodeVerdict(sealed.verdict)).toEqual({
    principal,
    tokenDigest: new Uint8Array(createHash("sha256").update(idToken).digest()),
    publicKeyHash,
    verifiedAtMs: BigInt(nowMs),
    nonce: expect.objectContaining({ length: 16 }) as Uint8Array,
    provenance,
  });
  expect(provenance).toEqual({
    provider: "email",
    providerVersion: "1",
    mappingSha256: expect.objectContaining({ length: 32 }) as Uint8Array,
    assurance: {},
    facets: [],
    decision: {
      rule: "default",
      policyVersion: "unnamed",
      policySha256: expect.objectContaining({ length: 32 }) as Uint8Array,
    },
  });
  // The same token and key at the same moment: another verdict, because each is redeemed once.
  expect((await booted.present(idToken)).sealed.verdict).not.toEqual(sealed.verdict);
});

it.each(["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])("takes %s", async (alg) => {
  const other = await issuerKey(alg);
  await using booted = await bootIdentity(issuer({ keys: [other.jwk] }));
  await expect(booted.present(await signToken(other, claims()))).resolves.toBeDefined();
});

it("lists the issuers it accepts", async () => {
  await using booted = await bootIdentity(issuer());
  expect(await booted.installation.ask(listIssuers, {})).toEqual({
    issuers: [{ issuerUrl, audience: "sigstore", challengeClaim: "email", issuerType: "email" }],
  });
});

it("maps a GitHub workflow's claims", async () => {
  await using booted = await bootIdentity(issuer(), { provider: "github-workflow" });
  const workflow = {
    job_workflow_ref: "o/r/.github/workflows/w.yml@refs/heads/main",
    sha: "s1",
    event_name: "push",
    repository: "o/r",
    workflow: "a & b",
    ref: "refs/heads/main",
    job_workflow_sha: "s2",
    runner_environment: "github-hosted",
    repository_id: 1753000000,
    repository_owner: "o",
    repository_owner_id: "2",
    workflow_ref: "o/r/w@main",
    workflow_sha: "s3",
    run_id: "9",
    run_attempt: "1",
  };
  const { principal } = await booted.present(await signToken(key, claims(workflow)));
  expect(principal.san).toEqual({
    kind: "uri",
    // Never another tenant's: an issuer that is not GitHub's own speaks for its own origin.
    value: `https://idp.example/${workflow.job_workflow_ref}`,
  });
  expect(principal.challenge).toBe("subject-1");
  const values = Object.fromEntries(principal.extensions.map(({ arc, value }) => [arc, value]));
  expect(values).toMatchObject({ 4: "a & b", 15: "1753000000" });
  expect(values[21]).toBe("https://idp.example/o/r/actions/runs/9/attempts/1");
  expect(values).not.toHaveProperty("22");
  await refuse(signToken(key, claims({ ...workflow, sha: undefined })), booted.present);
  await refuse(signToken(key, claims({ ...workflow, run_id: ["9"] })), booted.present);
  const large = JSON.stringify(claims(workflow)).replace("1753000000", "9007199254740993");
  await refuse(signToken(key, large), booted.present);
  await refuse(signToken(key, large.replace("9007199254740993", "1e21")), booted.present);
});

it("holds a URI subject to the issuer's domain", async () => {
  const config = { provider: "uri", subjectDomain: "https://jobs.idp.example" };
  await using booted = await bootIdentity(issuer(), config);
  const good = await booted.present(
    await signToken(key, claims({ sub: "https://jobs.idp.example/a" })),
  );
  expect(good.principal.san).toEqual({ kind: "uri", value: "https://jobs.idp.example/a" });
  for (const sub of [
    "http://jobs.idp.example/a",
    "https://idp.example/a",
    "https://jobs.idp.example.evil/a",
    "https://u@jobs.idp.example/a",
    "https://JOBS.idp.example/a",
    "https://jobs.idp.example:444/a",
    "a",
  ]) {
    await refuse(signToken(key, claims({ sub })), booted.present);
  }
});

it.each([
  [{ provider: "nobody" }, "no provider"],
  [{ provider: "uri" }, "needs subjectDomain"],
  [{ provider: "email", subjectDomain: "https://idp.example" }, "takes no subjectDomain"],
  [{ provider: "uri", subjectDomain: "https://other.test" }, "another organisation"],
  [{ audience: "" }, ""],
  [{ surprise: 1 }, ""],
])("%j is refused", async (config, message) => {
  await expect(bootIdentity(issuer(), config)).rejects.toThrow(message);
});

it("refuses identities that a reader could misread", async () => {
  await using booted = await bootIdentity(issuer());
  for (const sub of [
    undefined,
    "",
    5,
    "a".repeat(2_049),
    " a",
    "a ",
    "a\u0000",
    "a\nb",
    "\u202eevil",
    "a\u200db",
    "e\u0301",
  ]) {
    await refuse(signToken(key, claims({ sub })), booted.present);
  }
  for (const email of [
    undefined,
    "",
    "user",
    "user@",
    "@example.com",
    "a b@example.com",
    "user@example.com ",
    "user@example..com",
    ".user@example.com",
    "user@-example.com",
    "user@example.com\n",
    "us\u00e9r@example.com",
    "user@ex\u00e4mple.com",
    `${"a".repeat(65)}@example.com`,
    ["user@example.com"],
  ]) {
    await refuse(signToken(key, claims({ email })), booted.present);
  }
  await expect(
    booted.present(await signToken(key, claims({ sub: "\u00e9" }))),
  ).resolves.toBeDefined();
});
