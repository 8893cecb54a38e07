/**
 * All routes of a whole installation in a process whose every way out is watched: good requests, such as try to send it elsewhere, and
 * mutated ones. Issue 4, done-when 2: no request causes a connection to an address that is not in the configuration. And done-when 3.
 */
import dgram from "node:dgram";
import { lookup } from "node:dns/promises";
import { request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { demoRoutes } from "../support/demo-routes.ts";
import {
  keptAlive,
  type Reply,
  sendBytes,
  type Transport,
  type Wish,
} from "../support/door-client.ts";
import { doorRows, type Row } from "../support/door-material.ts";
import { watchEgress } from "../support/egress.ts";
import { seed } from "../support/fixed-draws.ts";
import { signToken } from "../support/issuer.ts";
import { dsse, envelope, intoto2, signer } from "../plugins/rekor/proposals.ts";
import { callOf, frame, openCalls } from "./calls.ts";
import { fuzz } from "./campaign.ts";
import { type House, openHouse } from "./house.ts";
import { elsewhere, honest } from "./outside.ts";

let house: House;
let rows: readonly Row[];
let door: Transport & Disposable;

beforeAll(async () => {
  house = await openHouse();
  door = keptAlive({ host: "127.0.0.1", port: house.port }, 16);
  rows = await mine(async () => await doorRows(door, house.home));
});
afterAll(async () => {
  door?.[Symbol.dispose]();
  await house?.[Symbol.asyncDispose]();
});

/** What the test itself does to the door is not watched. */
const mine = <T>(work: () => T): T => house.outside.egress.unwatched(work);
const send = async (wish: Wish): Promise<Reply> => await mine(async () => await door(wish));
const sendAll = async (wishes: readonly Wish[]) => await Promise.all(wishes.map(send));

/** Nobody was looked up or reached who is not in the configuration, and nobody somewhere else than where it resolved to. */
function expectNoStray(): void {
  const { egress, resolved, configured } = house.outside;
  expect(egress.strays).toEqual([]);
  expect([...resolved].filter((name) => !configured(name))).toEqual([]);
}

/** The CT log's head follows its promises a moment later, or when somebody asks for it: then nothing is left to be signed. */
async function signLastHead(): Promise<void> {
  const wish = rows.find(({ route }) => route.endsWith("/get-sth"))?.good;
  if (wish === undefined) throw new Error("no route gives the head");
  expect((await send(wish)).status).toBe(200);
}

/** The good request for a certificate with another token. */
function asking(token: string, where: "body" | "header" | "legacy"): Wish {
  const path = where === "legacy" ? "/api/v1/signingCert" : "/api/v2/signingCert";
  const good = rows.find(({ route }) => route === `POST ${path}`)?.good;
  if (good === undefined) throw new Error(`no request for ${path}`);
  if (where !== "body") {
    const body = String(good.body).replace(/"credentials":\{[^}]*\},/, "");
    return { ...good, body, headers: { ...good.headers, authorization: `Bearer ${token}` } };
  }
  const { credentials: _old, ...rest } = JSON.parse(String(good.body)) as { credentials: unknown };
  const body = JSON.stringify({ credentials: { oidcIdentityToken: token }, ...rest });
  return { ...good, body };
}

const email = "hostile@example.com";

/** A token of an issuer, well signed, with whatever else. */
async function token(iss: string, claims: object = {}, header: object = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  const said = { iss, sub: "someone", aud: "sigstore", iat: now - 5, exp: now + 300, email };
  return await signToken(
    house.outside.key,
    { ...said, email_verified: true, ...claims },
    { ...header },
  );
}

test("every route of the door is among those that are tried", () => {
  const routes = demoRoutes();
  const tried = new Set(rows.map(({ route }) => route));
  expect(
    routes.map(({ method, path }) => `${method} ${path}`).filter((one) => !tried.has(one)),
  ).toEqual([]);
});

test("who is in the configuration is asked for keys, by REST and gRPC, and where its name resolves to", async () => {
  for (const iss of [...honest, "https://acme.tenants.example"]) {
    expect((await send(asking(await token(iss), "body"))).body).toContain("BEGIN CERT");
  }
  const call = callOf(String(asking(await token("https://other.tenants.example"), "body").body));
  const { code } = await mine(async () => {
    using calls = openCalls(house.tlsPort);
    return await calls.send(frame(call.message()));
  });
  expect(code).toBe(0);
  const names = house.outside.egress.reached.map(({ name }) => name);
  for (const host of ["honest", "frank", "acme.tenants", "other.tenants"]) {
    expect(names).toContain(`${host}.example:443`);
  }
  // The demo's own sign-in is an issuer like others, and the door passes its pages on over a socket.
  expect(names).toContain(`localhost:${house.port}`);
  expect(house.outside.egress.sockets.size).toBeGreaterThan(0);
  expectNoStray();
});

test("TC-F3 an issuer in the configuration that lies sends nobody elsewhere, and gets nobody a certificate", async () => {
  await signLastHead();
  const before = house.signatures();
  for (const [iss, lie] of house.outside.lying) {
    const { status } = await send(asking(await token(iss), "body"));
    expect(status, lie).toBe(503);
  }
  // Each was asked, so that it could lie, or its name resolved to where nobody goes.
  const { resolved } = house.outside;
  for (const iss of house.outside.lying.keys()) expect(resolved).toContain(new URL(iss).hostname);
  expect(house.signatures()).toBe(before);
  expectNoStray();
});

test("TC-F2 TC-J3 a token chooses nobody whom we ask, neither by its issuer nor by its header", async () => {
  const { egress, resolved } = house.outside;
  const { reached } = egress;
  const [connections, names] = [reached.length, resolved.size];
  const spellings = [
    ...elsewhere,
    ...elsewhere.map((url) => url.replace(/\/jwks$/, "")),
    ...["/", "?x=y", "#x", "/../honest.example", "\u0000", ":444", "@evil.example"].map(
      (end) => `${honest[0]}${end}`,
    ),
    "https://a.b.tenants.example",
    "https://evil.example/.tenants.example",
    "https://acme.tenants.example.evil.example",
    "https://evil.example?acme.tenants.example",
  ];
  for (const iss of spellings) {
    for (const where of ["body", "header", "legacy"] as const) {
      expect((await send(asking(await token(iss), where))).status, iss).toBe(400);
    }
  }
  const calls = await Promise.all(
    spellings.map(async (iss) => callOf(String(asking(await token(iss), "body").body))),
  );
  await mine(async () => {
    using open = openCalls(house.tlsPort);
    for (const call of calls) expect((await open.send(frame(call.message()))).code).toBe(3);
  });
  // What a header brings along counts for nothing: the issuer's own key verifies these, and nobody else is asked about them.
  for (const url of elsewhere) {
    for (const member of ["jku", "x5u", "x5c", "x5t", "jwk"]) {
      const said = { jwks_uri: url, jku: url, sub: url };
      await send(asking(await token(honest[0], said, { [member]: url }), "body"));
    }
    const { status } = await send(asking(await token(honest[0], {}, { kid: url }), "body"));
    expect(status).toBe(400);
  }
  expect(reached.length).toBe(connections);
  expect(resolved.size).toBe(names);
  expectNoStray();
});

test("no field, parameter, header or target of any request is an address that we go to", async () => {
  for (const row of rows) {
    await sendAll(elsewhere.map((url, turn) => misdirected(row.good, url, turn)));
    // The whole address as the target, as to a proxy (RFC 9112 §3.2.2).
    const target = `${row.good.method} ${elsewhere[at(row)]} HTTP/1.1`;
    await mine(
      async () =>
        await sendBytes(
          { host: "127.0.0.1", port: house.port },
          `${target}\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
        ),
    );
  }
  expectNoStray();
});

test("what is logged may name any address, and is only stored", async () => {
  const by = signer("P-256");
  for (const [at, url] of elsewhere.entries()) {
    const statement = {
      _type: "https://in-toto.io/Statement/v1",
      subject: [
        { name: url, uri: url, downloadLocation: url, digest: { sha256: "ab".repeat(32) } },
      ],
      predicateType: url,
      predicate: { url, builder: { id: url }, materials: [{ uri: url }] },
    };
    const payload = new TextEncoder().encode(JSON.stringify(statement));
    const enveloped = envelope([by], at % 2 === 0 ? url : "application/vnd.in-toto+json", payload);
    const remote = { url, content: undefined };
    for (const proposed of [
      dsse(enveloped, [by]),
      intoto2(enveloped, [by]),
      {
        apiVersion: "0.0.1",
        kind: "rekord",
        spec: { data: remote, signature: { format: "x509", ...remote, publicKey: remote } },
      },
      { apiVersion: "0.0.1", kind: "tuf", spec: { metadata: remote, root: remote } },
      { apiVersion: "0.0.1", kind: "rpm", spec: { package: remote, publicKey: remote } },
      {
        apiVersion: "0.0.1",
        kind: "helm",
        spec: { chart: { provenance: remote }, publicKey: remote },
      },
    ]) {
      await send({
        method: "POST",
        path: "/api/v1/log/entries",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(proposed),
      });
    }
  }
  expectNoStray();
});

/** The short form of `npm run fuzz`: at least two thousand requests. The campaign itself looks for strays. */
test("no mutated request gets more than a quiet refusal, or what a good one gets, or goes anywhere", async () => {
  process.stdout.write(`fuzz: seed ${seed}\n`);
  const tally = await fuzz(house, { seed, cases: 2_100, atOnce: 64 });
  const counts = [...tally.values()].flatMap((statuses) => [...statuses.values()]);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(2_000);
  // Both doors of the oracle were used: most is refused, some is not.
  expect([...tally.values()].some((statuses) => statuses.has(200))).toBe(true);
  expect([...tally.values()].some((statuses) => statuses.has(400))).toBe(true);
});

test("the watch would have seen it: by every way out that Node has", async () => {
  using watch = watchEgress({ standIn: () => null, mayBeAt: () => false, socket: () => false });
  const failed = async (work: Promise<unknown>) =>
    await work.then(
      () => "went out",
      () => "stayed in",
    );
  const spoken = (emitter: NodeJS.EventEmitter) =>
    new Promise((_, reject) => emitter.once("error", reject));
  const ways: readonly (() => Promise<unknown>)[] = [
    async () => await fetch("http://192.0.2.1/"),
    async () => await lookup("evil.example"),
    async () => await spoken(request("http://192.0.2.1/")),
    async () => await spoken(connectTls({ host: "192.0.2.1", port: 443 })),
    async () => await spoken(connectHttp2("https://192.0.2.1")),
    async () => {
      const socket = dgram.createSocket("udp4");
      socket.send("x", 123, "192.0.2.1");
      return await Promise.resolve();
    },
  ];
  for (const [at, way] of ways.entries()) {
    expect(await failed((async () => await way())())).toBe("stayed in");
    expect(watch.strays.length).toBe(at + 1);
  }
});

/** An address of those elsewhere for a row, so that all have their turn. */
const at = (row: Row): number => rows.indexOf(row) % elsewhere.length;

/** Places in a request where some server somewhere looks for an address. */
const fields = [
  "host",
  "x-forwarded-host",
  "x-forwarded-for",
  "forwarded",
  "x-original-url",
  "x-rewrite-url",
  "referer",
  "origin",
  "via",
  "authorization",
];
const parameters = [
  "url",
  "uri",
  "jwks_uri",
  "request_uri",
  "redirect_uri",
  "post_logout_redirect_uri",
  "client_id",
  "registration",
  "sector_identifier_uri",
  "resource",
  "id_token_hint",
  "iss",
  "callback",
  "treeID",
];

/** A good request with an address in one more place, or in place of something. */
function misdirected(good: Wish, url: string, turn: number): Wish {
  const text = String(good.body ?? "");
  const field = fields[turn % fields.length] ?? "";
  const parameter = `${parameters[turn % parameters.length]}=${encodeURIComponent(url)}`;
  const leaves = [...text.matchAll(/:("(?:[^"\\]|\\.)*")/g)];
  const leaf = leaves[turn % Math.max(1, leaves.length)];
  const ways: Wish[] = [
    { ...good, path: `${good.path}${good.path.includes("?") ? "&" : "?"}${parameter}` },
    { ...good, path: `${good.path.replace(/[^/]*$/, "")}${encodeURIComponent(url)}` },
  ];
  if (/^[!-~]+$/.test(url)) {
    const value = field === "authorization" ? `Bearer ${url}` : url;
    ways.push({ ...good, headers: { ...good.headers, [field]: value } });
  }
  if (leaf?.[1] !== undefined) {
    const [start, value] = [leaf.index + 1, JSON.stringify(url)];
    const body = text.slice(0, start) + value + text.slice(start + leaf[1].length);
    ways.push({ ...good, body }, { ...good, body: `${text.slice(0, -1)},"url":${value}}` });
  } else if (text !== "") ways.push({ ...good, body: `${text}&${parameter}` });
  return ways[turn % ways.length] ?? good;
}
