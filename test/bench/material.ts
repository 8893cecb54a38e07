/** Requests made before the clock runs: each with its own key, identity, token and digest. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { boolean, integer, nullValue, octetString, oid, sequence } from "../../core/formats/der.ts";
import { get, post, postJson, type Prepared, type Send } from "./http.ts";

/** The instance that material is made for. */
export interface Target {
  readonly home: string;
  readonly origin: string;
  /** For what has to be asked of the instance itself: tokens and certificates. */
  readonly send: Send;
}

/** Requests under way while material is made. */
const makingLanes = 16;

/** Certificate requests (Fulcio v2), each with a token, an identity and a key of its own. */
export async function certificateRequests(
  target: Target,
  count: number,
): Promise<readonly Prepared[]> {
  const secret = await adminSecret(target);
  return await many(count, async () => (await certificateRequest(target, secret)).prepared);
}

/** Log entries (hashedrekord 0.0.1), each with a bare key and a digest of its own. */
export async function keyEntries(_: Target, count: number): Promise<readonly Prepared[]> {
  return await many(count, async () => await Promise.resolve(hashedRekord(withKey())));
}

/** The same for Rekor v2 (hashedrekord 0.0.2). */
export async function keyEntriesV2(_: Target, count: number): Promise<readonly Prepared[]> {
  return await many(count, async () => await Promise.resolve(hashedRekordV2(withKey())));
}

/** Log entries whose verifier is a certificate that the instance has issued, each for an identity, a key and a digest of its own. */
export async function certificateEntries(
  target: Target,
  count: number,
): Promise<readonly Prepared[]> {
  const secret = await adminSecret(target);
  return await many(count, async () => hashedRekord(await withCertificate(target, secret)));
}

/** The same for Rekor v2. */
export async function certificateEntriesV2(
  target: Target,
  count: number,
): Promise<readonly Prepared[]> {
  const secret = await adminSecret(target);
  return await many(count, async () => hashedRekordV2(await withCertificate(target, secret)));
}

/** A key, and what shows it to verifiers: itself, or a certificate. */
interface Verifier {
  readonly privateKey: KeyObject;
  readonly kind: "publicKey" | "x509Certificate";
  readonly pem: string;
}

function withKey(): Verifier {
  const { publicKey, privateKey } = keyPair();
  return { privateKey, kind: "publicKey", pem: pemOf(publicKey) };
}

async function withCertificate(target: Target, secret: string): Promise<Verifier> {
  const { prepared, privateKey } = await certificateRequest(target, secret);
  const answer = (await asked(target, prepared, 200)) as {
    signedCertificateEmbeddedSct: { chain: { certificates: string[] } };
  };
  const [leaf = ""] = answer.signedCertificateEmbeddedSct.chain.certificates;
  return { privateKey, kind: "x509Certificate", pem: leaf.endsWith("\n") ? leaf : `${leaf}\n` };
}

/** Timestamp queries (RFC 3161, DER) with a digest and a nonce each, for the URL that the signing configuration names. */
export async function timestampRequests(
  { home }: Target,
  count: number,
): Promise<readonly Prepared[]> {
  const url = await timestampUrl(home);
  if (url === null) throw new Error("this instance has no timestamp authority");
  const path = new URL(url).pathname;
  return Array.from({ length: count }, () => {
    const imprint = sequence(
      sequence(oid("2.16.840.1.101.3.4.2.1"), nullValue()),
      octetString(randomBytes(32)),
    );
    // The top bit is off, so that the nonce has one encoding.
    const nonce = integer(BigInt(`0x${randomBytes(8).toString("hex")}`) >> 1n);
    const query = sequence(integer(1n), imprint, nonce, boolean(true));
    return post(path, "application/timestamp-query", query);
  });
}

/** Where the instance's signing configuration sends signers for timestamps; null if it names nobody. */
export async function timestampUrl(home: string): Promise<string | null> {
  const text = await readFile(join(home, "trust", "signing_config.v0.2.json"), "utf8");
  const { tsaUrls } = JSON.parse(text) as { tsaUrls?: readonly { url: string }[] };
  return tsaUrls?.[0]?.url ?? null;
}

/** Entries that reads have something to read among: a full tile and more. */
const leastEntries = 600;

/** Reads of the first full tile of the Rekor log. */
export async function tileReads(target: Target, count: number): Promise<readonly Prepared[]> {
  await fill(target);
  return Array.from({ length: count }, () => get("/logs/rekor/tile/0/000"));
}

/** Reads of the newest checkpoint. */
export async function checkpointReads(target: Target, count: number): Promise<readonly Prepared[]> {
  await fill(target);
  return Array.from({ length: count }, () => get("/logs/rekor/checkpoint"));
}

/** Reads of entries at random indices, each with its inclusion proof. */
export async function proofReads(target: Target, count: number): Promise<readonly Prepared[]> {
  const size = await fill(target);
  return Array.from({ length: count }, () =>
    get(`/api/v1/log/entries?logIndex=${Math.floor(Math.random() * size)}`),
  );
}

async function fill(target: Target): Promise<number> {
  const size = await logSize(target);
  if (size >= leastEntries) return size;
  const missing = await keyEntries(target, leastEntries - size);
  let next = 0;
  await many(missing.length, async () => {
    const entry = missing[next++];
    if (entry !== undefined) await asked(target, entry, 201);
  });
  return await logSize(target);
}

async function logSize(target: Target): Promise<number> {
  return ((await asked(target, get("/api/v1/log"), 200)) as { treeSize: number }).treeSize;
}

async function certificateRequest(
  target: Target,
  secret: string,
): Promise<{ readonly prepared: Prepared; readonly privateKey: KeyObject }> {
  const email = `u${randomBytes(6).toString("hex")}@example.com`;
  const { publicKey, privateKey } = keyPair();
  const form = new URLSearchParams({
    grant_type: "urn:chancery:params:oauth:grant-type:demo",
    email,
  });
  const ask = post("/oidc/token", "application/x-www-form-urlencoded", form.toString());
  const headers = { ...ask.headers, authorization: `Bearer ${secret}` };
  const { id_token: token } = (await asked(target, { ...ask, headers }, 200)) as {
    id_token: string;
  };
  const prepared = postJson("/api/v2/signingCert", {
    credentials: { oidcIdentityToken: token },
    publicKeyRequest: {
      publicKey: { algorithm: "ECDSA", content: pemOf(publicKey) },
      proofOfPossession: sign("sha256", Buffer.from(email), privateKey).toString("base64"),
    },
  });
  return { prepared, privateKey };
}

function hashedRekordV2({ privateKey, kind, pem }: Verifier): Prepared {
  const artifact = randomBytes(32);
  const rawBytes = pem.replaceAll(/-----[^-]+-----|\n/g, "");
  return postJson("/api/v2/log/entries", {
    hashedRekordRequestV002: {
      digest: createHash("sha256").update(artifact).digest("base64"),
      signature: {
        content: sign("sha256", artifact, privateKey).toString("base64"),
        verifier: { [kind]: { rawBytes }, keyDetails: "PKIX_ECDSA_P256_SHA_256" },
      },
    },
  });
}

function hashedRekord({ privateKey, pem }: Verifier): Prepared {
  const artifact = randomBytes(32);
  return postJson("/api/v1/log/entries", {
    apiVersion: "0.0.1",
    kind: "hashedrekord",
    spec: {
      data: {
        hash: { algorithm: "sha256", value: createHash("sha256").update(artifact).digest("hex") },
      },
      signature: {
        content: sign("sha256", artifact, privateKey).toString("base64"),
        publicKey: { content: Buffer.from(pem).toString("base64") },
      },
    },
  });
}

async function adminSecret({ home }: Target): Promise<string> {
  return (await readFile(join(home, "secrets", "admin"), "utf8")).trim();
}

async function asked({ send }: Target, prepared: Prepared, status: number): Promise<unknown> {
  const answer = await send(prepared);
  if (answer.status !== status) {
    throw new Error(`material: ${prepared.path} answered ${answer.status}: ${answer.text}`);
  }
  return JSON.parse(answer.text);
}

/** So many of them, several at a time. */
async function many<T>(count: number, make: () => Promise<T>): Promise<readonly T[]> {
  const made: T[] = [];
  let begun = 0;
  const lanes = Array.from({ length: Math.min(makingLanes, count) }, async () => {
    while (begun < count) {
      begun++;
      made.push(await make());
    }
  });
  await Promise.all(lanes);
  return made;
}

function keyPair(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function pemOf(publicKey: KeyObject): string {
  return publicKey.export({ type: "spki", format: "pem" }).toString();
}
