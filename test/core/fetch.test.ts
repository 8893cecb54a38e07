import { expect, it } from "vitest";
import { createFetch } from "../../core/fetch.ts";
import { serveLoopback } from "../support/issuer.ts";

const local = createFetch({ allowLoopback: true });

/** A client whose resolver gives `addresses` and notes every name it was asked for. */
function resolving(addresses: readonly string[], options: Parameters<typeof createFetch>[0] = {}) {
  const names: string[] = [];
  const fetch = createFetch({
    ...options,
    async lookup(host) {
      names.push(host);
      return addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    },
  });
  return { fetch, names };
}

it("reads a small answer whole", async () => {
  await using server = await serveLoopback((request, response) => {
    response.setHeader("content-type", "application/json");
    response.setHeader("cache-control", "public, max-age=120");
    response.end(JSON.stringify(request.headers["accept-encoding"]));
  });
  const answer = await local(`${server.origin}/a?b=c`);
  expect(answer).toMatchObject({
    status: 200,
    contentType: "application/json",
    maxAgeSeconds: 120,
  });
  expect(new TextDecoder().decode(answer.body)).toBe('"identity"');
  expect(server.requests).toEqual(["/a?b=c"]);
});

it("reaches a name through the addresses that were vetted, and asks for them once", async () => {
  await using server = await serveLoopback((_request, response) => response.end("here"));
  const { fetch, names } = resolving(["127.0.0.1"], { allowLoopback: true });
  const port = new URL(server.origin).port;
  expect((await fetch(`http://localhost:${port}/`)).status).toBe(200);
  expect(names).toEqual(["localhost"]);
});

it.each([
  "http://idp.example/",
  "HTTPS://idp.example/",
  "https://IDP.example/",
  "https://idp.example./",
  "https://user@idp.example/",
  "https://idp.example/#fragment",
  "https://idp.example\\@other.example/",
  "https://idp。example/",
  "https://i\u00addp.example/",
  "https://idp.example:0/",
  "https://idp.example:99999/",
  "https://-idp.example/",
  "https://idp_x.example/",
  "https://idp..example/",
  "https://0x7f.1/",
  "https://2130706433/",
  "https://127.1/",
  "https://0177.0.0.1/",
  "https://[::1]/",
  "https://[::ffff:127.0.0.1]/",
  "https://idp.example/\u0000",
  "https://idp.example/a b",
  "file:///etc/passwd",
  "//idp.example/",
  "",
])("refuses the URL %j before resolving anything", async (url) => {
  const { fetch, names } = resolving(["93.184.216.34"]);
  await expect(fetch(url)).rejects.toThrow();
  expect(names).toEqual([]);
});

it.each([
  "127.0.0.1",
  "10.1.2.3",
  "172.16.0.1",
  "192.168.1.1",
  "100.64.0.1",
  "169.254.169.254",
  "0.0.0.0",
  "224.0.0.1",
  "255.255.255.255",
  "::1",
  "::",
  "fe80::1",
  "fd00::1",
  "::ffff:10.0.0.1",
  "64:ff9b::a00:1",
  "2002:a00:1::1",
])("refuses a name that resolves to %s", async (address) => {
  const { fetch } = resolving([address]);
  await expect(fetch("https://idp.example/")).rejects.toThrow("not allowed");
});

it("refuses a name if one of its addresses is refused", async () => {
  const { fetch } = resolving(["93.184.216.34", "10.0.0.1"]);
  await expect(fetch("https://idp.example/")).rejects.toThrow("not allowed");
});

it("lets a configured name resolve to a private address, but not to loopback or link-local", async () => {
  const options = { privateHosts: ["idp.corp"], allowLoopback: true };
  const privately = resolving(["192.0.2.1"], options);
  await expect(privately.fetch("https://idp.corp/")).rejects.toThrow("not allowed");
  for (const address of ["127.0.0.1", "169.254.169.254"]) {
    await expect(resolving([address], options).fetch("https://idp.corp/")).rejects.toThrow(
      "not allowed",
    );
  }
  const { fetch } = resolving(["10.255.255.1"], options);
  await expect(fetch("https://idp.corp:1/", { timeoutMs: 100 })).rejects.toThrow(
    /in time|reachable/,
  );
});

it.each([301, 302, 307, 308])("refuses to follow a %i", async (status) => {
  await using other = await serveLoopback((_request, response) => response.end("secret"));
  await using server = await serveLoopback((_request, response) => {
    response.writeHead(status, { location: `${other.origin}/` }).end();
  });
  await expect(local(`${server.origin}/`)).rejects.toThrow("redirects");
  expect(other.requests).toEqual([]);
});

it("refuses an answer in another encoding", async () => {
  await using server = await serveLoopback((_request, response) => {
    response.writeHead(200, { "content-encoding": "gzip" }).end("bomb");
  });
  await expect(local(`${server.origin}/`)).rejects.toThrow("encoding");
});

it("takes a body of exactly the limit and refuses one byte more", async () => {
  await using server = await serveLoopback((request, response) => {
    response.writeHead(200).write("x".repeat(Number(request.url?.slice(1)) - 1));
    response.end("x");
  });
  expect((await local(`${server.origin}/100`, { maxBytes: 100 })).body.length).toBe(100);
  await expect(local(`${server.origin}/101`, { maxBytes: 100 })).rejects.toThrow("longer than");
  expect((await local(`${server.origin}/262144`)).body.length).toBe(262_144);
  await expect(local(`${server.origin}/262145`)).rejects.toThrow("longer than");
});

it("gives up on a body that drips for ever", async () => {
  await using server = await serveLoopback((_request, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write("x"), 20);
    response.once("close", () => clearInterval(drip));
  });
  const started = performance.now();
  await expect(local(`${server.origin}/`, { timeoutMs: 200 })).rejects.toThrow("in time");
  expect(performance.now() - started).toBeLessThan(60_000);
});

it("gives up on a resolver that does not answer", async () => {
  const fetch = createFetch({ lookup: async () => await new Promise(() => undefined) });
  await expect(fetch("https://idp.example/", { timeoutMs: 50 })).rejects.toThrow("in time");
});

it.each([
  ["max-age=1000000000", 1_000_000_000],
  ["max-age=-1", null],
  ["no-store", 0],
  ["max-age=60, no-cache", 0],
  ["MAX-AGE=5", 5],
  ["s-maxage=7", null],
])("reads Cache-Control %j as %j", async (header, seconds) => {
  await using server = await serveLoopback((_request, response) => {
    response.writeHead(200, { "cache-control": header }).end();
  });
  expect((await local(`${server.origin}/`)).maxAgeSeconds).toBe(seconds);
});

it("refuses plain http and loopback unless they are allowed", async () => {
  await using server = await serveLoopback((_request, response) => response.end());
  await expect(createFetch()(`${server.origin}/`)).rejects.toThrow("https is required");
  expect(server.requests).toEqual([]);
});
