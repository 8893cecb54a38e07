import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { bootDoor, type Door, sendRaw } from "../support/door.ts";

let door: Door;
beforeAll(async () => {
  door = await bootDoor();
});
afterAll(async () => await door.dispose());
beforeEach(() => {
  door.heard.length = 0;
});

const jsonRoutes = [
  "/api/v2/signingCert",
  "/logs/ct/ct/v1/add-chain",
  "/logs/ct/ct/v1/add-pre-chain",
  "/api/v1/log/entries/retrieve",
];
const getRoutes = [
  "/",
  "/healthz",
  "/readyz",
  "/api/v2/trustBundle",
  "/api/v2/configuration",
  "/logs/ct/ct/v1/get-sth",
  "/logs/ct/ct/v1/get-roots",
  "/logs/ct/checkpoint",
  "/logs/ct/tile/0/000",
  "/api/v1/log",
  "/api/v1/log/publicKey",
  "/tuf/1.root.json",
  "/oidc/jwks",
  "/oidc/.well-known/openid-configuration",
];
const postRoutes = [...jsonRoutes, "/api/v1/log/entries", "/oidc/token"];
const typeOf = (path: string) =>
  path === "/oidc/token" ? "application/x-www-form-urlencoded" : "application/json";

/** Sends a request line and header fields as they are. */
async function raw(line: string, headers: readonly string[] = [], body = ""): Promise<string> {
  return await sendRaw(
    door.port,
    [line, "Host: x", "Connection: close", ...headers, "", body].join("\r\n"),
  );
}

const statusOf = (response: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(response)?.[1]);

async function postBytes(
  path: string,
  body: string | Uint8Array,
  headers: { [name: string]: string } = {},
) {
  const response = await fetch(`${door.origin}${path}`, {
    method: "POST",
    headers: { "content-type": typeOf(path), ...headers },
    body: typeof body === "string" ? body : Buffer.from(body),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

it.each(
  postRoutes.flatMap((path) =>
    [
      { "content-type": "text/plain" },
      { "content-type": "application/jso" },
      { "content-type": `${typeOf(path)}; charset=utf-16` },
      { "content-type": "multipart/form-data; boundary=application/json" },
      { "content-type": "" },
      { "content-encoding": "gzip" },
      { "content-encoding": "br" },
      { "content-encoding": "identity, gzip" },
    ].map((headers) => [path, headers] as const),
  ),
)("POST %s with %j is 415", async (path, headers) => {
  const { status, text } = await postBytes(path, "{}", headers as never);
  expect(status).toBe(415);
  expect(text.length).toBeLessThan(1_024);
  expect(door.heard).toEqual([]);
});

it.each(postRoutes)("POST %s without a content type, or with two, is 415", async (path) => {
  expect(statusOf(await raw(`POST ${path} HTTP/1.1`, ["Content-Length: 2"], "{}"))).toBe(415);
  const two = [
    "Content-Type: application/json",
    "Content-Type: application/json",
    "Content-Length: 2",
  ];
  expect(statusOf(await raw(`POST ${path} HTTP/1.1`, two, "{}"))).toBe(415);
  expect(door.heard).toEqual([]);
});

it("takes a charset of utf-8 and the identity encoding", async () => {
  const headers = {
    "content-type": 'Application/JSON; charset="UTF-8"',
    "content-encoding": "identity",
  };
  expect((await postBytes("/api/v1/log/entries", "{}", headers)).status).toBe(201);
});

it.each(
  jsonRoutes.flatMap((path) =>
    [
      "",
      "nothing",
      "[]",
      "null",
      '{"a":1,"a":2}',
      `${'{"a":'.repeat(65)}1${"}".repeat(65)}`,
      "[".repeat(100_000),
      '{"a":"\\ud800"}',
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
      Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]),
      "\ufeff{}",
      '{"a":1} x',
      '{"__proto__":{"chain":["MAA="]}}',
      '{"credentials":5,"chain":5,"entryUUIDs":5}',
      '{"credentials":[],"chain":[5],"entryUUIDs":[5]}',
    ].map((body) => [path, body] as const),
  ),
)("POST %s of %j is 400 or 422 and asks nobody", async (path, body) => {
  const { status, text } = await postBytes(path, body, { authorization: "Bearer a.b.c" });
  expect([400, 422]).toContain(status);
  expect(text.length).toBeLessThan(1_024);
  expect(door.heard).toEqual([]);
});

it.each([
  [{ publicKeyRequest: null }, 3, "bad request"],
  [{ certificateSigningRequest: "AA==" }, 3, "The certificate signing request could not be parsed"],
  [{ certificateSigningRequest: "%%" }, 3, "The certificate signing request could not be parsed"],
  [{ certificateSigningRequest: 5 }, 3, "bad request"],
  [
    { publicKeyRequest: { publicKey: { content: "junk" }, proofOfPossession: "AA==" } },
    3,
    "The public key supplied in the request could not be parsed",
  ],
  [
    { publicKeyRequest: { publicKey: {}, proofOfPossession: "AA==" } },
    3,
    "The public key supplied in the request could not be parsed",
  ],
  [{ publicKeyRequest: {}, certificateSigningRequest: "AA==" }, 3, "bad request"],
])("signingCert of %j is %i: %s", async (body, code, message) => {
  const { status, text } = await postBytes("/api/v2/signingCert", JSON.stringify(body), {
    authorization: "Bearer a.b.c",
  });
  expect([status, JSON.parse(text)]).toEqual([400, { code, message, details: [] }]);
  expect(door.heard).toEqual([]);
});

it.each([
  [{}, undefined],
  [{ credentials: { oidcIdentityToken: "" } }, undefined],
  [{ credentials: { oidcIdentityToken: 5 } }, undefined],
  [{}, "Bearer"],
  [{}, "Bearer  "],
  [{}, "Basic YTpi"],
  [{}, "Bearer a b"],
  [{ credentials: { oidcIdentityToken: "a.b.c" } }, "Bearer a.b.d"],
  [{}, `Bearer ${".".repeat(15_000)}${".".repeat(1_385)}`],
])(
  "signingCert with the tokens %j and %j is refused as Fulcio does",
  async (body, authorization) => {
    const request = {
      ...body,
      publicKeyRequest: { publicKey: { content: "" }, proofOfPossession: "" },
    };
    const headers = authorization === undefined ? {} : { authorization };
    const { status, text } = await postBytes(
      "/api/v2/signingCert",
      JSON.stringify(request),
      headers,
    );
    if (status !== 431) {
      const message = "There was an error processing the identity token";
      expect([status, JSON.parse(text)]).toEqual([400, { code: 3, message, details: [] }]);
    }
    expect(door.heard).toEqual([]);
  },
);

it.each([
  ["/api/v2/signingCert", 4_194_304],
  ["/api/v1/signingCert", 4_194_304],
  ["/logs/ct/ct/v1/add-chain", 524_288],
  ["/api/v1/log/entries", 4_194_304],
  ["/oidc/token", 8_192],
])("POST %s takes %i bytes and not one more", async (path, limit) => {
  const inside = await postBytes(path, " ".repeat(limit));
  expect(inside.status).not.toBe(413);
  door.heard.length = 0;
  const outside = await postBytes(path, `{}${" ".repeat(limit - 1)}`).catch(() => ({
    status: 413,
  }));
  expect(outside.status).toBe(413);
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${typeOf(path)}\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const response = await sendRaw(door.port, `${head}${chunk(`{}${" ".repeat(limit - 1)}`)}`);
  expect(statusOf(response)).toBe(413);
  expect(response.toLowerCase()).toContain("connection: close");
  expect(door.heard).toEqual([]);
});

it.each([
  ...getRoutes.map((path) => [path, "GET, HEAD"]),
  ["/api/v2/signingCert", "POST"],
  ["/oidc/token", "POST"],
  ["/api/v1/log/entries", "GET, HEAD, POST"],
])("%s answers other methods with 405 and Allow: %s", async (path = "", allowed = "") => {
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET"]) {
    if (allowed.includes(method)) continue;
    const response = await raw(`${method} ${path} HTTP/1.1`, ["Content-Length: 0"]);
    expect(statusOf(response), method).toBe(405);
    expect(response.toLowerCase(), method).toContain(`allow: ${allowed.toLowerCase()}\r\n`);
  }
  expect(door.heard).toEqual([]);
});

it.each([
  ["TRACE / HTTP/1.1", 405],
  ["CONNECT x:443 HTTP/1.1", 405],
  ["PROPFIND / HTTP/1.1", 405],
  ["FOO / HTTP/1.1", 501],
  ["get / HTTP/1.1", 501],
  [`${"A".repeat(1_024)} / HTTP/1.1`, 501],
  ["GET http://169.254.169.254/ HTTP/1.1", 400],
  ["GET http://localhost/api/v1/log HTTP/1.1", 400],
  ["GET api/v1/log HTTP/1.1", 400],
  ["OPTIONS * HTTP/1.1", 400],
  ["PUT /nowhere HTTP/1.1", 404],
  ["OPTIONS /nowhere HTTP/1.1", 404],
  ["GET * HTTP/1.1", 400],
  ["GET /tuf/../api/v1/log HTTP/1.1", 400],
  ["GET /tuf/..%2f..%2fsecrets HTTP/1.1", 400],
  ["GET /tuf/%2e%2e/secrets HTTP/1.1", 400],
  ["GET /tuf/..\\secrets HTTP/1.1", 400],
  ["GET /./api/v1/log HTTP/1.1", 400],
  ["GET /tuf/%252e%252e/x HTTP/1.1", 400],
  ["GET /tuf/%c0%ae%c0%ae/x HTTP/1.1", 400],
  ["GET /tuf//1.root.json HTTP/1.1", 404],
  ["GET /api/v1/log/ HTTP/1.1", 404],
  ["GET /API/v1/log HTTP/1.1", 404],
  ["GET /__proto__ HTTP/1.1", 404],
  ["GET /api/v1/log/entries/..%2f HTTP/1.1", 400],
  ["GET /logs/CT/checkpoint HTTP/1.1", 404],
  ["GET /logs/constructor/checkpointx HTTP/1.1", 404],
  [`GET /${"a".repeat(5_000)} HTTP/1.1`, 400],
  ["GET /x HTTP/0.9", 404],
  ["PRI * HTTP/2.0\r\n\r\nSM", 400],
])("%s is %i", async (line, status) => {
  const response = await raw(line);
  expect(statusOf(response)).toBe(status);
  if (status === 405 || status === 501) expect(response.toLowerCase()).toContain("allow: ");
  expect(door.heard).toEqual([]);
});

it.each([
  [["Content-Length: 2", "Transfer-Encoding: chunked"], 400],
  [["Content-Length: -1"], 400],
  [["Content-Length: +5"], 400],
  [["Content-Length: 0x5"], 400],
  [["Content-Length: 18446744073709551616"], 400],
  [[`X: ${"a".repeat(20_000)}`], 431],
  [["Expect: nonsense"], 417],
  [
    [
      "Authorization: Bearer a",
      "Authorization: Bearer b",
      "Content-Type: application/json",
      "Content-Length: 2",
    ],
    400,
  ],
])("header fields %j are %i", async (headers, status) => {
  expect(statusOf(await raw("POST /api/v2/signingCert HTTP/1.1", headers, "{}"))).toBe(status);
  expect(door.heard).toEqual([]);
});

it("lives on after header fields named like members of every object", async () => {
  const headers = ["__proto__: x", "constructor: x", "toString: x", "hasOwnProperty: x"];
  expect(statusOf(await raw("GET /api/v1/log HTTP/1.1", headers))).toBe(200);
});

it("says 404 for a path nobody serves, before it reads the body", async () => {
  const { status } = await postBytes("/api/v3/nothing", " ".repeat(5_000_000)).catch(() => ({
    status: 404,
  }));
  expect(status).toBe(404);
  expect((await postBytes("/api/v3/nothing", "{}")).status).toBe(404);
});
