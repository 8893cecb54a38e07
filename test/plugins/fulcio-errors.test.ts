/**
 * Fulcio's errors, frozen: status, code and text of every row of `fulcio:pkg/server/error.go`, in v2 and v1 (gRPC says the same, see
 * http-grpc.test.ts). Clients show these texts and act on these numbers: a change here is a change of the API.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { formatPem } from "../../core/formats/pem.ts";
import { bootDoor, type Door } from "../support/door.ts";

let door: Door;
beforeAll(async () => {
  door = await bootDoor();
});
afterAll(async () => await door.dispose());

const identity = "There was an error processing the identity token";
const unavailable = "service unavailable, try again later";
/** Failure of the issuer, HTTP status, gRPC code, text. */
const rows: readonly [string, number, number, string][] = [
  ["malformed", 400, 3, "bad request"],
  ["identity-rejected", 400, 3, identity],
  ["request-malformed", 400, 3, "The certificate signing request could not be parsed"],
  ["key-malformed", 400, 3, "The public key supplied in the request could not be parsed"],
  ["key-insecure", 400, 3, "The public key supplied in the request is insecure"],
  ["key-not-permitted", 400, 3, "Signing algorithm not permitted"],
  ["possession-unproven", 400, 3, "The signature supplied in the request could not be verified"],
  ["lint-refused", 400, 3, "The identity does not fit a certificate"],
  ["log-unavailable", 500, 13, "Error entering certificate in CTL"],
  ["log-frozen", 500, 13, "The CT log is frozen and takes no more certificates"],
  ["key-unavailable", 500, 13, "error communicating with CA backend"],
  ["internal", 500, 13, "internal error"],
  ["issuer-unavailable", 503, 14, "The identity provider's keys are not available"],
  ["overloaded", 503, 14, unavailable],
  ["deadline-exceeded", 504, 4, "no answer in time, try again later"],
];

const der = new Uint8Array([0x30, 1, 2]);
const headers = { "content-type": "application/json", authorization: "Bearer a.b.c" };
const requests: { readonly [path: string]: object } = {
  "/api/v2/signingCert": {
    publicKeyRequest: {
      publicKey: { algorithm: "ECDSA", content: formatPem("PUBLIC KEY", der) },
      proofOfPossession: "AQI=",
    },
  },
  "/api/v1/signingCert": {
    publicKey: { content: Buffer.from(der).toString("base64"), algorithm: "ecdsa" },
    signedEmailAddress: "AQI=",
    certificateSigningRequest: null,
  },
};

test.for(rows)("%s is %i, code %i: %s", async ([failure, status, code, message]) => {
  const { issueCertificate } = door.answer;
  door.answer["issueCertificate"] = failure;
  for (const [path, request] of Object.entries(requests)) {
    const body = JSON.stringify(request);
    const response = await fetch(`${door.origin}${path}`, { method: "POST", headers, body });
    expect([path, response.status]).toEqual([path, status]);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.text()).toBe(JSON.stringify({ code, message, details: [] }));
  }
  door.answer["issueCertificate"] = issueCertificate;
});

test.for([
  ["/api/v2/trustBundle", "trustBundle"],
  ["/api/v1/rootCert", "trustBundle"],
  ["/api/v2/configuration", "listIssuers"],
])("GET %s tells an inner failure as one", async ([path = "", ask = ""]) => {
  const before = door.answer[ask];
  door.answer[ask] = "internal";
  const response = await fetch(`${door.origin}${path}`);
  door.answer[ask] = before;
  expect(response.status).toBe(500);
  expect(await response.json()).toEqual({ code: 13, message: "internal error", details: [] });
});

test.for<[string, object, object, string]>([
  ["no token", {}, { authorization: "" }, identity],
  ["no bearer token", {}, { authorization: "Basic YTpi" }, identity],
  ["no key", { publicKey: null }, {}, "The public key supplied in the request could not be parsed"],
  [
    "a key that is not base64",
    { publicKey: { content: "%" } },
    {},
    "The public key supplied in the request could not be parsed",
  ],
  [
    "no proof",
    { signedEmailAddress: null },
    {},
    "The signature supplied in the request could not be verified",
  ],
  [
    "a broken request",
    { certificateSigningRequest: "AA==" },
    {},
    "The certificate signing request could not be parsed",
  ],
])("v1 refuses %s", async ([, change, own, message]) => {
  door.heard.length = 0;
  const response = await fetch(`${door.origin}/api/v1/signingCert`, {
    method: "POST",
    headers: { ...headers, ...own },
    body: JSON.stringify({ ...requests["/api/v1/signingCert"], ...change }),
  });
  expect([response.status, await response.json()]).toEqual([
    400,
    { code: 3, message, details: [] },
  ]);
  expect(door.heard).toEqual([]);
});

test("v1 answers 201 and the chain in PEM, whatever is accepted, with the SCT in a header if it is detached", async () => {
  const { issueCertificate } = door.answer;
  const pem = [
    "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
    "-----BEGIN CERTIFICATE-----\nMAEA\n-----END CERTIFICATE-----",
  ].join("\n");
  const send = async () =>
    await fetch(`${door.origin}//api/v1/signingCert`, {
      method: "POST",
      headers: { ...headers, accept: "application/json" },
      body: JSON.stringify(requests["/api/v1/signingCert"]),
    });
  const embedded = await send();
  expect([embedded.status, embedded.headers.get("content-type")]).toEqual([
    201,
    "application/pem-certificate-chain",
  ]);
  expect(await embedded.text()).toBe(pem);
  expect(embedded.headers.has("sct")).toBe(false);
  const sct = {
    logId: new Uint8Array(32).fill(1),
    timestampMs: 1_763_726_400_000n,
    extensions: new Uint8Array(),
    signature: new Uint8Array([4, 3, 0, 1, 7]),
  };
  door.answer["issueCertificate"] = { ...(issueCertificate as object), detachedSct: sct };
  const detached = await send();
  expect(await detached.text()).toBe(pem);
  const header = Buffer.from(detached.headers.get("sct") ?? "", "base64").toString();
  const json = `{"sct_version":0,"id":"${Buffer.alloc(32, 1).toString("base64")}","timestamp":1763726400000,"extensions":"","signature":"BAMAAQc="}`;
  expect(header).toBe(json);
  const v2 = await fetch(`${door.origin}/api/v2/signingCert`, {
    method: "POST",
    headers,
    body: JSON.stringify(requests["/api/v2/signingCert"]),
  });
  door.answer["issueCertificate"] = issueCertificate;
  expect(await v2.json()).toEqual({
    signedCertificateDetachedSct: {
      chain: { certificates: pem.split(/(?<=END CERTIFICATE-----)\n/) },
      signedCertificateTimestamp: Buffer.from(json).toString("base64"),
    },
  });
  const root = await fetch(`${door.origin}/api/v1/rootCert`);
  expect(root.headers.get("content-type")).toBe("application/pem-certificate-chain");
  expect(await root.text()).toBe(pem.split("\n").slice(0, 3).join("\n"));
});

/** Bytes of the heap once what nobody holds any more is collected. */
function heapKept(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}

test("TC-F1: a token of four mebibytes of periods costs a quick 400, in body and header", async () => {
  door.heard.length = 0;
  const dots = ".".repeat(4_194_304 - 4_096);
  const body = JSON.stringify({
    ...requests["/api/v2/signingCert"],
    credentials: { oidcIdentityToken: dots },
  });
  const { "content-type": type } = headers;
  const post = { method: "POST", headers: { "content-type": type }, body };
  await (await fetch(`${door.origin}/api/v2/signingCert`, post)).text();
  const before = heapKept();
  const response = await fetch(`${door.origin}/api/v2/signingCert`, post);
  expect(response.status).toBe(400);
  // Nothing is kept for each period: the body itself, in client and server, is all.
  expect(heapKept() - before).toBeLessThan(32 * 2 ** 20);
  const header = await fetch(`${door.origin}/api/v1/signingCert`, {
    method: "POST",
    headers: { ...headers, authorization: `Bearer ${".".repeat(15_000)}` },
    body: JSON.stringify({ publicKey: null }),
  });
  expect(header.status).toBe(400);
  expect(door.heard.map(({ name }) => name)).toEqual([]);
});

test("TC-F2: the token's issuer is none of the door's business: nothing is asked but the issuer", async () => {
  door.heard.length = 0;
  const claims = Buffer.from('{"iss":"http://localhost?issuer=https://oidc.example"}');
  const token = `e30.${claims.toString("base64url")}.AA`;
  for (const [path, request] of Object.entries(requests)) {
    await fetch(`${door.origin}${path}`, {
      method: "POST",
      headers: { ...headers, authorization: `Bearer ${token}` },
      body: JSON.stringify(request),
    });
  }
  expect(door.heard.map(({ name }) => name)).toEqual(["issueCertificate", "issueCertificate"]);
});
