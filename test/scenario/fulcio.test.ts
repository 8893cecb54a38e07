/** Fulcio's interfaces of a running instance: gRPC by the stock client over TLS with the home's CA, v1 as cosign 2 asks, and metrics. */
import { generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { grpcClient } from "../support/grpc-client.ts";
import { freshPlace, type Instance, type Place, startInstance } from "../support/instance.ts";
import { freePort } from "../support/ports.ts";
import { demoToken } from "../support/signer.ts";

const email = "ada@example.com";
let place: Place & { readonly remove: () => Promise<void> };
let instance: Instance;
let token: string;

beforeAll(async () => {
  place = { ...(await freshPlace()), metricsPort: await freePort() };
  instance = await startInstance(place);
  token = await demoToken(instance, email);
});
afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await place?.remove();
});

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const possession = sign("sha256", Buffer.from(email), privateKey);

/** The certificates the trust bundle says that chains end with. */
async function bundle(): Promise<readonly string[]> {
  const response = await fetch(`${instance.origin}/api/v2/trustBundle`);
  const { chains } = (await response.json()) as { chains: { certificates: string[] }[] };
  return chains[0]?.certificates ?? [];
}

function expectIssued(certificates: readonly string[], above: readonly string[]): void {
  expect(certificates.slice(1)).toEqual(above);
  const [leaf, issuing] = certificates.map((pem) => new X509Certificate(pem));
  expect(leaf?.subjectAltName).toBe(`email:${email}`);
  expect(issuing && leaf?.verify(issuing.publicKey)).toBe(true);
}

test("a certificate is issued over gRPC on the authority of REST", async () => {
  const authority = await readFile(join(instance.home, "trust/tls/ca.pem"), "utf8");
  using client = grpcClient(`localhost:${instance.tlsPort}`, authority);
  const content = publicKey.export({ type: "spki", format: "pem" }).toString();
  const value = { publicKey: { algorithm: 2, content }, proofOfPossession: possession };
  const { code, answer } = await client.call(
    "CA/CreateSigningCertificate",
    { key: { case: "publicKeyRequest", value } },
    { metadata: { oidcidentitytoken: token } },
  );
  expect(code).toBe(0);
  const { certificate } = answer as {
    certificate: { case: string; value: { chain: { certificates: string[] } } };
  };
  expect(certificate.case).toBe("signedCertificateEmbeddedSct");
  expectIssued(certificate.value.chain.certificates, await bundle());
  expect((await client.call("Health/Check", {})).answer).toMatchObject({ status: 1 });
});

test("a certificate is issued to cosign 2 and gitsign by v1", async () => {
  const content = publicKey.export({ type: "spki", format: "der" }).toString("base64");
  const response = await fetch(`${instance.origin}/api/v1/signingCert`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({
      publicKey: { content, algorithm: "ecdsa" },
      signedEmailAddress: possession.toString("base64"),
      certificateSigningRequest: null,
    }),
  });
  expect(response.status).toBe(201);
  const above = await bundle();
  expectIssued((await response.text()).split(/(?<=END CERTIFICATE-----)\n/), above);
  const root = await fetch(`${instance.origin}/api/v1/rootCert`);
  expect(await root.text()).toBe(above.join("\n"));
});

test("metrics of every process are on one page", async () => {
  const response = await fetch(`http://localhost:${place.metricsPort}/metrics`);
  const page = await response.text();
  expect(page).toMatch(/^fulcio_new_certs [3-9]$/m);
  expect(page).toContain('room="hsm",ask="sign",outcome="ok"');
});
