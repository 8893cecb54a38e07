/** Requests made before the clock runs: each with its own key, identity, token and digest. */
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { demoToken, type SignerTarget } from "../support/signer.ts";
import type { Prepared } from "./http.ts";

/** Certificate requests, each with a token and a key of its own. */
export async function certificateRequests(
  target: SignerTarget,
  count: number,
): Promise<readonly Prepared[]> {
  const requests: Prepared[] = [];
  const lanes = Array.from({ length: 8 }, async () => {
    while (requests.length < count) {
      const email = `u${randomBytes(6).toString("hex")}@example.com`;
      const token = await demoToken(target, email);
      const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      requests.push(
        json("/api/v2/signingCert", {
          credentials: { oidcIdentityToken: token },
          publicKeyRequest: {
            publicKey: {
              algorithm: "ECDSA",
              content: publicKey.export({ type: "spki", format: "pem" }),
            },
            proofOfPossession: sign("sha256", Buffer.from(email), privateKey).toString("base64"),
          },
        }),
      );
    }
  });
  await Promise.all(lanes);
  return requests;
}

/** Log entries (hashedrekord 0.0.1), each with a key and a digest of its own. */
export function entryRequests(count: number): readonly Prepared[] {
  return Array.from({ length: count }, () => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const artifact = randomBytes(32);
    const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
    return json("/api/v1/log/entries", {
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
  });
}

function json(path: string, value: object): Prepared {
  const body = JSON.stringify(value);
  return {
    path,
    body,
    headers: {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
    },
  };
}
