/** People sign in with a real browser, and what they sign with is a certificate. One instance for all. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from "jose";
import type { Page } from "puppeteer-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startBrowser, type TestBrowser } from "../support/browser.ts";
import { type Instance, run, startInstance } from "../support/instance.ts";
import { post, startClient } from "../support/oauth-client.ts";
import { preparedPlace } from "../support/prepared.ts";
import { installSigstoreClient, type SigstoreClient } from "../support/sigstore-client.ts";

const email = "ada@example.com";
const launcher = new URL("../../chancery", import.meta.url).pathname;
let place: Awaited<ReturnType<typeof preparedPlace>>;
let instance: Instance;
let browser: TestBrowser;
let sigstore: SigstoreClient;
let issuer = "";
let secret = "";

beforeAll(async () => {
  place = await preparedPlace();
  [instance, browser, sigstore] = await Promise.all([
    startInstance(place),
    startBrowser(),
    installSigstoreClient(),
  ]);
  issuer = `${instance.origin}/oidc`;
  secret = (await readFile(join(instance.home, "secrets", "admin"), "utf8")).trim();
});

afterAll(async () => {
  await sigstore?.[Symbol.asyncDispose]();
  await browser?.[Symbol.asyncDispose]();
  await instance?.[Symbol.asyncDispose]();
  await place?.remove();
});

/** Keeps a picture where a developer asks for them. */
async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env["CHANCERY_PICTURES"];
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

/** Types what people type, and waits for the page that follows. */
async function signIn(page: Page, password = secret, address = email): Promise<void> {
  await page.$eval("#email", (input) => ((input as unknown as { value: string }).value = ""));
  await page.type("#email", address);
  await page.type("#password", password);
  await Promise.all([page.waitForNavigation(), page.click("button[value=sign-in]")]);
}

async function press(page: Page, selector: string): Promise<void> {
  await Promise.all([page.waitForNavigation(), page.click(selector)]);
}

/** A `chancery login` that waits for its user. */
function startLogin(...args: readonly string[]) {
  const child = spawn(launcher, ["login", ...args], {
    env: { PATH: process.env["PATH"], CHANCERY_HOME: place.home, XDG_RUNTIME_DIR: folderOf(place) },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 240_000,
  });
  let asked = "";
  const { promise: told, resolve } = Promise.withResolvers<string>();
  child.stderr.on("data", (part: Buffer) => {
    asked += part.toString();
    if (asked.endsWith("\n\n")) resolve(asked);
  });
  child.once("exit", () => resolve(asked));
  return { told, printed: text(child.stdout), code: once(child, "exit") };
}

function folderOf({ home }: { readonly home: string }): string {
  return join(home, "..");
}

async function verified(token: string | undefined): Promise<JWTPayload> {
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
  return (await jwtVerify(token ?? "", keys, { issuer, audience: "sigstore" })).payload;
}

test("a person signs in, agrees, and a certificate is issued for the token", async () => {
  await using client = await startClient(issuer);
  const page = await browser.open();
  await page.goto(client.url);
  expect(await page.title()).toContain("Sign in");
  await picture(page, "sign-in");

  await signIn(page, "not the password");
  expect(await page.title()).toContain("there is a problem");
  expect(await page.$eval("[role=alert]", (box) => box.textContent)).toContain("is wrong");
  expect(await page.$eval("#email", (input) => input.getAttribute("value"))).toBe(email);
  expect(await page.content()).not.toContain("not the password");
  await picture(page, "sign-in-problem");

  await signIn(page);
  expect(await page.$eval("main", (main) => main.textContent)).toContain(email);
  expect(await page.$eval("main", (main) => main.textContent)).toContain("becomes public");
  await picture(page, "consent");
  await press(page, "button[value=agree]");
  expect(await page.title()).toBe("You may close this");

  const answer = await client.answer;
  expect(answer.get("state")).toBe(client.state);
  expect(answer.get("iss")).toBe(issuer);
  const { status, body } = await client.redeem("cosign", answer.get("code") ?? "");
  expect(status).toBe(200);
  expect(body.refresh_token).toBeUndefined();
  expect(await verified(body.id_token)).toMatchObject({
    sub: `demo:${email}`,
    email,
    email_verified: true,
    nonce: client.nonce,
    demo_account: true,
  });
  // A code works once, and what came of it is taken back (RFC 6749 §4.1.2).
  expect((await client.redeem("cosign", answer.get("code") ?? "")).body.error).toBe(
    "invalid_grant",
  );

  // What comes of it, the client that none of us wrote signs with, and verifies.
  const data = new TextEncoder().encode("signed by a person");
  const services = { fulcioURL: instance.origin, rekorURL: instance.origin };
  const options = { ...services, identityToken: body.id_token };
  const bundle = await sigstore.run({ action: "sign", data, options });
  const signer = await sigstore.run({
    action: "verify",
    bundle,
    data,
    options: {
      tufMirrorURL: `${instance.origin}/tuf`,
      tufRootPath: join(place.home, "trust", "1.root.json"),
      tufCachePath: join(sigstore.folder, "cache"),
      certificateIdentityEmail: email,
      certificateIssuer: issuer,
    },
  });
  expect(JSON.stringify(signer)).toContain(email);
  expect(browser.complaints).toEqual([]);
});

test("the pages need no script, fit 320 pixels, and can be used by keyboard alone", async () => {
  await using client = await startClient(issuer, { path: "/Callback" });
  const page = await browser.openApart();
  await page.setViewport({ width: 320, height: 640 });
  await page.setJavaScriptEnabled(false);
  await page.goto(client.url);
  const wider = async () => await page.evaluate("document.documentElement.scrollWidth");
  expect(await wider()).toBeLessThanOrEqual(320);
  expect(await page.$eval("html", (root) => root.getAttribute("lang"))).toBe("en");
  for (const id of ["email", "password"]) expect(await page.$(`label[for=${id}]`)).not.toBeNull();
  await picture(page, "sign-in-narrow");
  // The focus is where one types first.
  await page.keyboard.type(email);
  await page.keyboard.press("Tab");
  await page.keyboard.type(secret);
  await page.keyboard.press("Tab");
  await picture(page, "sign-in-focus");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  expect(await wider()).toBeLessThanOrEqual(320);
  await picture(page, "consent-narrow");
  await press(page, "button[value=agree]");
  const answer = await client.answer;
  const { status, body } = await client.redeem("python", answer.get("code") ?? "");
  expect(status).toBe(200);
  expect(await verified(body.id_token)).toMatchObject({ email });
  expect(browser.complaints).toEqual([]);
});

test("whoever says no gives nothing away, and a browser can be signed out", async () => {
  await using client = await startClient(issuer);
  const page = await browser.openApart();
  await page.goto(client.url);
  await signIn(page);
  await press(page, "button[value=cancel]");
  expect((await client.answer).get("error")).toBe("access_denied");
  expect((await client.answer).get("code")).toBeNull();

  await page.goto(`${issuer}/session/end`);
  await picture(page, "sign-out");
  await press(page, "button[value=yes]");
  expect(await page.title()).toContain("signed out");
  await using next = await startClient(issuer);
  await page.goto(next.url);
  expect(await page.title()).toContain("Sign in");
  // Also before anybody has signed in.
  await press(page, "button[value=cancel]");
  expect((await next.answer).get("error")).toBe("access_denied");
});

test("a device gets its token when somebody has typed its code and agreed", async () => {
  const begun = await post<{
    device_code: string;
    user_code: string;
    interval: number;
    verification_uri: string;
    verification_uri_complete: string;
  }>(
    `${issuer}/device/auth`,
    new URLSearchParams({ client_id: "sigstore", scope: "openid email" }),
  );
  expect(begun.body).toMatchObject({ interval: 5, verification_uri: `${issuer}/device` });
  const poll = async () =>
    await post(
      `${issuer}/token`,
      new URLSearchParams({
        client_id: "sigstore",
        grant_type: "urn:ietf:params:oauth:grant-type:device_code",
        device_code: begun.body.device_code,
      }),
    );
  expect(await poll()).toMatchObject({ status: 400, body: { error: "authorization_pending" } });
  expect(await poll()).toMatchObject({ status: 400, body: { error: "slow_down" } });

  const page = await browser.openApart();
  await page.goto(begun.body.verification_uri);
  await picture(page, "device");
  await page.type("#code", "BBBB-BBBB");
  await press(page, "main button");
  expect(await page.$eval("[role=alert]", (box) => box.textContent)).toContain("no such code");
  await picture(page, "device-problem");
  // The way a QR code or a link leads: the code is there, and still to be compared.
  await page.goto(begun.body.verification_uri_complete);
  expect(await page.$eval("#code", (input) => input.getAttribute("value"))).toBe(
    begun.body.user_code,
  );
  await press(page, "main button");
  expect(await page.$eval(".code", (code) => code.textContent)).toBe(begun.body.user_code);
  await picture(page, "device-confirm");
  await press(page, "button[name=confirm]");
  await signIn(page);
  expect(await page.$eval("main", (main) => main.textContent)).toContain("another device");
  await press(page, "button[value=agree]");
  expect(await page.title()).toContain("connected");
  await picture(page, "device-done");
  const { status, body } = await poll();
  expect(status).toBe(200);
  expect(await verified(body.id_token)).toMatchObject({ email });
  expect((await poll()).body.error).toBe("invalid_grant");
  expect(browser.complaints).toEqual([]);
});

test("chancery login gives the token that the browser brought, and only for its own state", async () => {
  const login = startLogin("--no-browser");
  const url = / (http:\S+)/.exec(await login.told)?.[1] ?? "";
  // Somebody who guessed the port does not know the state, and changes nothing.
  const redirect = new URL(url).searchParams.get("redirect_uri") ?? "";
  const stray = await fetch(`${redirect}?code=stolen&state=guessed`);
  expect(stray.status).toBe(400);
  const page = await browser.openApart();
  await page.goto(url);
  await signIn(page);
  await press(page, "button[value=agree]");
  expect(await page.title()).toBe("Done");
  expect(await login.code).toEqual([0, null]);
  expect(await verified((await login.printed).trim())).toMatchObject({ email });
});

test("chancery login --device --keep gives sign its token", async () => {
  const login = startLogin("--device", "--keep");
  const told = await login.told;
  const page = await browser.openApart();
  await page.goto(/ (http:\S+)/.exec(told)?.[1] ?? "");
  await page.type("#code", / ([A-Z]{4}-[A-Z]{4})/.exec(told)?.[1]?.toLowerCase() ?? "");
  await press(page, "main button");
  await press(page, "button[name=confirm]");
  await signIn(page);
  await press(page, "button[value=agree]");
  expect(await login.code).toEqual([0, null]);
  expect(await login.printed).toMatch(new RegExp(`^Signed in as ${email}, kept in `));

  const bundle = join(folderOf(place), "kept.sigstore.json");
  const sign = ["sign", join(place.home, "instance.json"), "--bundle", bundle];
  const environment = { PATH: process.env["PATH"] ?? "", CHANCERY_HOME: place.home };
  const kept = { ...environment, XDG_RUNTIME_DIR: folderOf(place) };
  expect(await run(launcher, sign, environment)).toMatchObject({ code: 2 });
  expect((await run(launcher, sign, kept)).stdout).toContain(`Signed as ${email}`);
});
