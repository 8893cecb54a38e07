/** The smallest keyless signer over the public HTTP interfaces, written apart from our client so that the two check each other. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** What a client holds after one signing. */
export interface Acknowledged {
  readonly artifact: Uint8Array;
  /** PEM, leaf first. */
  readonly certificates: readonly string[];
  readonly entryId: string;
  readonly logIndex: number;
  /** Rekor's answer for the entry, as JSON. */
  readonly entry: unknown;
}

/** Where to sign, and the secret that makes demo tokens. */
export interface SignerTarget {
  readonly origin: string;
  readonly home: string;
}

/** An ID token for a demo account. */
export async function demoToken({ origin, home }: SignerTarget, email: string): Promise<string> {
  const secret = (await readFile(join(home, "secrets", "admin"), "utf8")).trim();
  const response = await fetch(`${origin}/oidc/token`, {
    method: "POST",
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      authorization: `Bearer ${secret}`,
    },
    body: new URLSearchParams({ grant_type: "urn:chancery:params:oauth:grant-type:demo", email }),
    signal: AbortSignal.timeout(10_000),
  });
  const { id_token: token } = (await expectStatus(response, 200)) as { id_token: string };
  return token;
}

/** A certificate that was handed out, and the key that it is for. */
export interface Certified {
  /** PEM, leaf first. */
  readonly certificates: readonly string[];
  readonly privateKey: KeyObject;
}

/** Gets a certificate for a new key, signs a random artifact, and logs it. Rejects unless everything was acknowledged. */
export async function signOnce(
  target: SignerTarget,
  token: string,
  email: string,
): Promise<Acknowledged> {
  return await logSignature(target, await certify(target, token, email));
}

/** The first half of {@link signOnce}: a certificate for a new key. */
export async function certify(
  target: SignerTarget,
  token: string,
  email: string,
): Promise<Certified> {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
  const certificates = await requestCertificate(target.origin, token, {
    publicKey: { algorithm: "ECDSA", content: pem },
    proofOfPossession: sign("sha256", Buffer.from(email), privateKey).toString("base64"),
  });
  return { certificates, privateKey };
}

/** The second half of {@link signOnce}: a signature over a random artifact, logged. */
export async function logSignature(
  target: SignerTarget,
  { certificates, privateKey }: Certified,
): Promise<Acknowledged> {
  const artifact = randomBytes(64);
  const response = await fetch(`${target.origin}/api/v1/log/entries`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      apiVersion: "0.0.1",
      kind: "hashedrekord",
      spec: {
        data: {
          hash: { algorithm: "sha256", value: createHash("sha256").update(artifact).digest("hex") },
        },
        signature: {
          content: sign("sha256", artifact, privateKey).toString("base64"),
          publicKey: { content: Buffer.from(`${certificates[0]}\n`).toString("base64") },
        },
      },
    }),
    signal: AbortSignal.timeout(20_000),
  });
  const entries = (await expectStatus(response, 201)) as { [id: string]: { logIndex: number } };
  const [entryId = "", entry] = Object.entries(entries)[0] ?? [];
  if (entry === undefined) throw new Error("the log answered without an entry");
  return { artifact, certificates, entryId, logIndex: entry.logIndex, entry };
}

async function requestCertificate(
  origin: string,
  token: string,
  publicKeyRequest: object,
): Promise<readonly string[]> {
  const response = await fetch(`${origin}/api/v2/signingCert`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ credentials: { oidcIdentityToken: token }, publicKeyRequest }),
    signal: AbortSignal.timeout(20_000),
  });
  const answer = (await expectStatus(response, 200)) as {
    signedCertificateEmbeddedSct: { chain: { certificates: string[] } };
  };
  return answer.signedCertificateEmbeddedSct.chain.certificates;
}

async function expectStatus(response: Response, status: number): Promise<unknown> {
  const text = await response.text();
  if (response.status !== status)
    throw new Error(`${response.url} answered ${response.status}: ${text}`);
  return JSON.parse(text);
}
