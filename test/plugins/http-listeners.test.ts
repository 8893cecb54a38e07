import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { failureCodes } from "../../events/failure.ts";
import { bootDoor, type Door } from "../support/door.ts";

let door: Door;
beforeAll(async () => {
  door = await bootDoor();
});
afterAll(async () => await door.dispose());
beforeEach(() => {
  door.heard.length = 0;
});

async function postBytes(
  path: string,
  body: string | Uint8Array,
  headers: { [name: string]: string } = {},
) {
  const response = await fetch(`${door.origin}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : Buffer.from(body),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

it.each(failureCodes)("a failure %s says nothing from inside, in any API", async (code) => {
  const asks = ["issueCertificate", "getSth", "describeLog", "describeProvider", "readTrustFile"];
  const before = { ...door.answer };
  for (const name of asks) door.answer[name] = code;
  const csr = Buffer.from(
    "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----",
  ).toString("base64");
  const issued = await postBytes(
    "/api/v2/signingCert",
    JSON.stringify({ certificateSigningRequest: csr }),
    { authorization: "Bearer a.b.c" },
  );
  const others = await Promise.all(
    ["/logs/ct/ct/v1/get-sth", "/api/v1/log", "/oidc/jwks", "/tuf/1.root.json"].map(
      async (path) => {
        const response = await fetch(`${door.origin}${path}`);
        return { status: response.status, text: await response.text(), headers: response.headers };
      },
    ),
  );
  Object.assign(door.answer, before);
  for (const { status, text, headers } of [issued, ...others]) {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(text).not.toContain("secret");
    expect(text.length).toBeLessThan(512);
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f]{32}$/);
    expect(headers.has("retry-after")).toBe(status === 429 || status === 503);
  }
  expect(Object.keys(JSON.parse(issued.text))).toEqual(["code", "message", "details"]);
});

it("speaks HTTP/1.1 and h2 over TLS on one port", async () => {
  const first = httpsRequest({
    port: door.tlsPort,
    host: "127.0.0.1",
    path: "//api/v1/log",
    rejectUnauthorized: false,
  });
  first.end();
  const [response] = await once(first, "response");
  expect([response.statusCode, response.httpVersion]).toEqual([200, "1.1"]);
  response.resume();
  const session = connectHttp2(`https://127.0.0.1:${door.tlsPort}`, { rejectUnauthorized: false });
  const exchange = async (headers: object, body = "") => {
    const stream = session.request({ ...headers }, { endStream: body === "" });
    if (body !== "") stream.end(body);
    const [answer] = await once(stream, "response");
    let text = "";
    for await (const part of stream.setEncoding("utf8")) text += String(part);
    return { status: answer[":status"], text };
  };
  expect((await exchange({ ":path": "/api/v1/log" })).status).toBe(200);
  const post = {
    ":method": "POST",
    ":path": "/api/v1/log/entries",
    "content-type": "application/json",
  };
  expect((await exchange(post, "{}")).status).toBe(201);
  expect((await exchange({ ...post, "content-type": "text/plain" }, "{}")).status).toBe(415);
  expect((await exchange({ ":method": "PUT", ":path": "/api/v1/log" })).status).toBe(405);
  expect((await exchange({ ":path": "/tuf/%2e%2e/x" })).status).toBe(400);
  expect(
    (
      await exchange(
        { ...post, ":path": "/oidc/token", "content-type": "application/x-www-form-urlencoded" },
        "a".repeat(9_000),
      )
    ).status,
  ).toBe(413);
  session.close();
});

it("says 503 and when to come back once too much is in flight, and 429 to whoever asks too often", async () => {
  await using small = await bootDoor({ limits: { requestsInFlight: 1 } });
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const { describeLog } = small.answer;
  small.answer["describeLog"] = promise;
  const waiting = fetch(`${small.origin}/api/v1/log`);
  while (small.heard.length === 0) await new Promise((done) => setTimeout(done, 5));
  const refused = await fetch(`${small.origin}/api/v1/log`);
  expect([refused.status, Number(refused.headers.get("retry-after")) >= 1]).toEqual([503, true]);
  resolve(describeLog);
  expect((await waiting).status).toBe(200);
  expect((await fetch(`${small.origin}/api/v1/log`)).status).toBe(200);
  await using slow = await bootDoor({ limits: { requestsPerSecondPerClient: 2, slowStartMs: 0 } });
  const statuses = [];
  while (statuses.length < 5 || (statuses.length < 200 && statuses.at(-1) === 200))
    statuses.push((await fetch(`${slow.origin}/healthz`)).status);
  expect(statuses.slice(0, 2)).toEqual([200, 200]);
  expect(statuses.at(-1)).toBe(429);
});

it("finishes what it accepted while it drains, and takes nothing more", async () => {
  const draining = await bootDoor();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const { describeLog } = draining.answer;
  draining.answer["describeLog"] = promise;
  const waiting = fetch(`${draining.origin}/api/v1/log`, { headers: { connection: "close" } });
  while (draining.heard.length === 0) await new Promise((done) => setTimeout(done, 5));
  const disposed = draining.dispose();
  const knock = async () => {
    const late = connect(draining.port, "127.0.0.1");
    const [refused] = (await Promise.race([once(late, "error"), once(late, "connect")])) as [
      NodeJS.ErrnoException?,
    ];
    late.destroy();
    return refused?.code;
  };
  await expect.poll(knock).toBe("ECONNREFUSED");
  resolve(describeLog);
  expect((await waiting).status).toBe(200);
  await disposed;
});
