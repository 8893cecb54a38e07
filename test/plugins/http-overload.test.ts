import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { issueCertificate } from "../../events/issuer.ts";
import type { Put } from "../../plugins/http/route.ts";
import { slowStrangers } from "../../plugins/http/strangers.ts";
import { bootDoor, type Door } from "../support/door.ts";

const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const content = publicKey.export({ type: "spki", format: "pem" }).toString();
interface Row {
  readonly code: string;
  readonly oidcIssuer?: string;
  readonly network: string;
  readonly count: number;
}

/** What the door said of refusals, all of it told. */
function toldOf({ told }: Pick<Door, "told">): readonly Row[] {
  return told.flatMap(({ question }) => (question as { refusals: readonly Row[] }).refusals);
}

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
  await small.dispose();
  const rows = toldOf(small);
  expect(rows[0]).toMatchObject({ code: "overloaded", network: "127.0.0.0/24" });
  expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(20);
});

function tokenOf(iss: string): string {
  return `e30.${Buffer.from(JSON.stringify({ iss })).toString("base64url")}.AA`;
}

describe("those who come with bad tokens", () => {
  let now = 0;
  let asked = 0;
  const put = async (_: unknown, { idToken }: { readonly idToken: string }) => {
    asked++;
    if (idToken === tokenOf("good")) return await Promise.resolve("issued");
    throw new Failure(idToken === tokenOf("policy") ? "policy-refused" : "identity-rejected", "no");
  };
  const limit = { rejectedPerSecondPerNetwork: 4, burstRejectedPerNetwork: 40 };
  const slowed = slowStrangers(put as unknown as Put, limit, () => now);
  const come = async (iss: string, network = "192.0.2.0/24") => {
    const question = { idToken: tokenOf(iss), network } as QuestionOf<typeof issueCertificate>;
    return await slowed(issueCertificate, question).then(
      () => "issued",
      (thrown: unknown) => (thrown instanceof Failure ? thrown : null),
    );
  };
  const codes = async (iss: string, times: number) => {
    const seen = new Map<unknown, number>();
    for (let time = 0; time < times; time++) {
      const came = await come(iss);
      const code = came instanceof Failure ? came.code : came;
      seen.set(code, (seen.get(code) ?? 0) + 1);
    }
    return Object.fromEntries(seen) as { [code: string]: number };
  };

  it("are refused before anybody is asked, by network and claimed issuer", async () => {
    // A quarter of the network's share is all that one issuer's name is good for.
    expect(await codes("a", 12)).toEqual({ "identity-rejected": 10, "rate-limited": 2 });
    expect(asked).toBe(10);
    expect(await come("a")).toMatchObject({
      details: { oidcIssuer: "a", retryAfterSeconds: 1 },
    });
    expect(await codes("policy", 30)).toEqual({ "policy-refused": 30 });
    expect(await codes("good", 30)).toEqual({ issued: 30 });
    for (const iss of ["b", "c"]) await codes(iss, 10);
    expect(await codes("d", 12)).toEqual({ "identity-rejected": 10, "rate-limited": 2 });
    // The network itself has had enough, whatever its tokens claim; others have not.
    expect(await codes("e", 1)).toEqual({ "rate-limited": 1 });
    expect(await come("e", "198.51.100.0/24")).toMatchObject({ code: "identity-rejected" });
    now += 1_000;
    expect(await codes("f", 10)).toEqual({ "identity-rejected": 4, "rate-limited": 6 });
    now += 60_000;
    expect(await codes("a", 12)).toEqual({ "identity-rejected": 10, "rate-limited": 2 });
  });
});

it("tells whoever comes with bad tokens when to come back, and has them on record", async () => {
  await using limited = await bootDoor({
    limits: { rejectedPerSecondPerNetwork: 1, burstRejectedPerNetwork: 4 },
  });
  limited.answer["issueCertificate"] = "identity-rejected";
  const credentials = { oidcIdentityToken: tokenOf("https://a.example") };
  const post = async () =>
    await fetch(`${limited.origin}/api/v2/signingCert`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...certificateRequest, credentials }),
    });
  let last = await post();
  while (last.status === 400) last = await post();
  expect(last.status).toBe(429);
  expect(Number(last.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  await limited.dispose();
  expect(toldOf(limited)).toMatchObject([
    { code: "rate-limited", oidcIssuer: "https://a.example", network: "127.0.0.0/24", count: 1 },
  ]);
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
  const rows = toldOf(counting);
  expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(7);
  expect(rows[0]).toMatchObject({ code: "malformed", network: "127.0.0.0/24" });
});
