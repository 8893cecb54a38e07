/** Good requests for every route of a door, made from what a running instance has signed and logged. */
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Transport, Wish } from "./door-client.ts";

/** A route with requests that it takes. */
export interface Row {
  /** As the door lists it: method and path. */
  readonly route: string;
  readonly api: "text" | "fulcio" | "rekor" | "oauth";
  readonly body?: "json" | "form";
  /** Bytes a body may have. */
  readonly maxBytes?: number;
  /** A request that is answered with `status`. */
  readonly good: Wish;
  readonly status: number;
  /** Present if members that are not known are refused. */
  readonly strict?: true;
  /** Present if every good request signs something, so that no two have the same answer. */
  readonly signs?: true;
  /** Present if the answer tells of something that goes on by itself. */
  readonly moves?: true;
}

const email = "hostile@example.com";
const json = { "content-type": "application/json" };

/** Signs and logs once, and makes a row of every route. */
export async function doorRows(send: Transport, home: string): Promise<readonly Row[]> {
  const secret = (await readFile(join(home, "secrets", "admin"), "utf8")).trim();
  const grant = `grant_type=urn:chancery:params:oauth:grant-type:demo&email=${email}`;
  const tokenWish: Wish = {
    method: "POST",
    path: "/oidc/token",
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      authorization: `Bearer ${secret}`,
    },
    body: grant.replaceAll(":", "%3A").replaceAll("@", "%40"),
  };
  const { id_token: token } = await answer<{ id_token: string }>(send, tokenWish, 200);
  const certWish = certificateWish(token);
  const issued = await answer<Issued>(send, certWish.wish, 200);
  const chain = issued.signedCertificateEmbeddedSct.chain.certificates.map(derOf);
  const entryWish = entry(certWish.key, issued.signedCertificateEmbeddedSct.chain.certificates[0]);
  const logged = await answer<object>(send, entryWish, 201);
  const entryId = Object.keys(logged)[0] ?? "";
  const final: Wish = {
    ...certWish.wish,
    path: `${ct}/add-chain`,
    body: JSON.stringify({ chain }),
  };
  await answer(send, final, 200);
  const pre: Wish = { ...final, path: `${ct}/add-pre-chain`, body: await precertificate(send) };
  const retrieve: Wish = {
    method: "POST",
    path: "/api/v1/log/entries/retrieve",
    headers: json,
    body: JSON.stringify({ entryUUIDs: [entryId], logIndexes: [0], entries: [] }),
  };
  const index: Wish = {
    method: "POST",
    path: "/api/v1/index/retrieve",
    headers: json,
    body: JSON.stringify({ email: "nobody@example.com", hash: hashOf(entryWish), operator: "or" }),
  };
  await untilFound(send, index);
  const v2Wish = entryV2();
  await answer(send, v2Wish, 201);
  return [
    { ...post("fulcio", certWish.wish, 4_194_304), signs: true },
    { ...post("fulcio", legacyWish(token, certWish.key), 4_194_304), status: 201, signs: true },
    { ...post("fulcio", v2Wish, 4_194_304), status: 201, strict: true },
    { ...post("rekor", timestampWish(), 16_384), strict: true, signs: true },
    { ...post("rekor", entryWish, 4_194_304), status: 409 },
    post("rekor", retrieve, 4_194_304),
    post("rekor", index, 65_536),
    { ...post("text", final, 524_288), route: `POST ${ctRoute}/add-chain` },
    { ...post("text", pre, 524_288), route: `POST ${ctRoute}/add-pre-chain` },
    { ...post("oauth", tokenWish, 8_192), body: "form", signs: true },
    ...(await signInRows(send)),
    ...(await readRows(send, entryId)),
  ];
}

/** The index follows the log; until it has, its answer changes by itself. */
async function untilFound(send: Transport, wish: Wish): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = await answer<readonly string[]>(send, wish, 200);
    if (found.length > 0) return;
    await sleep(50);
  }
  throw new Error("an entry that was logged is not found");
}

function hashOf({ body = "" }: Wish): string {
  const { spec } = JSON.parse(String(body)) as {
    spec: { data: { hash: { algorithm: string; value: string } } };
  };
  const { algorithm, value } = spec.data.hash;
  return `${algorithm}:${value}`;
}

const ct = "/logs/ct/ct/v1";
/** The same as the door lists it. */
const ctRoute = "/logs/:log/ct/v1";

async function readRows(send: Transport, entryId: string): Promise<readonly Row[]> {
  const { entries } = await answer<{ entries: { leaf_input: string }[] }>(
    send,
    get(`${ct}/get-entries?start=0&end=0`),
    200,
  );
  const leaf = Buffer.from(entries[0]?.leaf_input ?? "", "base64");
  const hash = createHash("sha256").update(Uint8Array.of(0)).update(leaf).digest("base64");
  const { tree_size: size } = await answer<{ tree_size: number }>(send, get(`${ct}/get-sth`), 200);
  const escaped = encodeURIComponent(hash);
  return [
    read("text", "/healthz"),
    read("text", "/ping"),
    read("text", "/readyz"),
    read("text", "/"),
    read("text", "/api/openapi.json"),
    read("fulcio", "/api/v2/trustBundle"),
    read("fulcio", "/api/v2/configuration"),
    read("fulcio", "/api/v1/rootCert"),
    ...[
      ["get-sth", ""],
      ["get-sth-consistency", `?first=1&second=${size}`],
      ["get-proof-by-hash", `?hash=${escaped}&tree_size=${size}`],
      ["get-entries", "?start=0&end=0"],
      ["get-entry-and-proof", `?leaf_index=0&tree_size=${size}`],
      ["get-roots", ""],
    ].map(([name = "", query]) => ({
      ...read("text", `${ct}/${name}`, query),
      route: `GET ${ctRoute}/${name}`,
    })),
    read("rekor", "/api/v1/log/entries", "?logIndex=0"),
    { ...read("rekor", `/api/v1/log/entries/${entryId}`), route: "GET /api/v1/log/entries/:id" },
    read("rekor", "/api/v1/log"),
    read("rekor", "/api/v1/log/publicKey"),
    read("rekor", "/api/v1/log/proof", "?firstSize=1&lastSize=1"),
    { ...read("text", "/logs/rekor/checkpoint"), route: "GET /logs/:log/checkpoint" },
    { ...read("text", "/logs/rekor/tile/0/000.p/1"), route: "GET /logs/:log/tile/*" },
    read("text", "/checkpoint"),
    { ...read("text", "/tile/0/000.p/1"), route: "GET /tile/*" },
    read("text", "/api/v2/checkpoint"),
    { ...read("text", "/api/v2/tile/0/000.p/1"), route: "GET /api/v2/tile/*" },
    { ...read("rekor", "/api/search", "?san=*&log=ct&proof=true&facets=san"), moves: true },
    read("rekor", "/api/v1/timestamp/certchain"),
    { ...read("text", "/tuf/1.root.json"), route: "GET /tuf/*" },
    read("oauth", "/oidc/.well-known/openid-configuration"),
    read("oauth", "/oidc/jwks"),
  ];
}

/** What is passed on to the sign-in, which is loaded when it is asked for the first time. */
async function signInRows(send: Transport): Promise<readonly Row[]> {
  const query = new URLSearchParams({
    response_type: "code",
    client_id: "sigstore",
    redirect_uri: "http://localhost:1/auth/callback",
    scope: "openid email",
    code_challenge: "x".repeat(43),
    code_challenge_method: "S256",
  });
  const begin: Wish = get(`/oidc/auth?${query.toString()}`);
  const { status } = await send(begin);
  if (status !== 303) throw new Error(`the sign-in answered ${status}`);
  const device: Wish = {
    method: "POST",
    path: "/oidc/device/auth",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: "client_id=sigstore&scope=openid&email=ignored",
  };
  return [
    { route: "GET /oidc/*", api: "oauth", good: begin, status },
    // Each has a code of its own.
    { ...post("oauth", device, 8_192), route: "POST /oidc/*", body: "form", signs: true },
  ];
}

/** A new hashedrekord entry, which is not logged yet. */
export function freshEntry(): Wish {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return entry(privateKey, publicKey.export({ type: "spki", format: "pem" }).toString());
}

interface Issued {
  readonly signedCertificateEmbeddedSct: { readonly chain: { readonly certificates: string[] } };
}

function certificateWish(token: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const content = publicKey.export({ type: "spki", format: "pem" }).toString();
  const body = JSON.stringify({
    credentials: { oidcIdentityToken: token },
    publicKeyRequest: {
      publicKey: { algorithm: "ECDSA", content },
      proofOfPossession: sign("sha256", Buffer.from(email), privateKey).toString("base64"),
    },
  });
  const wish: Wish = { method: "POST", path: "/api/v2/signingCert", headers: json, body };
  return { wish, key: privateKey };
}

/** As cosign 2 and gitsign ask for a certificate. */
function legacyWish(token: string, key: KeyObject): Wish {
  const content = createPublicKey(key).export({ type: "spki", format: "der" }).toString("base64");
  const body = JSON.stringify({
    publicKey: { content, algorithm: "ecdsa" },
    signedEmailAddress: sign("sha256", Buffer.from(email), key).toString("base64"),
    certificateSigningRequest: null,
  });
  const headers = { ...json, authorization: `Bearer ${token}` };
  return { method: "POST", path: "/api/v1/signingCert", headers, body };
}

function entry(key: ReturnType<typeof certificateWish>["key"], pem = ""): Wish {
  const artifact = key.export({ type: "pkcs8", format: "der" });
  const value = createHash("sha256").update(artifact).digest("hex");
  const body = JSON.stringify({
    apiVersion: "0.0.1",
    kind: "hashedrekord",
    spec: {
      data: { hash: { algorithm: "sha256", value } },
      signature: {
        content: sign("sha256", artifact, key).toString("base64"),
        publicKey: { content: Buffer.from(`${pem.trimEnd()}\n`).toString("base64") },
      },
    },
  });
  return { method: "POST", path: "/api/v1/log/entries", headers: json, body };
}

/** An entry for a Rekor v2 log (hashedRekordRequestV002) of a key of its own. */
function entryV2(): Wish {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const artifact = privateKey.export({ type: "pkcs8", format: "der" });
  const body = JSON.stringify({
    hashedRekordRequestV002: {
      digest: createHash("sha256").update(artifact).digest("base64"),
      signature: {
        content: sign("sha256", artifact, privateKey).toString("base64"),
        verifier: {
          publicKey: {
            rawBytes: publicKey.export({ type: "spki", format: "der" }).toString("base64"),
          },
          keyDetails: "PKIX_ECDSA_P256_SHA_256",
        },
      },
    },
  });
  return { method: "POST", path: "/api/v2/log/entries", headers: json, body };
}

/** A timestamp for a digest, asked for as sigstore-js does. */
function timestampWish(): Wish {
  const artifactHash = createHash("sha256").update(email).digest("base64");
  const body = JSON.stringify({ artifactHash, hashAlgorithm: "sha256" });
  return { method: "POST", path: "/api/v1/timestamp", headers: json, body };
}

/** The chain of the log's first entry, which the issuer submitted: PrecertChainEntry of RFC 6962 §4.6. */
async function precertificate(send: Transport): Promise<string> {
  const { entries } = await answer<{ entries: { extra_data: string }[] }>(
    send,
    get(`${ct}/get-entries?start=0&end=0`),
    200,
  );
  const bytes = Buffer.from(entries[0]?.extra_data ?? "", "base64");
  const chain: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUIntBE(at, 3);
    // After the precertificate comes the length of all the others.
    if (chain.length === 1 && at + 3 + length === bytes.length && bytes[at + 3] !== 0x30) at += 3;
    const size = bytes.readUIntBE(at, 3);
    chain.push(bytes.subarray(at + 3, at + 3 + size).toString("base64"));
    at += 3 + size;
  }
  return JSON.stringify({ chain });
}

function post(api: Row["api"], good: Wish, maxBytes: number): Row {
  return { route: `POST ${good.path}`, api, body: "json", maxBytes, good, status: 200 };
}

function read(api: Row["api"], path: string, query = ""): Row {
  return { route: `GET ${path}`, api, good: get(`${path}${query}`), status: 200 };
}

function get(path: string): Wish {
  return { method: "GET", path };
}

function derOf(pem: string): string {
  return pem.replaceAll(/-----[A-Z ]+-----|\s/g, "");
}

async function answer<T>(send: Transport, wish: Wish, status: number): Promise<T> {
  const reply = await send(wish);
  if (reply.status !== status) {
    throw new Error(`${wish.method} ${wish.path} answered ${reply.status}: ${reply.body}`);
  }
  return JSON.parse(reply.body) as T;
}
