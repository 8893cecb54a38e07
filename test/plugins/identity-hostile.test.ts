import type { ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { beforeAll, expect, it } from "vitest";
import { createFetch } from "../../core/fetch.ts";
import { bootIdentity, claims } from "../support/identity.ts";
import { issuerKey, type IssuerKey, serveLoopback, signToken } from "../support/issuer.ts";

let key: IssuerKey;
beforeAll(async () => {
  key = await issuerKey();
});

/** Boots identity with the real client against a server on loopback that does `misbehave` to the document named. */
async function against(
  document: "discovery" | "jwks" | "neither",
  misbehave: (response: ServerResponse, honest: string) => void = () => undefined,
) {
  const server = await serveLoopback((request, response) => {
    const origin = `http://${String(request.headers.host)}`;
    const isJwks = request.url === "/jwks";
    const honest = JSON.stringify(
      isJwks ? { keys: [key.jwk] } : { issuer: origin, jwks_uri: `${origin}/jwks` },
    );
    if (document === (isJwks ? "jwks" : "discovery")) misbehave(response, honest);
    else response.end(honest);
  });
  const booted = await bootIdentity(
    { fetch: createFetch({ allowLoopback: true }) },
    { issuerUrl: server.origin },
  );
  return {
    server,
    authenticate: async () =>
      await booted.present(await signToken(key, claims({ iss: server.origin }))),
    async [Symbol.asyncDispose]() {
      await booted[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

it("takes the keys of an honest issuer on loopback, where that is allowed", async () => {
  await using issuer = await against("neither");
  expect((await issuer.authenticate()).principal.oidcIssuer).toBe(issuer.server.origin);
  expect(issuer.server.requests).toEqual(["/.well-known/openid-configuration", "/jwks"]);
});

const documents = ["discovery", "jwks"] as const;

it.each(
  documents.flatMap((one) => [301, 302, 303, 307, 308].map((status) => [one, status] as const)),
)("TC-F3 does not follow %s redirected by %i to a server with keys", async (document, status) => {
  await using thief = await serveLoopback((_request, response) =>
    response.end(JSON.stringify({ keys: [key.jwk] })),
  );
  await using issuer = await against(document, (response) => {
    response.writeHead(status, { location: `${thief.origin}/jwks` }).end();
  });
  await expect(issuer.authenticate()).rejects.toMatchObject({ code: "issuer-unavailable" });
  expect(thief.requests).toEqual([]);
});

const misdeeds: readonly (readonly [string, (response: ServerResponse, honest: string) => void])[] =
  [
    ["a status of 500", (response, honest) => response.writeHead(500).end(honest)],
    ["a status of 404", (response, honest) => response.writeHead(404).end(honest)],
    [
      "gzip",
      (response, honest) =>
        response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(honest)),
    ],
    [
      "a hundred encodings",
      (response, honest) =>
        response
          .writeHead(200, {
            "content-encoding": Array.from({ length: 100 }, () => "identity").join(", "),
          })
          .end(honest),
    ],
    ["a body above the limit", (response, honest) => response.end(honest + " ".repeat(262_145))],
    [
      "a length above the limit",
      (response) => response.writeHead(200, { "content-length": "1000000000" }).write("{"),
    ],
    [
      "huge headers",
      (response, honest) => response.writeHead(200, { "x-large": "x".repeat(20_000) }).end(honest),
    ],
    [
      "duplicate members",
      (response, honest) => response.end(honest.replace("{", '{"keys":[],"issuer":"x",')),
    ],
    [
      "a cut connection",
      (response) => {
        response.write("{");
        response.destroy();
      },
    ],
    ["an empty body", (response) => response.end()],
    ["HTML", (response) => response.end("<html>")],
    ["invalid UTF-8", (response) => response.end(Buffer.from([0x7b, 0xff, 0x7d]))],
  ];

it.each(
  documents.flatMap((one) => misdeeds.map(([name, misbehave]) => [one, name, misbehave] as const)),
)("takes no keys from %s with %s", async (document, _name, misbehave) => {
  await using issuer = await against(document, misbehave);
  await expect(issuer.authenticate()).rejects.toMatchObject({ code: "issuer-unavailable" });
});

it("gives up on an issuer that drips, for all who wait at once", async () => {
  await using issuer = await against("discovery", (response) => {
    const drip = setInterval(() => response.write(" "), 100);
    response.once("close", () => clearInterval(drip));
  });
  const started = performance.now();
  const all = await Promise.allSettled(
    Array.from({ length: 20 }, async () => await issuer.authenticate()),
  );
  expect(all.every(({ status }) => status === "rejected")).toBe(true);
  expect(performance.now() - started).toBeLessThan(60_000);
  expect(issuer.server.requests.length).toBe(1);
});
