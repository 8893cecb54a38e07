/** The requests that `test/support/signer.ts` does not make: an entry of Rekor v2, and a timestamp. */
import { createHash, createPublicKey, randomBytes, sign } from "node:crypto";
import { parseTimestampResponse } from "../../core/formats/tsp-token.ts";
import type { Certified } from "../support/signer.ts";

const within = 20_000;

/** What of a TransparencyLogEntry is held against the log. */
export interface EntryV2 {
  readonly logIndex: string;
  readonly canonicalizedBody: string;
  readonly inclusionProof: { readonly treeSize: string; readonly rootHash: string };
}

/** Logs a signature over a random artifact in Rekor v2. Rejects unless it was acknowledged. */
export async function logSignatureV2(
  origin: string,
  { privateKey }: Pick<Certified, "privateKey">,
): Promise<EntryV2> {
  const artifact = randomBytes(64);
  const rawBytes = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const request = {
    hashedRekordRequestV002: {
      digest: createHash("sha256").update(artifact).digest("base64"),
      signature: {
        content: sign("sha256", artifact, privateKey).toString("base64"),
        verifier: {
          publicKey: { rawBytes: rawBytes.toString("base64") },
          keyDetails: "PKIX_ECDSA_P256_SHA_256",
        },
      },
    },
  };
  const response = await post(`${origin}/api/v2/log/entries`, request, 201);
  return (await response.json()) as EntryV2;
}

/** A timestamp over a random digest, as the TSTInfo in base64. Rejects unless it was granted. */
export async function timestamp(origin: string): Promise<string> {
  const request = {
    artifactHash: randomBytes(32).toString("base64"),
    hashAlgorithm: "sha256",
    certificates: false,
  };
  const response = await post(`${origin}/api/v1/timestamp`, request, [200, 201]);
  return parseTimestampResponse(await response.bytes()).tstInfo.toBase64();
}

async function post(
  url: string,
  request: object,
  expected: number | readonly number[],
): Promise<Response> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(within),
  });
  if ([expected].flat().includes(response.status)) return response;
  throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
}
