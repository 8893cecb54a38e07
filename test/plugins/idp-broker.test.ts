/** People who come from another provider: what it says is passed on, and only what it may be believed. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { addAccount, removeAccount } from "../../plugins/idp/accounts.ts";
import { bootSignIn, claimsIn, issuer, type Seen, type SignIn } from "../support/sign-in.ts";
import { type Behaviour, startUpstream, type UpstreamIssuer } from "../support/upstream-issuer.ts";

const good = { sub: "user-1", email: "grace@example.com", email_verified: true };
let upstream: UpstreamIssuer;
let house: SignIn;

beforeAll(async () => {
  upstream = await startUpstream();
  house = await bootSignIn({
    accounts: [],
    upstream: {
      issuer: upstream.issuer,
      clientId: "chancery",
      clientSecretFile: "secrets/upstream",
      connectorId: "https://idp.example",
      name: "Example Corp",
    },
  });
});
afterEach(() => {
  for (const name of Object.keys(upstream.behaviour)) {
    delete upstream.behaviour[name as keyof Behaviour];
  }
  upstream.behaviour.claims = good;
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});

/** To the other provider and back, as far as that goes. */
async function come(own = house.visitor()) {
  const { seen, redeem } = await house.begin(own);
  const link = /href="([^"]+\/upstream)"/.exec(seen.body)?.[1] ?? "";
  const away = await own.get(new URL(link, issuer).pathname);
  const back = await upstream.signIn(away.location);
  return { own, redeem, back, seen: await own.follow(await own.get(back)) };
}

async function agree({ own, seen, redeem }: Awaited<ReturnType<typeof come>>) {
  const done = await own.follow(await own.submit(seen, { choice: "agree" }));
  const { body } = await redeem(new URL(done.location).searchParams.get("code") ?? "");
  return claimsIn((JSON.parse(body) as { id_token?: string }).id_token);
}

test("has one way in, signs nobody in by password, and asks the other provider nothing before", async () => {
  const own = house.visitor();
  const { seen } = await house.begin(own);
  expect(seen.body).toContain("Sign in with Example Corp");
  expect(seen.body).not.toContain("password");
  const forced = await own.submit(seen, { choice: "sign-in", email: "a@b.example", password: "x" });
  expect(forced.status).toBe(403);
  expect(upstream.seen).toEqual([]);
});

test("shows accounts of our own beside it, from the moment there are some", async () => {
  await addAccount(house.home, "ada@example.com", "correct horse battery");
  const own = house.visitor();
  const { seen } = await house.begin(own);
  expect(seen.body).toContain("password");
  expect(seen.body).toContain("Sign in with Example Corp");
  const typed = { email: "ada@example.com", password: "correct horse battery" };
  const entered = await own.follow(await own.submit(seen, { choice: "sign-in", ...typed }));
  expect(entered.body).toContain("Go on as ada@example.com");
  await removeAccount(house.home, "ada@example.com");
  const { seen: gone } = await house.begin(own);
  expect(gone.body).not.toContain("Go on as");
});

test("says again what the other provider said, and whose word it is", async () => {
  const come1 = await come();
  expect(come1.seen.body).toContain("Go on as grace@example.com");
  const claims = await agree(come1);
  expect(claims).toMatchObject({
    iss: issuer,
    email: "grace@example.com",
    email_verified: true,
    federated_claims: { connector_id: "https://idp.example", user_id: "user-1" },
    nonce: "the-nonce",
  });
  expect(claims).not.toHaveProperty("demo_account");
  // The same person has the same subject, and another of the same address has not.
  expect((await agree(await come()))["sub"]).toBe(claims["sub"]);
  upstream.behaviour.claims = { ...good, sub: "user-2" };
  expect((await agree(await come()))["sub"]).not.toBe(claims["sub"]);
});

test.each<[string, Partial<Behaviour>, RegExp]>([
  ["an address that is not verified", { claims: { ...good, email_verified: false } }, /verified/],
  ["an address verified as text", { claims: { ...good, email_verified: "true" } }, /verified/],
  ["no word on the address", { claims: { sub: "u", email: good.email } }, /verified/],
  ["no address", { claims: { sub: "u", email_verified: true } }, /verified/],
  ["an address that is none", { claims: { ...good, email: "a b@example.com" } }, /verified/],
  ["no subject", { claims: { email: good.email, email_verified: true } }, /trusted/],
  ["another issuer", { issuer: "https://evil.example" }, /trusted/],
  ["the issuer with a slash", { issuer: "SLASH" }, /trusted/],
  ["another audience", { audience: "other" }, /trusted/],
  ["another nonce", { nonce: "replayed" }, /trusted/],
  ["another's signature", { foreignKey: true }, /trusted/],
  ["no code", { error: "access_denied" }, /did not sign you in/],
])("lets nobody in with %s", async (_name, lie, words) => {
  Object.assign(upstream.behaviour, lie);
  if (lie.issuer === "SLASH") upstream.behaviour.issuer = `${upstream.issuer}/`;
  const signed = house.signed.length;
  const { seen } = await come();
  expect([seen.status, seen.body]).toEqual([403, expect.stringMatching(words)]);
  expect(house.signed.length).toBe(signed);
  const refused = house.told.filter(({ event }) => event === "sign-in-refused");
  expect(refused.length).toBeGreaterThan(0);
});

test.each<[string, (back: string) => string]>([
  ["a state nobody made", (back) => back.replace(/state=[^&]+/, "state=guessed")],
  ["no state", (back) => back.replace(/state=[^&]+/, "x=y")],
])("goes nowhere with %s", async (_name, twist) => {
  const own = house.visitor();
  const { back } = await come(own);
  const seen: Seen = await own.get(twist(back));
  expect([seen.status, seen.location]).toEqual([400, ""]);
});

test("an answer is good once, and only in the browser that began", async () => {
  const own = house.visitor();
  const { seen } = await house.begin(own);
  const link = /href="([^"]+\/upstream)"/.exec(seen.body)?.[1] ?? "";
  const away = await own.get(new URL(link, issuer).pathname);
  const back = await upstream.signIn(away.location);
  const stranger = house.visitor();
  const lured = await stranger.follow(await stranger.get(back));
  expect([lured.status, lured.body]).toEqual([400, expect.stringContaining("expired")]);
  expect((await own.follow(await own.get(back))).body).toContain("Go on as");
  expect((await own.get(back)).status).toBe(400);
});

test("what was refused is on record, with nothing that the other provider only claimed", async () => {
  upstream.behaviour.claims = { ...good, email_verified: false };
  await come();
  const reason = `upstream: Example Corp does not say that your e-mail address is verified.`;
  await expect
    .poll(async () => await house.recorded(), { timeout: 10_000 })
    .toContainEqual(expect.objectContaining({ reason: expect.stringContaining(reason) as string }));
  for (const one of await house.recorded()) {
    expect([one["reason"], one["account"]]).toEqual([one["reason"], undefined]);
  }
});

test("a provider that calls itself by another name is not asked to sign anybody in", async () => {
  await using other = await startUpstream();
  other.behaviour.announced = "https://evil.example";
  await using apart = await bootSignIn({
    upstream: { issuer: other.issuer, clientId: "chancery", name: "Other" },
  });
  const own = apart.visitor();
  const { seen } = await apart.begin(own);
  const link = /href="([^"]+\/upstream)"/.exec(seen.body)?.[1] ?? "";
  const answer = await own.get(new URL(link, issuer).pathname);
  expect([answer.status, answer.location]).toEqual([502, ""]);
  expect(answer.body).toContain("cannot be reached");
});

test.each(["token_endpoint", "jwks_uri"])(
  "a provider does not choose who else is asked: its %s is its own, or of an origin in the configuration",
  async (member) => {
    await using other = await startUpstream();
    await using elsewhere = await startUpstream();
    const path = member === "jwks_uri" ? "/jwks" : "/token";
    other.behaviour.document = { [member]: `${elsewhere.issuer}${path}` };
    const about = { issuer: other.issuer, clientId: "chancery", name: "Other" };
    const led = async (upstream: object) => {
      await using apart = await bootSignIn({ upstream });
      const own = apart.visitor();
      const { seen } = await apart.begin(own);
      const link = /href="([^"]+\/upstream)"/.exec(seen.body)?.[1] ?? "";
      const { status } = await own.get(new URL(link, issuer).pathname);
      return { status, told: JSON.stringify(apart.told) };
    };
    const refused = await led(about);
    expect(refused.status).toBe(502);
    expect(refused.told).toContain(`names ${elsewhere.issuer}, which is not its own origin`);
    expect((await led({ ...about, origins: [elsewhere.issuer] })).status).toBe(303);
    expect(elsewhere.seen).toEqual([]);
  },
);
