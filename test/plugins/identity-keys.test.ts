import { beforeAll, expect, it } from "vitest";
import {
  bootIdentity,
  claims,
  issuer as issuerOf,
  issuerUrl,
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

it("the issuer's keys are fetched once for many tokens at once", async () => {
  const source = issuer();
  await using booted = await bootIdentity(source);
  const token = await signToken(key, claims());
  await Promise.all(Array.from({ length: 50 }, async () => await booted.present(token)));
  await booted.present(token);
  expect(source.fetched).toEqual([
    `${issuerUrl}/.well-known/openid-configuration`,
    `${issuerUrl}/jwks`,
  ]);
});

it("the issuer's keys are fetched again for an unknown key id, once a minute however many ask", async () => {
  const source = issuer();
  await using booted = await bootIdentity(source);
  await booted.present(await signToken(key, claims()));
  const next = await issuerKey("RS256", "key-2");
  const token = await signToken(next, claims());
  await refuse(token, booted.present);
  expect(source.fetched.length).toBe(2);
  booted.clock.at += 60_000;
  await Promise.all(Array.from({ length: 50 }, async () => await refuse(token, booted.present)));
  expect(source.fetched.length).toBe(3);
  source.state.jwks = { keys: [key.jwk, next.jwk] };
  booted.clock.at += 59_000;
  await refuse(token, booted.present);
  booted.clock.at += 1_000;
  await expect(booted.present(token)).resolves.toBeDefined();
  expect(source.fetched.length).toBe(4);
});

it("TC-F11 the issuer's keys serve on while the issuer is down, but not for more than a day", async () => {
  const source = issuer();
  await using booted = await bootIdentity(source);
  await booted.present(await signToken(key, claims()));
  source.state.down = true;
  booted.clock.at += 23 * 3_600_000;
  const at = booted.clock.at / 1_000;
  await expect(
    booted.present(await signToken(key, claims({ iat: at, exp: at + 60 }))),
  ).resolves.toBeDefined();
  booted.clock.at += 3_601_000;
  const later = booted.clock.at / 1_000;
  const token = await signToken(key, claims({ iat: later, exp: later + 60 }));
  await expect(booted.present(token)).rejects.toMatchObject({ code: "issuer-unavailable" });
  expect(booted.installation.health()["identity"]).toMatchObject({ status: "degraded" });
  source.state.down = false;
  booted.clock.at += 91_000;
  await expect(booted.present(token)).rejects.toThrow("expired");
});

it("the issuer's keys are not asked for again at once after a failure", async () => {
  const source = issuer();
  source.state.down = true;
  await using booted = await bootIdentity(source);
  const token = await signToken(key, claims());
  for (let time = 0; time < 20; time++) {
    await expect(booted.present(token)).rejects.toMatchObject({ code: "issuer-unavailable" });
  }
  expect(source.fetched.length).toBe(1);
  source.state.down = false;
  booted.clock.at += 600;
  await expect(booted.present(token)).resolves.toBeDefined();
});

it.each([
  [1_000_000_000, 12 * 3_600_000],
  [0, 60_000],
  [null, 3_600_000],
])(
  "the issuer's keys stated to live %j s are kept for at most %i ms",
  async (maxAgeSeconds, longestMs) => {
    const source = issuer();
    source.state.maxAgeSeconds = maxAgeSeconds;
    await using booted = await bootIdentity(source);
    const present = async () => {
      const at = booted.clock.at / 1_000;
      await booted.present(await signToken(key, claims({ iat: at, exp: at + 60 })));
    };
    await present();
    booted.clock.at += longestMs * 0.8 - 1;
    await present();
    expect(source.fetched.length).toBe(2);
    booted.clock.at += longestMs * 0.2 + 1;
    await present();
    expect(source.fetched.length).toBe(3);
  },
);

it.each([
  ["of another issuer", { issuer: `${issuerUrl}/` }],
  ["without an issuer", { issuer: undefined }],
  ["with keys at another origin", { jwks_uri: "https://evil.example/jwks" }],
  ["with keys at a host that begins the same", { jwks_uri: "https://idp.example.evil/jwks" }],
  ["with keys over plain http", { jwks_uri: "http://idp.example/jwks" }],
  ["without keys", { jwks_uri: undefined }],
])("the issuer's keys are not taken from a document %s", async (_name, discovery) => {
  const source = issuer(undefined, discovery);
  await using booted = await bootIdentity(source);
  await expect(booted.present(await signToken(key, claims()))).rejects.toMatchObject({
    code: "issuer-unavailable",
  });
  expect(source.fetched.length).toBe(1);
});

it("the issuer's keys may lie at another origin if the configuration says so", async () => {
  const source = issuer(undefined, { jwks_uri: "https://keys.example/jwks" });
  await using booted = await bootIdentity(source, { jwksOrigin: "https://keys.example" });
  await expect(booted.present(await signToken(key, claims()))).resolves.toBeDefined();
});

it.each([
  ["{"],
  ['{"keys":[],"keys":[]}'],
  [[]],
  [{}],
  [{ keys: Array.from({ length: 101 }, () => ({})) }],
])("the issuer's keys are not taken from the key set %j", async (jwks) => {
  await using booted = await bootIdentity(issuer(jwks));
  await expect(booted.present(await signToken(key, claims()))).rejects.toMatchObject({
    code: "issuer-unavailable",
  });
});
