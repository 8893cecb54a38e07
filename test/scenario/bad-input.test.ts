/**
 * Bad input to every endpoint of a running instance: the right status, a short error that gives nothing away, and no effect. The
 * table-driven tests of the door go deeper; this one proves the effects on real logs and a real vault.
 */
import { generateKeyPairSync, sign } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type Effects,
  effects,
  expectError,
  expectQuiet,
  post,
  raw,
} from "../support/bad-input.ts";
import { type Instance, type Place, startInstance } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";
import { demoToken, signOnce } from "../support/signer.ts";

const email = "eve@example.com";

let place: Place & { readonly remove: () => Promise<void> };
let instance: Instance;
let token: string;
let before: Effects;

beforeAll(async () => {
  place = await preparedPlace();
  instance = await startInstance(place);
  token = await demoToken(instance, email);
  await signOnce(instance, token, email);
});

afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await place?.remove();
});

beforeEach(async () => {
  before = await effects(instance);
});

afterEach(async () => {
  expect(await effects(instance)).toEqual(before);
});

const applicant = generateKeyPairSync("ec", { namedCurve: "P-256" });
const request = (changes: { token?: unknown; pem?: string; possession?: string } = {}) => ({
  credentials: { oidcIdentityToken: changes.token ?? token },
  publicKeyRequest: {
    publicKey: {
      algorithm: "ECDSA",
      content: changes.pem ?? applicant.publicKey.export({ type: "spki", format: "pem" }),
    },
    proofOfPossession:
      changes.possession ??
      sign("sha256", Buffer.from(email), applicant.privateKey).toString("base64"),
  },
});
const tampered = (part: number, with_: (text: string) => string): string =>
  token
    .split(".")
    .map((text, index) => (index === part ? with_(text) : text))
    .join(".");
const recoded = (part: number, change: (value: { [name: string]: unknown }) => void): string =>
  tampered(part, (text) => {
    const value = JSON.parse(Buffer.from(text, "base64url").toString()) as {
      [name: string]: unknown;
    };
    change(value);
    return Buffer.from(JSON.stringify(value)).toString("base64url");
  });
const pemOf = (kind: "ec" | "rsa", options: object): string => {
  // The overloads of generateKeyPairSync do not take a union of kinds.
  const generate = generateKeyPairSync as (
    kind: string,
    options: object,
  ) => { publicKey: typeof applicant.publicKey };
  return generate(kind, options).publicKey.export({ type: "spki", format: "pem" }).toString();
};

describe("POST /api/v2/signingCert", () => {
  test.for<[string, () => object]>([
    ["no token", () => ({ publicKeyRequest: request().publicKeyRequest })],
    ["an empty token", () => request({ token: "" })],
    ["a token of periods", () => request({ token: ".".repeat(100_000) })],
    ["a token that is a number", () => request({ token: 7 })],
    ["alg none", () => request({ token: recoded(0, (header) => (header["alg"] = "none")) })],
    ["alg HS256", () => request({ token: recoded(0, (header) => (header["alg"] = "HS256")) })],
    [
      "another e-mail under the same signature",
      () => request({ token: recoded(1, (claims) => (claims["email"] = "root@example.com")) }),
    ],
    ["an expired token", () => request({ token: recoded(1, (claims) => (claims["exp"] = 1)) })],
    [
      "another issuer",
      () => request({ token: recoded(1, (claims) => (claims["iss"] = "https://evil.example")) }),
    ],
    ["a cut signature", () => request({ token: tampered(2, (text) => text.slice(0, -8)) })],
    ["padding in the token", () => request({ token: `${token}==` })],
    ["a public key that is no PEM", () => request({ pem: "ssh-rsa AAAA" })],
    ["an RSA key of 1024 bits", () => request({ pem: pemOf("rsa", { modulusLength: 1024 }) })],
    ["a key on secp256k1", () => request({ pem: pemOf("ec", { namedCurve: "secp256k1" }) })],
    [
      "a proof for another message",
      () =>
        request({
          possession: sign("sha256", Buffer.from("x"), applicant.privateKey).toString("base64"),
        }),
    ],
    ["a proof that is not base64", () => request({ possession: "***" })],
    ["an empty proof", () => request({ possession: "" })],
    ["no key at all", () => ({ credentials: { oidcIdentityToken: token } })],
    [
      "a CSR of noise",
      () => ({ credentials: { oidcIdentityToken: token }, certificateSigningRequest: "bm9pc2U=" }),
    ],
    ["an array", () => []],
  ])("refuses %s", async ([, body]) => {
    const response = await post(instance.origin, "/api/v2/signingCert", JSON.stringify(body()));
    expectError(response, 400);
    expect(response.json).toMatchObject({ code: 3, message: expect.any(String), details: [] });
  });
});

describe("POST /api/v1/log/entries", () => {
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = Buffer.from(key.publicKey.export({ type: "spki", format: "pem" })).toString("base64");
  const entry = (
    changes: {
      hash?: object;
      content?: string;
      key?: string;
      kind?: unknown;
      version?: unknown;
    } = {},
  ) => ({
    apiVersion: changes.version ?? "0.0.1",
    kind: changes.kind ?? "hashedrekord",
    spec: {
      data: { hash: changes.hash ?? { algorithm: "sha256", value: "ab".repeat(32) } },
      signature: {
        content:
          changes.content ??
          sign("sha256", Buffer.from("other"), key.privateKey).toString("base64"),
        publicKey: { content: changes.key ?? pem },
      },
    },
  });

  test.for<[string, unknown]>([
    ["a signature over another digest", entry()],
    ["an unknown kind", entry({ kind: "jar" })],
    ["a kind in capitals", entry({ kind: "HashedRekord" })],
    ["an unknown version", entry({ version: "9.9.9" })],
    ["a version with a line end", entry({ version: "0.0.1\n" })],
    ["a version that is a number", entry({ version: 1 })],
    ["a digest of 63 digits", entry({ hash: { algorithm: "sha256", value: "a".repeat(63) } })],
    ["SHA-1", entry({ hash: { algorithm: "sha1", value: "ab".repeat(20) } })],
    ["a signature that is not base64", entry({ content: "?" })],
    ["a key that is no PEM", entry({ key: "bm9pc2U=" })],
    ["null", null],
    ["a dsse entry without content", { apiVersion: "0.0.1", kind: "dsse", spec: {} }],
  ])("refuses %s", async ([, body]) => {
    const response = await post(instance.origin, "/api/v1/log/entries", JSON.stringify(body));
    expectError(response, 400);
    expect(response.json).toMatchObject({ code: 400, message: expect.any(String) });
  });
});

describe("POST to the CT log", () => {
  test.for<[string, string, unknown]>([
    ["an empty chain", "add-pre-chain", { chain: [] }],
    ["no chain", "add-pre-chain", {}],
    ["noise", "add-pre-chain", { chain: ["bm9pc2U="] }],
    ["what is not base64", "add-chain", { chain: ["*"] }],
    ["numbers", "add-chain", { chain: [1, 2] }],
  ])("refuses %s", async ([, name, body]) => {
    expectError(await post(instance.origin, `/logs/ct/ct/v1/${name}`, JSON.stringify(body)), 400);
  });
});

test.for<[string, number]>([
  ["/api/v1/log/entries?logIndex=-1", 400],
  ["/api/v1/log/entries?logIndex=1e3", 400],
  ["/api/v1/log/entries?logIndex=0x1", 400],
  ["/api/v1/log/entries?logIndex=01", 400],
  ["/api/v1/log/entries?logIndex=18446744073709551616", 400],
  ["/api/v1/log/entries?logIndex=0&logIndex=1", 400],
  ["/api/v1/log/entries", 400],
  ["/api/v1/log/entries?logIndex=999999", 404],
  [`/api/v1/log/entries/${"0".repeat(64)}`, 404],
  ["/api/v1/log/entries/xyz", 400],
  ["/api/v1/log/proof?firstSize=5&lastSize=1", 400],
  ["/api/v1/log/proof?lastSize=99999999", 400],
  ["/logs/ct/ct/v1/get-entries?start=5&end=1", 400],
  ["/logs/ct/ct/v1/get-entries?start=-1&end=1", 400],
  ["/logs/ct/ct/v1/get-entries?start=0", 400],
  ["/logs/ct/ct/v1/get-sth-consistency?first=2&second=1", 400],
  ["/logs/ct/ct/v1/get-proof-by-hash?hash=YQ%3D%3D&tree_size=1", 400],
  ["/logs/ct/ct/v1/get-entry-and-proof?leaf_index=1&tree_size=1", 400],
  ["/logs/ct/ct/v1/get-entry-and-proof?leaf_index=0", 400],
  ["/logs/ct/ct/v1/get-entry-and-proof?leaf_index=0&tree_size=99999999", 400],
  ["/logs/nosuch/checkpoint", 404],
  ["/logs/rekor/tile/64/000", 404],
  ["/logs/rekor/tile/0/000.p/0", 404],
  ["/logs/rekor/tile/0/000.p/999", 404],
  ["/tuf/2.root.json", 404],
  ["/tuf/../secrets/pin", 404],
  ["/tuf/%2e%2e/secrets/pin", 404],
  ["/tuf/targets/..%2f..%2f..%2fsecrets%2fpin", 404],
  ["/nosuch", 404],
])("GET %s answers %i", async ([path, status]) => {
  const answer = await raw(
    instance.port,
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
  );
  expect([status, status === 404 ? 400 : status]).toContain(answer.status);
  expectQuiet(answer.body);
});

test.for<[string, string, number]>([
  ["duplicate members", '{"credentials":{},"credentials":{}}', 400],
  ["a lone surrogate", '{"credentials":{"oidcIdentityToken":"\\ud800"}}', 400],
  ["depth 100", "[".repeat(100) + "]".repeat(100), 400],
  ["no JSON", "{", 400],
  ["nothing", "", 400],
])("a body with %s is refused on every POST route", async ([, body, status]) => {
  for (const path of [
    "/api/v2/signingCert",
    "/api/v1/log/entries",
    "/logs/ct/ct/v1/add-chain",
    "/logs/ct/ct/v1/add-pre-chain",
  ]) {
    expectError(await post(instance.origin, path, body), status);
  }
});

test("another content type, a compressed body, and a body beyond the limit have their own statuses", async () => {
  for (const path of [
    "/api/v2/signingCert",
    "/api/v1/log/entries",
    "/logs/ct/ct/v1/add-pre-chain",
  ]) {
    expectError(await post(instance.origin, path, "{}", { "content-type": "text/plain" }), 415);
    expectError(await post(instance.origin, path, "{}", { "content-encoding": "gzip" }), 415);
    // Only the head is sent: whoever says so much need not even begin.
    const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9437184\r\n\r\n`;
    const answer = await raw(instance.port, head);
    expect(answer.status).toBe(413);
    expectQuiet(answer.body);
  }
});

test.for<[string, string, readonly number[]]>([
  ["an absolute-form target", "GET http://169.254.169.254/ HTTP/1.1\r\nHost: localhost\r\n", [400]],
  ["TRACE", "TRACE / HTTP/1.1\r\nHost: localhost\r\n", [405, 501]],
  ["an unknown method", "BREW / HTTP/1.1\r\nHost: localhost\r\n", [400, 405, 501]],
  [
    "two lengths",
    "POST /api/v1/log/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    [400],
  ],
  [
    "a negative length",
    "POST /api/v1/log/entries HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n",
    [400],
  ],
])("%s is refused", async ([, head, statuses]) => {
  const answer = await raw(instance.port, `${head}Connection: close\r\n\r\n`);
  expect(statuses).toContain(answer.status);
});
