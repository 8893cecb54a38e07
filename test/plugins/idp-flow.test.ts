/** What the sign-in does not do: for strangers, for other pages, for clients that want more than they may. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { discoveryDocument } from "../../plugins/idp/discovery.ts";
import {
  adminSecret,
  bootSignIn,
  claimsIn,
  issuer,
  redirectUri,
  type SignIn,
  type Visitor,
} from "../support/sign-in.ts";

const email = "ada@example.com";
let house: SignIn;

beforeAll(async () => {
  house = await bootSignIn();
});
afterAll(async () => await house?.[Symbol.asyncDispose]());

/** Signs in and agrees: the client's address with its code. */
async function codeFor(own: Visitor, changes: { readonly [name: string]: string } = {}) {
  const { seen, redeem } = await house.begin(own, changes);
  const consent = await own.follow(
    await own.submit(seen, { choice: "sign-in", email, password: adminSecret }),
  );
  const done = await own.follow(await own.submit(consent, { choice: "agree" }));
  return { url: new URL(done.location), redeem };
}

test("what its documents say is what the provider itself would say", async () => {
  const own = house.visitor();
  const { body } = await own.get("/oidc/.well-known/openid-configuration");
  const library = JSON.parse(body) as { [name: string]: unknown };
  const ours: { readonly [name: string]: unknown } = discoveryDocument(issuer, false);
  for (const [name, value] of Object.entries(ours)) {
    // These say less than the library would: only what the one client can use.
    if (["response_modes_supported", "claims_supported"].includes(name)) continue;
    if (name.startsWith("x-") || library[name] === undefined) continue;
    expect([name, new Set([library[name]].flat())]).toEqual([name, new Set([value].flat())]);
  }
  for (const absent of ["registration_endpoint", "introspection_endpoint", "userinfo_endpoint"]) {
    expect(library[absent]).toBeUndefined();
  }
});

test("redeems a code once, for its own verifier, and gives no refresh token", async () => {
  const own = house.visitor();
  const { url, redeem } = await codeFor(own);
  expect(url.href.startsWith(`${redirectUri}?`)).toBe(true);
  const code = url.searchParams.get("code") ?? "";
  const wrong = await redeem(code, { code_verifier: "x".repeat(43) });
  expect([wrong.status, wrong.body]).toEqual([400, expect.stringContaining("invalid_grant")]);
  const offline = { scope: "openid email offline_access" };
  const again = await codeFor(house.visitor(), offline);
  const { status, body } = await again.redeem(again.url.searchParams.get("code") ?? "");
  const answer = JSON.parse(body) as { [name: string]: unknown };
  expect(status).toBe(200);
  expect(answer["refresh_token"]).toBeUndefined();
  expect(claimsIn(answer["id_token"])).toMatchObject({
    iss: issuer,
    aud: "sigstore",
    email,
    email_verified: true,
    nonce: "the-nonce",
  });
});

test.each([
  "http://localhost:1/auth/callback",
  "http://localhost:65535/Callback",
  "http://127.0.0.1:45678/auth/callback",
  "http://[::1]:45678/auth/callback",
  "http://localhost:45678",
  "http://localhost/",
])("lets clients wait at %s", async (uri) => {
  const { seen } = await house.begin(house.visitor(), { redirect_uri: uri });
  expect([seen.status, seen.body]).toEqual([200, expect.stringContaining("Sign in")]);
});

test.each([
  "https://evil.example/auth/callback",
  "http://evil.example:45678/auth/callback",
  "http://localhost.evil.example/auth/callback",
  "http://localhost@evil.example/auth/callback",
  "http://user@localhost:45678/auth/callback",
  "http://localhost:45678/auth/callback?to=evil",
  "http://localhost:45678/auth/callback#fragment",
  "http://localhost:45678/auth/../evil",
  "https://localhost:45678/auth/callback",
  "//evil.example",
  "javascript:alert(1)",
  "urn:ietf:wg:oauth:2.0:oob",
  "",
])("sends nobody to %j", async (uri) => {
  const { seen } = await house.begin(house.visitor(), { redirect_uri: uri });
  expect([seen.status, seen.location]).toEqual([400, ""]);
  expect(seen.headers["content-security-policy"]).toContain("default-src 'none'");
});

test.each<[string, { [name: string]: string | undefined }, string]>([
  [
    "no challenge",
    { code_challenge: undefined, code_challenge_method: undefined },
    "invalid_request",
  ],
  ["a plain challenge", { code_challenge_method: "plain" }, "invalid_request"],
  ["the implicit flow", { response_type: "id_token" }, "invalid_request"],
  ["the hybrid flow", { response_type: "code id_token" }, "invalid_request"],
  ["a form", { response_mode: "form_post" }, "response_mode"],
  ["a request object", { request: "e30.e30." }, "request_not_supported"],
  ["a request by reference", { request_uri: "https://evil.example/" }, "request_uri_not_supported"],
  ["another client", { client_id: "other" }, "client"],
  ["no scope", { scope: undefined, prompt: "none" }, "error"],
])("gives no page to a request with %s", async (_name, changes, words) => {
  const { seen } = await house.begin(house.visitor(), changes);
  const said = `${seen.location} ${seen.body}`;
  expect(said).toContain(words);
  expect(seen.location.includes("code=")).toBe(false);
  expect(seen.body).not.toContain("Go on as");
});

describe("a form", () => {
  const fields = { choice: "sign-in", email, password: adminSecret };

  test.each<[string, { readonly [name: string]: string }]>([
    ["another origin", { origin: "https://evil.example" }],
    ["no origin that it names", { origin: "null" }],
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["a neighbour of the site", { "sec-fetch-site": "same-site" }],
  ])("from %s does nothing", async (_name, headers) => {
    const own = house.visitor();
    const { seen } = await house.begin(own);
    const csrf = /name="csrf" value="([^"]+)"/.exec(seen.body)?.[1] ?? "";
    const action = new URL(/action="([^"]+)"/.exec(seen.body)?.[1] ?? "").pathname;
    const refused = await own.post(action, { ...fields, csrf }, headers);
    expect([refused.status, refused.location]).toEqual([403, ""]);
    const taken = await own.post(action, { ...fields, csrf }, { origin: new URL(issuer).origin });
    expect(taken.status).toBe(303);
  });

  test.each(["", "wrong"])("with the mark %j does nothing", async (csrf) => {
    const own = house.visitor();
    const { seen } = await house.begin(own);
    expect((await own.submit(seen, { ...fields, csrf })).status).toBe(403);
  });

  test("without the browser's cookie, or with another's, does nothing", async () => {
    const [own, stranger] = [house.visitor(), house.visitor()];
    const { seen } = await house.begin(own);
    expect((await stranger.submit(seen, fields)).status).toBe(400);
    await house.begin(stranger);
    expect((await stranger.submit(seen, fields)).status).toBe(400);
  });

  test("of another step, or larger than ours, does nothing", async () => {
    const own = house.visitor();
    const { seen } = await house.begin(own);
    expect((await own.submit(seen, { choice: "agree" })).status).toBe(400);
    expect((await own.submit(seen, { ...fields, more: "x".repeat(16_384) })).status).toBe(403);
  });
});

test("every token is agreed to anew, also by a browser that is signed in", async () => {
  const own = house.visitor();
  await codeFor(own);
  const { seen } = await house.begin(own);
  expect(seen.body).toContain(`Go on as ${email}`);
  const silent = await house.begin(own, { prompt: "none" });
  expect(silent.seen.location).toContain("error=");
});

test("cookies are for this path and not for scripts, and over TLS only for TLS", async () => {
  const seen = await house.visitor().get(`/oidc/session/end`);
  for (const line of seen.headers["set-cookie"] ?? []) {
    expect(line).toMatch(/; path=\/oidc/i);
    expect(line).toMatch(/; samesite=lax/i);
    expect(line).toMatch(/; httponly/i);
    expect(line).not.toMatch(/domain=/i);
  }
  expect(seen.headers["set-cookie"]?.length).toBeGreaterThan(0);
  await using secure = await bootSignIn({ issuer: "https://sign.example/oidc" });
  const over = await secure.visitor().get(`/oidc/session/end`);
  for (const line of over.headers["set-cookie"] ?? []) expect(line).toMatch(/; secure/i);
});

test("whoever signs in as somebody else is signed out first, by a button and not by a script", async () => {
  const own = house.visitor();
  await codeFor(own);
  const { seen, redeem } = await house.begin(own, { prompt: "login" });
  const other = { choice: "sign-in", email: "grace@example.com", password: adminSecret };
  const step = await own.follow(await own.submit(seen, other));
  expect(step.body).toContain("One more step");
  expect(step.body).not.toContain("<script");
  const consent = await own.follow(await own.submit(step, {}));
  expect(consent.body).toContain("Go on as grace@example.com");
  const done = await own.follow(await own.submit(consent, { choice: "agree" }));
  const { body } = await redeem(new URL(done.location).searchParams.get("code") ?? "");
  expect(claimsIn((JSON.parse(body) as { id_token: string }).id_token)).toMatchObject({
    email: "grace@example.com",
  });
  const out = await house.visitor().get("/oidc/session/end");
  expect([out.status, out.body]).toEqual([200, expect.stringContaining("not signed in")]);
});

test("what a client types is shown as text, and what it calls us changes nothing", async () => {
  const own = house.visitor();
  const { seen } = await house.begin(own, { login_hint: `"><script>alert(1)</script>` });
  expect(seen.body).not.toContain("<script");
  const hostile = {
    host: "evil.example",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "https",
    forwarded: "host=evil.example",
  };
  const answer = await own.get("/oidc/device?user_code=BBBB-BBBB", hostile);
  expect(answer.body).toContain(`action="${issuer}/device"`);
  expect(JSON.stringify([answer.headers, answer.body])).not.toContain("evil.example");
});

test("a path of odd slashes is found by nobody, and names no other host", async () => {
  const before = house.told.length;
  for (const path of [
    "/oidc//",
    "/oidc//evil.example/",
    "/oidc//:x",
    "/oidc//?a",
    "/oidc///auth",
  ]) {
    expect([path, (await house.visitor().get(path)).status]).toEqual([path, 404]);
  }
  expect(house.told.slice(before).filter(({ event }) => event === "sign-in-failed")).toEqual([]);
});

test("a device that nobody lets in is told so, and a code is good for one", async () => {
  const own = house.visitor();
  const begun = JSON.parse(
    (await own.post("/oidc/device/auth", { client_id: "sigstore", scope: "openid email" })).body,
  ) as { device_code: string; user_code: string };
  const stop = await own.submit(await own.get("/oidc/device"), { user_code: begun.user_code });
  expect(stop.body).toContain(begun.user_code);
  const stopped = await own.submit(stop, { abort: "yes" });
  expect(stopped.body).toContain("gets nothing");
  const poll = await own.post("/oidc/token", {
    client_id: "sigstore",
    grant_type: "urn:ietf:params:oauth:grant-type:device_code",
    device_code: begun.device_code,
  });
  expect([poll.status, poll.body]).toEqual([400, expect.stringContaining("access_denied")]);
  const late = await own.submit(await own.get("/oidc/device"), { user_code: begun.user_code });
  expect(late.body).toContain("not valid any more");
});

test("every way to be refused is on record, once a second and network, and no secret is", async () => {
  const own = await bootSignIn({ accounts: [email] });
  const address = { "x-chancery-address": "203.0.113.9" };
  const visitor = own.visitor();
  {
    await using stopping = own;
    const { seen } = await stopping.begin(visitor);
    await visitor.submit(seen, { choice: "sign-in", email, password: "a wrong secret" });
    await visitor.submit(seen, { choice: "sign-in", email: "bob@example.com", password: "no" });
    await visitor.submit(seen, { choice: "sign-in", email, password: adminSecret, csrf: "forged" });
    await stopping.visitor().submit(seen, { choice: "cancel" });
    const consent = await visitor.follow(
      await visitor.submit(seen, { choice: "sign-in", email, password: adminSecret }),
    );
    await visitor.submit(consent, { choice: "cancel" });
    await visitor.post("/oidc/token", { grant_type: "x", client_id: "sigstore" }, address);
    const begun = JSON.parse(
      (await visitor.post("/oidc/device/auth", { client_id: "sigstore", scope: "openid" })).body,
    ) as { user_code: string };
    const page = await visitor.get("/oidc/device");
    await visitor.submit(page, { user_code: "BBBB-BBBB" });
    const stop = await visitor.submit(await visitor.get("/oidc/device"), {
      user_code: begun.user_code,
    });
    await visitor.submit(stop, { abort: "yes" });
  }
  const recorded = await own.recorded();
  const one = { code: "access-denied", oidcIssuer: issuer, network: "unknown", count: 1 };
  for (const expected of [
    { ...one, reason: "wrong password", account: email },
    { ...one, reason: "no such account" },
    { ...one, reason: "the form did not come from its page" },
    { ...one, reason: "the sign-in has expired or is another browser's" },
    { ...one, reason: "the person did not agree", account: email },
    {
      ...one,
      reason: "token request: unsupported_grant_type",
      network: "203.0.113.0/24",
    },
    { ...one, reason: "there is no such device code" },
    { ...one, reason: "a person stopped the device's sign-in" },
  ]) {
    expect(recorded).toContainEqual(expect.objectContaining(expected));
  }
  expect(recorded).toHaveLength(8);
  const text = JSON.stringify(recorded, (_name, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  for (const secret of [adminSecret, "a wrong secret", "bob@example.com"]) {
    expect(text).not.toContain(secret);
  }
});

test("nothing is signed but for those who agreed, and nothing is written down that opens a door", () => {
  for (const claims of house.signed) expect(claims).toMatch(/"email":"(?:ada|grace)@example.com"/);
  expect(JSON.stringify(house.told)).not.toContain(adminSecret);
  expect(house.told.filter(({ event }) => event === "sign-in-failed")).toEqual([]);
});
