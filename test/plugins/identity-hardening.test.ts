/** What verification promises beyond the form of a token: where it reaches, which files it believes, what is taken once. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createFetch, type OutboundFetch } from "../../core/fetch.ts";
import { listIssuers } from "../../events/identity.ts";
import {
  bootIdentity,
  claims,
  issuer as issuerOf,
  issuerUrl,
  now,
  refuse,
} from "../support/identity.ts";
import { issuerKey, type IssuerKey, signToken } from "../support/issuer.ts";

let key: IssuerKey;
const folder = mkdtempSync(join(tmpdir(), "chancery-identity-"));
beforeAll(async () => {
  key = await issuerKey();
  writeFileSync(join(folder, "jwks.json"), JSON.stringify({ keys: [key.jwk] }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const issuer = (jwks: unknown = { keys: [key.jwk] }) => issuerOf(jwks);
const fetchesNothing: OutboundFetch = async (url) =>
  await Promise.reject(new Error(`wanted ${url}`));

it("no token makes a packet go to a host that is not configured", async () => {
  const asked: string[] = [];
  const lookup = async (host: string) => {
    asked.push(host);
    return await Promise.resolve([]);
  };
  const fetch = createFetch({ allowLoopback: true, lookup });
  const section = {
    issuers: [
      { issuerUrl, provider: "email" },
      { issuerUrl: "https://oidc.eks.{region}.amazonaws.com/id/{cluster}", provider: "kubernetes" },
    ],
  };
  await using booted = await bootIdentity({ fetch }, {}, { section });
  const eks = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC";
  const strangers = [
    "http://127.0.0.1:9/",
    "http://localhost/",
    "http://169.254.169.254/latest/meta-data",
    "https://evil.example",
    `https://evil.example/?issuer=${issuerUrl}`,
    `https://evil.example/#${issuerUrl}`,
    `${issuerUrl}@evil.example`,
    issuerUrl.replace("idp.example", "idp.example.evil.example"),
    issuerUrl.replace("idp.example", "u:p@idp.example"),
    issuerUrl.replace("idp.example", "idp.example:8443"),
    eks.replace("amazonaws.com", "evil.example"),
    eks.replace("amazonaws.com", "amazonaws.com.evil.example"),
    eks.replace("eu-west-1", "evil.example/x"),
    eks.replace("eu-west-1", "evil.example#"),
    eks.replace("oidc.eks", "evil.example/oidc.eks"),
    `${eks}/../../x`,
  ];
  for (const iss of strangers) await refuse(signToken(key, claims({ iss })), booted.present);
  for (const header of ["jku", "x5u"]) {
    await refuse(signToken(key, claims(), { [header]: "https://evil.example" }), booted.present);
  }
  expect(asked).toEqual([]);
  for (const iss of [issuerUrl, eks]) {
    const refused = booted.present(await signToken(key, claims({ iss })));
    await expect(refused).rejects.toMatchObject({ code: "issuer-unavailable" });
  }
  expect(asked).toEqual(["idp.example", "oidc.eks.eu-west-1.amazonaws.com"]);
});

it("a flood of issuers that only a template knows gets few packets out, and configured ones go on", async () => {
  const source = issuer();
  const section = {
    issuers: [
      { issuerUrl, provider: "email" },
      { issuerUrl: "https://{tenant}.idp.test/{realm}", provider: "email" },
    ],
  };
  await using booted = await bootIdentity(source, {}, { section });
  for (let at = 0; at < 300; at++) {
    const token = await signToken(key, claims({ iss: `https://t${at}.idp.test/x` }));
    await expect(booted.present(token)).rejects.toMatchObject({ code: "issuer-unavailable" });
  }
  expect(source.fetched.length).toBeLessThanOrEqual(30);
  await expect(booted.present(await signToken(key, claims()))).resolves.toBeDefined();
  const { issuers } = await booted.installation.ask(listIssuers, {});
  expect(issuers[1]).toMatchObject({ wildcardIssuerUrl: "https://*.idp.test/*" });
});

it.each([
  ["https://{host}", "must be fixed"],
  ["https://{a}.example", "must be fixed"],
  ["https://{a}.{b}.example", "must be fixed"],
  ["https://idp.example/{a}/{a}", "not a variable of its own"],
  ["https://idp.example/{A}", "not a plain URL"],
])("the template %s is refused", async (url, message) => {
  const section = { issuers: [{ issuerUrl: url, provider: "email" }] };
  await expect(bootIdentity(issuer(), {}, { section })).rejects.toThrow(message);
});

it("a key set in a file is all there is: nothing is fetched, and another key does not exist", async () => {
  const own = { home: folder };
  await using booted = await bootIdentity(
    { fetch: fetchesNothing },
    { jwksFile: "jwks.json" },
    own,
  );
  await expect(booted.present(await signToken(key, claims()))).resolves.toBeDefined();
  const other = await issuerKey("RS256", "key-2");
  await refuse(signToken(other, claims()), booted.present);
  writeFileSync(join(folder, "broken.json"), "{");
  for (const jwksFile of ["broken.json", "missing.json"]) {
    const boot = bootIdentity({ fetch: fetchesNothing }, { jwksFile }, own);
    await expect(boot).rejects.toThrow(/json/);
  }
});

it("TC-F4 the authority of an issuer goes with every request to it, and with no other", async () => {
  writeFileSync(join(folder, "ca.pem"), "-----BEGIN CERTIFICATE-----\n");
  const seen: unknown[] = [];
  const source = issuer();
  const fetch: OutboundFetch = async (url, limits) => {
    seen.push(limits?.authorities);
    return await source.fetch(url, limits);
  };
  await using booted = await bootIdentity({ fetch }, { authorityFile: "ca.pem" }, { home: folder });
  await booted.present(await signToken(key, claims()));
  expect(seen).toEqual([["-----BEGIN CERTIFICATE-----\n"], ["-----BEGIN CERTIFICATE-----\n"]]);
});

it("TC-F10 a token that is taken once is taken once, by any number at a time and until after its end", async () => {
  await using booted = await bootIdentity(issuer(), { oneTime: true });
  const token = await signToken(key, claims({ jti: "j-1", exp: now + 60 }));
  const uses = await Promise.allSettled(
    Array.from({ length: 100 }, async () => await booted.present(token)),
  );
  expect(uses.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  booted.clock.at += 89_000;
  await expect(booted.present(token)).rejects.toThrow("used before");
  booted.clock.at += 1_000;
  await expect(booted.present(token)).rejects.toThrow("expired");
  await refuse(signToken(key, claims()), booted.present);
  await refuse(signToken(key, claims({ jti: "" })), booted.present);
  await refuse(signToken(key, claims({ jti: 5 })), booted.present);
  const later = booted.clock.at / 1_000;
  for (let at = 0; at < 3; at++) {
    const fresh = claims({ jti: `k-${at}`, iat: later, exp: later + 60 });
    await expect(booted.present(await signToken(key, fresh))).resolves.toBeDefined();
  }
});

it("a token that is refused for something else has not been used", async () => {
  await using booted = await bootIdentity(issuer(), { oneTime: true });
  await refuse(signToken(key, claims({ jti: "j", email: "x" })), booted.present);
  await expect(booted.present(await signToken(key, claims({ jti: "j" })))).resolves.toBeDefined();
});

it("TC-F11 one subject of two issuers is two identities", async () => {
  const section = {
    issuers: [
      { issuerUrl, provider: "github-workflow" },
      {
        issuerUrl: "https://other.example/oidc",
        provider: "github-workflow",
        jwksFile: "jwks.json",
      },
    ],
  };
  const workflow = Object.fromEntries(
    [
      "job_workflow_ref",
      "sha",
      "event_name",
      "repository",
      "workflow",
      "ref",
      "job_workflow_sha",
      "runner_environment",
      "repository_id",
      "repository_owner",
      "repository_owner_id",
      "workflow_ref",
      "workflow_sha",
      "run_id",
      "run_attempt",
    ].map((name) => [name, "x"]),
  );
  await using booted = await bootIdentity(issuer(), {}, { home: folder, section });
  const names = [];
  for (const { issuerUrl: iss } of section.issuers) {
    const { principal } = await booted.present(await signToken(key, claims({ ...workflow, iss })));
    names.push(`${principal.san.value} ${principal.oidcIssuer}`);
  }
  expect(new Set(names).size).toBe(2);
});

it.each([
  [{ aud: ["sigstore", "other"], azp: "sigstore" }, true],
  [{ aud: "sigstore", azp: "104029292853099978293" }, true],
  [{ aud: ["sigstore", "other"], azp: "other" }, false],
  [{ aud: ["sigstore", "other"], azp: ["sigstore"] }, false],
  [{ aud: "sigstore", azp: "" }, false],
  [{ aud: "sigstore", azp: null }, false],
])("TC-J6 %j: %s", async (change, good) => {
  await using booted = await bootIdentity(issuer());
  const token = await signToken(key, claims(change));
  if (good) await expect(booted.present(token)).resolves.toBeDefined();
  else await refuse(token, booted.present);
});

it("an issuer may allow fewer algorithms and shorter lives", async () => {
  const es = await issuerKey("ES256", "key-2");
  const jwks = { keys: [key.jwk, es.jwk] };
  await using booted = await bootIdentity(issuer(jwks), {
    algorithms: ["ES256"],
    maxLifetimeSeconds: 900,
  });
  await expect(booted.present(await signToken(es, claims()))).resolves.toBeDefined();
  await refuse(signToken(key, claims()), booted.present);
  await refuse(signToken(es, claims({ exp: now + 891 })), booted.present);
});

it.each([
  [[{ issuerUrl, provider: "email", trustDomain: "x" }], "takes no trustDomain"],
  [[{ issuerUrl, provider: "spiffe" }], "needs trustDomain"],
  [[{ issuerUrl, provider: "uri", subjectDomain: "idp.example" }], "must be a scheme and host"],
  [[{ issuerUrl, provider: "username", subjectDomain: "https://idp.example" }], "must be a domain"],
  [[{ issuerUrl, provider: "username", subjectDomain: "evil.test" }], "another organisation"],
  [[{ issuerUrl, provider: "github-workflow", trustMail: true }], "takes no trustMail"],
  [[{ issuerUrl, provider: "email", federates: ["x"] }], "takes no federates"],
  [[{ issuerUrl: "https://{a}.idp.example", provider: "dex" }], "cannot share"],
  [
    [
      { issuerUrl, provider: "email" },
      { issuerUrl, provider: "email" },
    ],
    "listed twice",
  ],
  [[], "no issuer is accepted"],
  [[{ issuerUrl, provider: "email", algorithms: ["HS256"] }], ""],
  [[{ issuerUrl, provider: "email", algorithms: ["none"] }], ""],
  [
    [
      { issuerUrl: "https://git.corp.example", provider: "gitlab-pipeline" },
      {
        issuerUrl: "https://id.corp.example",
        provider: "uri",
        subjectDomain: "https://git.corp.example",
      },
    ],
    "could name the same URI",
  ],
])("the issuers %j are refused", async (issuers, message) => {
  await expect(bootIdentity(issuer(), {}, { section: { issuers } })).rejects.toThrow(message);
});
