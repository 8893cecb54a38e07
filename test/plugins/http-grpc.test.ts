/** Fulcio's gRPC service behind the door's TLS listener, with the stock client of Node. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { formatPem } from "../../core/formats/pem.ts";
import { failureCodes } from "../../events/failure.ts";
import { bootDoor, type Door, hash } from "../support/door.ts";
import { grpcClient, type GrpcClient } from "../support/grpc-client.ts";
import { content, create, credentials, key, pause, token } from "./grpc-house.ts";

let door: Door;
let client: GrpcClient;
beforeAll(async () => {
  door = await bootDoor();
  client = grpcClient(`localhost:${door.tlsPort}`, door.certificate);
});
afterAll(async () => {
  client[Symbol.dispose]();
  await door.dispose();
});
beforeEach(() => {
  door.heard.length = 0;
});

const leafPem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";

test.for<[string, object, { [name: string]: string }]>([
  ["in the message", { credentials, key }, {}],
  ["in the metadata", { key }, { oidcidentitytoken: token }],
  ["in both", { credentials, key }, { oidcidentitytoken: token }],
])("issues with a token %s", async ([, message, metadata]) => {
  const { code, answer, metadata: head } = await client.call(create, message, { metadata });
  expect(code).toBe(0);
  expect(answer).toMatchObject({
    certificate: {
      case: "signedCertificateEmbeddedSct",
      value: { chain: { certificates: [leafPem, expect.stringContaining("MAEA")] } },
    },
  });
  expect(head["x-request-id"]).toMatch(/^[0-9a-f]{32}$/);
  const proof = {
    kind: "possession",
    publicKey: new Uint8Array([0x30, 1, 2]),
    possession: new Uint8Array([1, 2]),
  };
  expect(door.heard).toMatchObject([
    { name: "issueCertificate", question: { idToken: token, proof } },
  ]);
});

test("takes a certificate request, and a key on one line", async () => {
  const pem = formatPem("CERTIFICATE REQUEST", new Uint8Array([0x30, 0]));
  const request = { case: "certificateSigningRequest", value: Buffer.from(pem) };
  expect((await client.call(create, { credentials, key: request })).code).toBe(0);
  expect(door.heard[0]?.question).toEqual({
    idToken: token,
    network: "127.0.0.0/24",
    proof: { kind: "request", request: new Uint8Array([0x30, 0]) },
  });
  const line = content.replace("KEY-----\n", "KEY-----\n\n").replace(/\n-----END/, "-----END");
  const java = { ...key, value: { ...key.value, publicKey: { content: line } } };
  expect((await client.call(create, { credentials, key: java })).code).toBe(0);
});

test("answers with the SCT beside the certificate where the issuer does", async () => {
  const { issueCertificate } = door.answer;
  const detachedSct = {
    logId: hash,
    timestampMs: 5n,
    extensions: new Uint8Array(),
    signature: new Uint8Array([4, 3]),
  };
  door.answer["issueCertificate"] = { ...(issueCertificate as object), detachedSct };
  const { answer } = await client.call(create, { credentials, key });
  door.answer["issueCertificate"] = issueCertificate;
  const { certificate } = answer as {
    certificate: { case: string; value: { signedCertificateTimestamp: Uint8Array } };
  };
  expect(certificate.case).toBe("signedCertificateDetachedSct");
  const sct = Buffer.from(certificate.value.signedCertificateTimestamp).toString();
  expect(JSON.parse(sct)).toMatchObject({ sct_version: 0, timestamp: 5, signature: "BAM=" });
});

const identity = "There was an error processing the identity token";
const keyText = "The public key supplied in the request could not be parsed";
const noKey = { case: "publicKeyRequest", value: {} };
const junk = { case: "certificateSigningRequest", value: new Uint8Array([1]) };
test.for<[string, object, object, string]>([
  ["no token", { key }, {}, identity],
  ["an empty token", { key }, { oidcidentitytoken: "" }, identity],
  ["two tokens", { credentials, key }, { oidcidentitytoken: "a.b.d" }, identity],
  [
    "TC-F1: a token of periods",
    {
      key,
      credentials: { credentials: { case: "oidcIdentityToken", value: ".".repeat(200_000) } },
    },
    {},
    identity,
  ],
  ["no key", { credentials }, {}, "bad request"],
  ["an empty key", { credentials, key: noKey }, {}, keyText],
  [
    "a broken request",
    { credentials, key: junk },
    {},
    "The certificate signing request could not be parsed",
  ],
  [
    "no proof",
    { credentials, key: { ...key, value: { publicKey: { content } } } },
    {},
    "The signature supplied in the request could not be verified",
  ],
])("refuses %s with INVALID_ARGUMENT", async ([, message, metadata, text]) => {
  const ended = await client.call(create, message, { metadata: { ...metadata } });
  expect([ended.code, ended.message]).toEqual([3, text]);
  expect(door.heard).toEqual([]);
});

test.for(failureCodes)("a failure %s has the code and text that REST has", async (code) => {
  const { issueCertificate } = door.answer;
  door.answer["issueCertificate"] = code;
  const called = await client.call(create, { credentials, key });
  const response = await fetch(`${door.origin}/api/v2/signingCert`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      credentials: { oidcIdentityToken: token },
      publicKeyRequest: { publicKey: { content }, proofOfPossession: "AQI=" },
    }),
  });
  door.answer["issueCertificate"] = issueCertificate;
  const said = (await response.json()) as { code: number; message: string };
  expect({ code: called.code, message: called.message, details: [] }).toEqual(said);
  expect("retry-after" in called.metadata).toBe(response.headers.has("retry-after"));
});

test("GetTrustBundle and GetConfiguration answer what REST does", async () => {
  const bundle = await client.call("CA/GetTrustBundle", {});
  expect(bundle.answer).toMatchObject({ chains: [{ certificates: [leafPem] }] });
  const { answer } = await client.call("CA/GetConfiguration", {});
  expect(answer).toMatchObject({
    issuers: [
      {
        issuer: { case: "issuerUrl", value: "https://idp.example" },
        audience: "sigstore",
        challengeClaim: "email",
        issuerType: "email",
        spiffeTrustDomain: "",
        subjectDomain: "",
        skipEmailVerification: false,
      },
    ],
  });
});

describe("health", () => {
  test.for(["", "dev.sigstore.fulcio.v2.CA", "grpc.health.v1.Health"])(
    "the service %j is serving",
    async (service) => {
      expect((await client.call("Health/Check", { service })).answer).toMatchObject({ status: 1 });
      expect(await client.watch({ service }, 1)).toMatchObject([{ status: 1 }]);
    },
  );

  test("a service that is not there is said not to be", async () => {
    expect((await client.call("Health/Check", { service: "x" })).code).toBe(5);
    expect(await client.watch({ service: "x" }, 2)).toMatchObject([{ status: 3 }]);
  });

  test("who watches hears that the door drains", async () => {
    await using other = await bootDoor();
    using own = grpcClient(`localhost:${other.tlsPort}`, other.certificate);
    const watched = own.watch({ service: "" }, 3);
    while (other.journal.every(({ event }) => event !== "listening")) await pause(5);
    await own.call("Health/Check", { service: "" });
    await other.dispose();
    expect(await watched).toMatchObject([{ status: 1 }, { status: 2 }]);
  });
});
