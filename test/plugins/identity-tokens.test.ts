import { createHmac, createPublicKey, createSign, generateKeyPairSync } from "node:crypto";
import { beforeAll, expect, it } from "vitest";
import {
  bootIdentity,
  claims,
  issuer as issuerOf,
  issuerUrl,
  now,
  refuse,
} from "../support/identity.ts";
import { issuerKey, type IssuerKey, signToken } from "../support/issuer.ts";
import { leastCpuMs } from "../support/cpu-time.ts";

let key: IssuerKey;
beforeAll(async () => {
  key = await issuerKey();
});

/** The issuer with the one key, unless a test says otherwise. */
const issuer = (jwks: unknown = { keys: [key.jwk] }, discovery: object = {}) =>
  issuerOf(jwks, discovery);

const encode = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

it("TC-J1 refuses: a shared-secret signature made with anything the public key gives", async () => {
  await using booted = await bootIdentity(issuer());
  const publicKey = createPublicKey({ key: key.jwk as never, format: "jwk" });
  const pem = publicKey.export({ type: "spki", format: "pem" });
  const secrets = [
    pem,
    String(pem).trim(),
    publicKey.export({ type: "spki", format: "der" }),
    JSON.stringify(key.jwk),
    Buffer.from(String(key.jwk["n"]), "base64url"),
    "",
  ];
  for (const alg of ["HS256", "HS384", "HS512"]) {
    for (const secret of secrets) {
      const input = `${encode({ alg, kid: "key-1" })}.${encode(claims())}`;
      const mac = createHmac(`sha${alg.slice(2)}`, secret)
        .update(input)
        .digest("base64url");
      await refuse(`${input}.${mac}`, booted.present);
    }
  }
});

it.each([
  ["none"],
  ["None"],
  ["NONE"],
  ["nOnE"],
  [undefined],
  [null],
  [["RS256"]],
  [256],
  ["rs256"],
  [""],
])("TC-J2 refuses: algorithm %j", async (alg) => {
  const source = issuer();
  await using booted = await bootIdentity(source);
  for (const signature of ["", encode("signature")]) {
    await refuse(
      `${encode({ alg, kid: "key-1" })}.${encode(claims())}.${signature}`,
      booted.present,
    );
  }
  expect(source.fetched).toEqual([]);
});

it("TC-J3 refuses: keys brought along in the header, and nothing is fetched for them", async () => {
  const source = issuer();
  await using booted = await bootIdentity(source);
  const own = await issuerKey("RS256", "key-1");
  for (const header of [
    { jwk: own.jwk },
    { jku: "https://evil.example/jwks" },
    { x5u: "https://evil.example/x5u" },
    { x5c: ["MAo="] },
  ]) {
    await refuse(signToken(own, claims(), header), booted.present);
  }
  expect(source.fetched).toEqual([]);
  for (const kid of ["https://evil.example/key", "../../etc/passwd", "' OR 1=1 --"]) {
    await refuse(signToken(own, claims(), { kid }), booted.present);
  }
  expect(source.fetched.every((url) => url.startsWith(issuerUrl))).toBe(true);
});

it("TC-J4 TC-F1 refuses: five parts, two parts, one part, and a flood of dots in no time", async () => {
  const source = issuer();
  await using booted = await bootIdentity(source);
  const token = await signToken(key, claims());
  for (const bad of [
    `${token}.a.b`,
    token.split(".").slice(0, 2).join("."),
    "a",
    "",
    "..",
    ".".repeat(16_384),
  ]) {
    expect(await leastCpuMs(async () => await refuse(bad, booted.present))).toBeLessThan(50);
  }
  await expect(booted.present("a".repeat(16_385))).rejects.toMatchObject({ code: "malformed" });
  expect(source.fetched).toEqual([]);
});

it("TC-J5 refuses: a bad signature is judged before the time", async () => {
  await using booted = await bootIdentity(issuer());
  const token = await signToken(key, claims({ exp: now - 1_000, iat: now - 2_000 }));
  await expect(booted.present(token)).rejects.toThrow("expired");
  const other = await issuerKey("RS256", "key-1");
  await expect(
    booted.present(await signToken(other, claims({ exp: now - 1_000, iat: now - 2_000 }))),
  ).rejects.toThrow("signature");
});

it("TC-J6 refuses: audiences", async () => {
  await using booted = await bootIdentity(issuer());
  for (const aud of ["sigstore", ["sigstore"], ["other", "sigstore"]]) {
    await expect(booted.present(await signToken(key, claims({ aud })))).resolves.toBeDefined();
  }
  for (const aud of [
    "",
    [],
    "Sigstore",
    "sigstore2",
    "sig",
    ["other"],
    [["sigstore"]],
    null,
    undefined,
    1,
    { sigstore: 1 },
  ]) {
    await refuse(signToken(key, claims({ aud })), booted.present);
  }
  await refuse(signToken(key, claims({ aud: "other", azp: "sigstore" })), booted.present);
});

it("TC-J7 refuses: encodings that are not the one encoding", async () => {
  await using booted = await bootIdentity(issuer());
  const signed = (header: string, payload: string) => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    return `${header}.${payload}.${createSign("sha256").update(`${header}.${payload}`).sign(privateKey, "base64url")}`;
  };
  const header = encode({ alg: "RS256", kid: "key-1" });
  const token = await signToken(key, claims());
  const [head = "", body = "", signature = ""] = token.split(".");
  for (const bad of [
    `${head}=.${body}.${signature}`,
    `${head}.${body}=.${signature}`,
    `${head}.${body}.${signature}==`,
    `${head}.${body}.${signature.replaceAll("-", "+").replaceAll("_", "/")}+`,
    ` ${token}`,
    `${token}\n`,
    `${head}.${body}.${signature.slice(0, -1)}${signature.endsWith("A") ? "B" : "A"}`,
    signed(header, encode("not json")),
    signed(header, encode("[]")),
    signed(header, Buffer.from([0x7b, 0xff, 0x7d]).toString("base64url")),
    signed(encode('{"alg":"RS256","alg":"RS256"}'), body),
  ]) {
    await refuse(bad, booted.present);
  }
  await refuse(
    signToken(key, `{"iss":"${issuerUrl}",${JSON.stringify(claims()).slice(1)}`),
    booted.present,
  );
  await refuse(
    signToken(key, JSON.stringify(claims({ name: "x" })).replace('"x"', '"\\ud800"')),
    booted.present,
  );
  await refuse(
    `${encode({ alg: "RS256", kid: "key-1", crit: ["exp"], exp: 1 })}.${body}.${signature}`,
    booted.present,
  );
  await refuse(
    `${encode({ alg: "RS256", kid: "key-1", b64: false })}.${body}.${signature}`,
    booted.present,
  );
  await refuse(signToken(key, claims(), { typ: "at+jwt" }), booted.present);
  await refuse(signToken(key, claims(), { kid: 5 }), booted.present);
});

it("TC-J8 refuses: keys an issuer should not have", async () => {
  const rsa = (bits: number, publicExponent = 65_537) =>
    generateKeyPairSync("rsa", { modulusLength: bits, publicExponent });
  const p384 = await issuerKey("ES384");
  const cases: [string, unknown, IssuerKey][] = [
    ["use enc", { keys: [{ ...key.jwk, use: "enc" }] }, key],
    ["key_ops sign", { keys: [{ ...key.jwk, key_ops: ["sign"] }] }, key],
    ["kty mismatch", { keys: [{ ...key.jwk, kty: "EC" }] }, key],
    ["alg of another kind", { keys: [{ ...key.jwk, alg: "ES256" }] }, key],
    ["another alg of the kind", { keys: [{ ...key.jwk, alg: "RS512" }] }, key],
    ["a hundred of one id", { keys: Array.from({ length: 100 }, () => key.jwk) }, key],
    ["P-384 for ES256", { keys: [{ ...p384.jwk, alg: "ES256" }] }, { ...p384, alg: "ES384" }],
    ["private half published", { keys: [{ ...key.jwk, d: "AQAB" }] }, key],
    ["exponent 1", { keys: [{ ...key.jwk, e: "AQ" }] }, key],
    ["no such id", { keys: [{ ...key.jwk, kid: "key-2" }] }, key],
    ["not objects", { keys: [null, 1, "x", []] }, key],
  ];
  for (const [name, jwks, signer] of cases) {
    await using booted = await bootIdentity(issuer(jwks));
    await expect(booted.present(await signToken(signer, claims())), name).rejects.toMatchObject({
      code: "identity-rejected",
    });
  }
  for (const pair of [rsa(512), rsa(1024), rsa(2048, 3)]) {
    const jwk = { ...pair.publicKey.export({ format: "jwk" }), kid: "key-1", alg: "RS256" };
    await using booted = await bootIdentity(issuer({ keys: [jwk] }));
    const input = `${encode({ alg: "RS256", kid: "key-1" })}.${encode(claims())}`;
    await refuse(
      `${input}.${createSign("sha256").update(input).sign(pair.privateKey, "base64url")}`,
      booted.present,
    );
  }
});

it("refuses times, just inside and just outside", async () => {
  await using booted = await bootIdentity(issuer());
  for (const good of [
    { iat: now - 100, exp: now - 29 },
    { iat: now + 30 },
    { nbf: now + 30 },
    { iat: now - 10, exp: now - 10 + 86_400 },
    { iat: now - 10.5 },
  ]) {
    await expect(
      booted.present(await signToken(key, claims(good))),
      JSON.stringify(good),
    ).resolves.toBeDefined();
  }
  for (const bad of [
    { iat: now - 100, exp: now - 30 },
    { exp: undefined },
    { exp: String(now + 60) },
    { exp: -1 },
    { exp: 1e300 },
    { iat: undefined },
    { iat: null },
    { iat: now + 31 },
    { nbf: now + 31 },
    { nbf: "0" },
    { iat: now - 10, exp: now - 10 + 86_401 },
    { iat: now + 20, exp: now + 20 },
  ]) {
    await refuse(signToken(key, claims(bad)), booted.present);
  }
});

it("refuses issuers that are not exactly the configured one, without fetching anything", async () => {
  const source = issuer();
  await using booted = await bootIdentity(source);
  for (const iss of [
    undefined,
    5,
    [issuerUrl],
    "",
    `${issuerUrl}/`,
    issuerUrl.replace("idp", "IDP"),
    issuerUrl.replace("https", "http"),
    "https://idp.example:443/oidc",
    "https://u@idp.example/oidc",
    `${issuerUrl}?x=`,
    `${issuerUrl}#`,
    "https://idp.example./oidc",
    "https://idp。example/oidc",
    "https://i\u00addp.example/oidc",
    "http://127.0.0.1/",
    "http://0x7f.1/",
    "http://[::ffff:127.0.0.1]/",
  ]) {
    await refuse(signToken(key, claims({ iss })), booted.present);
  }
  expect(source.fetched).toEqual([]);
});

it.each([["True"], [1], ["1"], ["false"], [false], [null], [undefined], [[true]], [{}]])(
  "TC-F8 email_verified %j is refused",
  async (email_verified) => {
    await using booted = await bootIdentity(issuer());
    await refuse(signToken(key, claims({ email_verified })), booted.present);
  },
);

it("TC-F8 takes email_verified as the string true", async () => {
  await using booted = await bootIdentity(issuer());
  await expect(
    booted.present(await signToken(key, claims({ email_verified: "true" }))),
  ).resolves.toBeDefined();
});
