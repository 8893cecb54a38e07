import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { formatPem } from "../../core/formats/pem.ts";
import { bootDoor, type Door, entryId } from "../support/door.ts";

let door: Door;
beforeAll(async () => {
  door = await bootDoor();
});
afterAll(async () => await door.dispose());
beforeEach(() => {
  door.heard.length = 0;
});

const token = "a.b.c";
const pem = formatPem("PUBLIC KEY", new Uint8Array([0x30, 1, 2]));
const keyRequest = { publicKey: { algorithm: "ECDSA", content: pem }, proofOfPossession: "AQI=" };
const hex = "01".repeat(32);
const base64 = Buffer.alloc(32, 1).toString("base64");

async function get(path: string, headers: { [name: string]: string } = {}) {
  const response = await fetch(`${door.origin}${path}`, { headers, redirect: "manual" });
  return { response, text: await response.text() };
}

async function post(path: string, body: unknown, headers: { [name: string]: string } = {}) {
  const response = await fetch(`${door.origin}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { response, text: await response.text() };
}

it.each([
  ["token in the body", { credentials: { oidcIdentityToken: token } }, {}],
  ["token in the header", {}, { authorization: `Bearer ${token}` }],
  [
    "the same token in both",
    { credentials: { oidcIdentityToken: token } },
    { authorization: `bearer ${token}` },
  ],
  [
    "members nobody knows",
    { credentials: { oidcIdentityToken: token, more: 1 }, also: {} },
    { accept: "application/pem-certificate-chain" },
  ],
])("issues a certificate: %s", async (_name, extra, headers) => {
  const { response, text } = await post(
    "/api/v2/signingCert",
    { ...extra, publicKeyRequest: keyRequest },
    headers as never,
  );
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/json");
  const [leaf, ca] = JSON.parse(text).signedCertificateEmbeddedSct.chain.certificates as string[];
  expect(leaf).toBe("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----");
  expect(ca).toContain("MAEA");
  expect(door.heard.map(({ name, question }) => ({ name, question }))).toEqual([
    {
      name: "issueCertificate",
      question: {
        idToken: token,
        network: "127.0.0.0/24",
        proof: {
          kind: "possession",
          publicKey: new Uint8Array([0x30, 1, 2]),
          possession: new Uint8Array([1, 2]),
        },
      },
    },
  ]);
});

it("issues a certificate for a request, and behind two slashes", async () => {
  const certificateSigningRequest = Buffer.from(
    formatPem("CERTIFICATE REQUEST", new Uint8Array([0x30, 0])),
  ).toString("base64");
  const { response } = await post(
    "//api/v2/signingCert",
    { certificateSigningRequest },
    { authorization: `Bearer ${token}` },
  );
  expect(response.status).toBe(200);
  expect(door.heard[0]?.question).toEqual({
    idToken: token,
    network: "127.0.0.0/24",
    proof: { kind: "request", request: new Uint8Array([0x30, 0]) },
  });
});

it("serves Fulcio's descriptions", async () => {
  expect(JSON.parse((await get("/api/v2/trustBundle")).text)).toEqual({
    chains: [{ certificates: ["-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"] }],
  });
  expect(JSON.parse((await get("/api/v2/configuration")).text).issuers[0]).toMatchObject({
    issuerUrl: "https://idp.example",
    audience: "sigstore",
    challengeClaim: "email",
    issuerType: "email",
  });
});

it("serves RFC 6962", async () => {
  const base = "/logs/ct/ct/v1";
  const sct = { sct_version: 0, id: base64, timestamp: 5, extensions: "", signature: "BAM=" };
  expect(JSON.parse((await post(`${base}/add-pre-chain`, { chain: ["MAA="] })).text)).toEqual(sct);
  expect(JSON.parse((await post(`${base}/add-chain`, { chain: ["MAA=", "MAEA"] })).text)).toEqual(
    sct,
  );
  expect(JSON.parse((await get(`${base}/get-sth`)).text)).toEqual({
    tree_size: 9,
    timestamp: 5,
    sha256_root_hash: base64,
    tree_head_signature: "BAM=",
  });
  expect(JSON.parse((await get(`${base}/get-sth-consistency?first=1&second=2`)).text)).toEqual({
    consistency: [base64],
  });
  const hash = encodeURIComponent(base64);
  expect(
    JSON.parse((await get(`${base}/get-proof-by-hash?hash=${hash}&tree_size=9`)).text),
  ).toEqual({
    leaf_index: 3,
    audit_path: [base64],
  });
  expect(JSON.parse((await get(`${base}/get-entries?start=0&end=9999999`)).text)).toEqual({
    entries: [{ leaf_input: "AQ==", extra_data: "Ag==" }],
  });
  expect(door.heard.at(-1)?.question).toEqual({ log: "ct", start: 0n, end: 999n });
  expect(
    JSON.parse((await get(`${base}/get-entry-and-proof?leaf_index=0&tree_size=9`)).text),
  ).toEqual({ leaf_input: "AQ==", extra_data: "Ag==", audit_path: [base64] });
  expect(door.heard.at(-1)?.question).toEqual({ log: "ct", leafIndex: 0n, treeSize: 9n });
  expect(JSON.parse((await get(`${base}/get-roots`)).text)).toEqual({ certificates: ["MAA="] });
});

it("serves Rekor entries", async () => {
  const { response, text } = await post("/api/v1/log/entries", { kind: "hashedrekord" });
  expect(response.status).toBe(201);
  expect(response.headers.get("etag")).toBe(entryId);
  expect(response.headers.get("location")).toBe(`/api/v1/log/entries/${entryId}`);
  // 2^60 + 1 survives: the text is looked at, not what JavaScript makes of it.
  expect(text).toContain(`"logIndex":1152921504606846977`);
  expect(Object.keys(JSON.parse(text))).toEqual([entryId]);
  expect(JSON.parse(text)[entryId]).toMatchObject({
    body: "e30=",
    integratedTime: 1_700_000_000,
    logID: hex,
    verification: {
      inclusionProof: {
        logIndex: 0,
        treeSize: 1,
        rootHash: hex,
        hashes: [hex],
        checkpoint: "localhost - 1\n1\n\u2014\n",
      },
      signedEntryTimestamp: "AQI=",
    },
  });
  expect((await get("/api/v1/log/entries?logIndex=0")).text).toBe(text);
  expect((await get(`/api/v1/log/entries/${entryId}`)).text).toBe(text);
  expect((await get(`/api/v1/log/entries/${entryId.slice(16)}`)).text).toBe(text);
  const search = { entryUUIDs: [entryId], logIndexes: [3], entries: [{ kind: "x" }] };
  expect((await post("/api/v1/log/entries/retrieve", search)).text).toBe(
    `[${text},${text},${text}]`,
  );
  expect(door.heard.at(-1)?.question).toEqual({
    by: { kind: "proposed", proposed: new TextEncoder().encode('{"kind":"x"}') },
  });
});

it("says 409 and where for an entry that is there", async () => {
  const { createEntry } = door.answer;
  door.answer["createEntry"] = { ...(createEntry as object), known: true };
  const { response, text } = await post("/api/v1/log/entries", {});
  door.answer["createEntry"] = createEntry;
  expect(response.status).toBe(409);
  expect(response.headers.get("location")).toBe(`/api/v1/log/entries/${entryId}`);
  expect(JSON.parse(text)).toEqual({
    code: 409,
    message: `an equivalent entry already exists in the transparency log with UUID ${entryId}`,
  });
});

it("leaves out of a retrieval what is not there, and bounds it", async () => {
  const { getEntry } = door.answer;
  door.answer["getEntry"] = "not-found";
  expect((await post("/api/v1/log/entries/retrieve", { logIndexes: [3] })).text).toBe("[]");
  door.answer["getEntry"] = getEntry;
  for (const logIndexes of [[], Array.from({ length: 11 }, (_, at) => at)]) {
    expect((await post("/api/v1/log/entries/retrieve", { logIndexes })).response.status).toBe(422);
  }
  expect((await post("/api/v1/log/entries/retrieve", { logIndexes: [-1] })).response.status).toBe(
    400,
  );
  expect((await post("/api/v1/log/entries/retrieve", { logIndexes: 1 })).response.status).toBe(400);
});

it("serves Rekor's log", async () => {
  expect(JSON.parse((await get("/api/v1/log")).text)).toEqual({
    inactiveShards: [],
    rootHash: hex,
    signedTreeHead: "cp\n",
    treeID: "1",
    treeSize: 9,
  });
  const key = await get("/api/v1/log/publicKey?treeID=1");
  expect(key.response.headers.get("content-type")).toBe("application/x-pem-file");
  expect(key.text).toBe("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n");
  expect((await get("/api/v1/log/publicKey?treeID=2")).response.status).toBe(404);
  expect(JSON.parse((await get("/api/v1/log/proof?lastSize=9")).text)).toEqual({
    rootHash: hex,
    hashes: [hex],
  });
  expect((await get("/api/v1/log/proof?firstSize=5&lastSize=4")).response.status).toBe(400);
});

it("serves tiles", async () => {
  const checkpoint = await get("/logs/rekor/checkpoint");
  expect(checkpoint.text).toBe("cp\n");
  expect(checkpoint.response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  expect((await get("/logs/rekor/tile/0/x001/234.p/5")).response.status).toBe(200);
  expect(door.heard.at(-1)?.question).toEqual({ log: "rekor", level: 0, index: 1234n, width: 5 });
  const full = await get("/logs/ct/tile/entries/000");
  expect(full.response.headers.get("cache-control")).toContain("immutable");
  expect(full.text).toBe("\u0007\u0008\u0009");
  for (const path of [
    "tile/0/0",
    "tile/0/001.p/0",
    "tile/0/001.p/256",
    "tile/64/000",
    "tile/",
    "tile/0/x001/234/",
  ]) {
    expect((await get(`/logs/ct/${path}`)).response.status, path).toBe(404);
  }
});

it("serves the trust repository, and exactly 404 for what is not there", async () => {
  const { response, text } = await get("/tuf/1.root.json");
  expect([response.status, text]).toEqual([200, '{"signed":{}}']);
  expect((await get("/tuf/targets/ab.trusted_root.json")).response.status).toBe(200);
  const { readTrustFile } = door.answer;
  door.answer["readTrustFile"] = "not-found";
  expect((await get("/tuf/2.root.json")).response.status).toBe(404);
  door.answer["readTrustFile"] = readTrustFile;
  expect((await get("/tuf/.hidden")).response.status).toBe(404);
  expect((await get("/tuf/")).response.status).toBe(404);
});

it("serves the embedded provider", async () => {
  expect((await get("/oidc/.well-known/openid-configuration")).text).toBe('{"issuer":"x"}');
  expect((await get("/oidc/jwks")).text).toBe('{"keys":[]}');
  const grant = "grant_type=urn:chancery:params:oauth:grant-type:demo";
  const form = {
    "content-type": "application/x-www-form-urlencoded",
    authorization: "Bearer hunter2",
  };
  const { response, text } = await post("/oidc/token", `${grant}&email=a%40b.example`, form);
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(JSON.parse(text)).toEqual({ id_token: "a.b.c", token_type: "Bearer", expires_in: 600 });
  expect(door.heard.at(-1)?.question).toEqual({
    adminSecret: "hunter2",
    email: "a@b.example",
    audience: "sigstore",
    network: "127.0.0.0/24",
  });
  for (const body of [
    "",
    grant,
    "grant_type=password&email=a@b",
    `${grant}&email=a&email=b`,
    `${grant}&email=%ff`,
  ]) {
    const refused = await post("/oidc/token", body, form);
    expect([refused.response.status, JSON.parse(refused.text).error], body).toEqual([
      400,
      "invalid_request",
    ]);
  }
  const unarmed = await post("/oidc/token", `${grant}&email=a%40b`, {
    ...form,
    authorization: "Basic x",
  });
  expect([unarmed.response.status, JSON.parse(unarmed.text).error]).toEqual([
    401,
    "invalid_client",
  ]);
  expect(unarmed.response.headers.get("www-authenticate")).toBe("Bearer");
});

it("TC-H6 tells that it is alive, ready, and for demonstration", async () => {
  expect((await get("/healthz")).text).toBe('{"status":"SERVING"}');
  expect((await get("/ping")).text).toBe(".");
  const ready = await get("/readyz");
  expect([ready.response.status, ready.text]).toEqual([200, '{"status":"ready"}']);
  const page = await get("/", { host: "evil.example", "x-forwarded-host": "evil.example" });
  expect(page.text).toContain("DEMO MODE");
  expect(page.text).toContain("http://localhost:8420");
  expect(page.text).not.toContain("evil");
});

it("passes on the trace it is given, and makes one if it is none", async () => {
  const trace = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
  const { response } = await get("/api/v1/log", { traceparent: trace });
  expect(door.heard[0]?.trace.slice(0, 35)).toBe(trace.slice(0, 35));
  expect(response.headers.get("x-request-id")).toBe("ab".repeat(16));
  await get("/api/v1/log", { traceparent: "00-zz-1-01" });
  expect(door.heard[1]?.trace).toMatch(/^00-[0-9a-f]{32}-/);
});
