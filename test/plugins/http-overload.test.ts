import { generateKeyPairSync } from "node:crypto";
import { expect, it } from "vitest";
import { bootDoor } from "../support/door.ts";

const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const content = publicKey.export({ type: "spki", format: "pem" }).toString();
const certificateRequest = {
  credentials: { oidcIdentityToken: "a.b.c" },
  publicKeyRequest: { publicKey: { algorithm: "ECDSA", content }, proofOfPossession: "AA==" },
};

it("sheds writes in their API's own words before anything is spent on them, and keeps the connection", async () => {
  await using small = await bootDoor({ limits: { requestsInFlight: 1 } });
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const { issueCertificate } = small.answer;
  small.answer["issueCertificate"] = promise;
  const body = JSON.stringify(certificateRequest);
  const post = async (text: string) =>
    await fetch(`${small.origin}/api/v2/signingCert`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: text,
    });
  const waiting = post(body);
  while (small.heard.length === 0) await new Promise((done) => setTimeout(done, 5));
  // Not even a body that nobody can read is looked at.
  for (let time = 0; time < 20; time++) {
    const refused = await post("{".repeat(1_000));
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(refused.headers.get("connection")).toBe("keep-alive");
    expect(await refused.json()).toMatchObject({ code: 14, details: [] });
  }
  resolve(issueCertificate);
  expect((await waiting).status).toBe(200);
  expect((await post(body)).status).toBe(200);
  expect(small.heard).toHaveLength(2);
});

it("tells a client what is left to it, and when to come back", async () => {
  const limits = { requestsPerSecondPerClient: 1, burstPerClient: 5, slowStartMs: 0 };
  await using limited = await bootDoor({ limits });
  const seen: Response[] = [];
  while (seen.length < 8 || (seen.length < 200 && seen.at(-1)?.status === 200))
    seen.push(await fetch(`${limited.origin}/ping`));
  expect(seen.map(({ status }) => status).slice(0, 5)).toEqual([200, 200, 200, 200, 200]);
  expect(seen[0]?.headers.get("ratelimit-policy")).toBe(`"client";q=5;w=5`);
  expect(seen[0]?.headers.get("ratelimit")).toMatch(/^"client";r=5;t=1$/);
  const last = seen.at(-1);
  expect([last?.status, last?.headers.get("ratelimit")?.slice(0, 12)]).toEqual([
    429,
    `"client";r=0`,
  ]);
  expect(Number(last?.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
});

it("tells the issuer of refusals that no room has heard of, by reason and network", async () => {
  const counting = await bootDoor();
  const post = async (text: string) =>
    await fetch(`${counting.origin}/api/v2/signingCert`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: text,
    });
  for (let time = 0; time < 7; time++) expect((await post("{")).status).toBe(400);
  counting.answer["issueCertificate"] = "policy-refused";
  expect((await post(JSON.stringify(certificateRequest))).status).toBe(403);
  expect(counting.heard[0]?.question).toMatchObject({ network: "127.0.0.0/24" });
  await counting.dispose();
  const rows = counting.told.flatMap(
    ({ question }) => (question as { refusals: { count: number }[] }).refusals,
  );
  expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(7);
  expect(rows[0]).toMatchObject({ code: "malformed", network: "127.0.0.0/24" });
});
