/** What the door passes on to the sign-in, and what it lets back. */
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { passOnTo } from "../../plugins/http/pass-on.ts";
import type { Asked } from "../../plugins/http/route.ts";
import { listenLocally, type Serve } from "../../plugins/idp/server.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "chancery-pass-on-"));
});
afterEach(async () => await rm(folder, { recursive: true }));

function asked(changes: Partial<Asked["raw"]> = {}): Asked {
  return {
    path: {},
    query: new Map(),
    authorization: undefined,
    body: new TextEncoder().encode("a=b"),
    mediaType: "",
    network: "192.0.2.0/24",
    raw: { method: "POST", target: "/oidc/x?y=z", headers: {}, address: "192.0.2.1", ...changes },
  };
}

async function listening(home: string, serve: Serve): Promise<AsyncDisposable> {
  return await listenLocally(home, serve, (error) => {
    throw error;
  });
}

test.each([1, 100, 180])("finds the sign-in of a home whose path is %d longer", async (length) => {
  const home = join(folder, "d".repeat(length));
  await mkdir(home, { recursive: true });
  await using server = await listening(home, async (request, response) => {
    response.end(`${request.method} ${request.url} ${await text(request)}`);
  });
  const { body } = await passOnTo(home)(asked());
  expect(Buffer.from(body).toString()).toBe("POST /oidc/x?y=z a=b");
  expect(server).toBeDefined();
});

test("TC-H6 tells the sign-in what it must know, and nothing that a client could say in our name", async () => {
  const { promise, resolve } = Promise.withResolvers<IncomingMessage["headers"]>();
  await using _server = await listening(folder, async (request, response) => {
    resolve(request.headers);
    await once(response.end(), "finish");
  });
  const headers = {
    cookie: "a=b",
    origin: "http://localhost",
    host: "evil.example",
    authorization: "Bearer secret",
    forwarded: "for=198.51.100.1",
    "x-forwarded-for": "198.51.100.1",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "https",
    "x-chancery-address": "198.51.100.1",
    "x-http-method-override": "DELETE",
  };
  await passOnTo(folder)(asked({ headers }));
  const { host: _host, connection: _connection, ...told } = await promise;
  expect(told).toEqual({
    cookie: "a=b",
    origin: "http://localhost",
    "content-length": "3",
    "x-chancery-address": "192.0.2.1",
  });
});

test("lets back what pages need, each cookie as it is, and no other header", async () => {
  await using _server = await listening(folder, async (_request, response) => {
    response.writeHead(303, [
      ["location", "/oidc/next"],
      ["set-cookie", "a=b; path=/oidc"],
      ["set-cookie", "c=d; path=/oidc"],
      ["access-control-allow-origin", "*"],
      ["x-powered-by", "something"],
    ] as never);
    await once(response.end("Redirecting to /oidc/next"), "finish");
  });
  expect(await passOnTo(folder)(asked({ method: "GET" }))).toEqual({
    status: 303,
    contentType: "text/plain; charset=utf-8",
    body: "",
    headers: { location: "/oidc/next", "set-cookie": ["a=b; path=/oidc", "c=d; path=/oidc"] },
  });
});

test.each<[string, Serve, string]>([
  [
    "does not know the page",
    async (_, response) => void response.writeHead(404).end("/x"),
    "not-found",
  ],
  ["fails", async (_, response) => void response.writeHead(500).end("a stack"), "internal"],
  ["hangs up", async (_, response) => void response.destroy(), "issuer-unavailable"],
  [
    "answers without end",
    async (_, response) => void response.end("x".repeat(262_145)),
    "internal",
  ],
])("has words of its own when the sign-in %s", async (_name, serve, code) => {
  await using _server = await listening(folder, serve);
  await expect(passOnTo(folder)(asked())).rejects.toMatchObject({ code });
});

test("says that there is no sign-in where there is none", async () => {
  await expect(passOnTo(folder)(asked())).rejects.toMatchObject({ code: "issuer-unavailable" });
  const gone = join(folder, "x".repeat(180));
  await expect(passOnTo(gone)(asked())).rejects.toMatchObject({ code: "issuer-unavailable" });
});
