/** The proof of a start, by the CLI against a box: which refusals a later start may serve with, and which nobody may. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { failureOf, proveReadiness, wasProved } from "../../deploy/proof.ts";
import { Refusal, Unproven } from "../../deploy/refusal.ts";
import { refusedByCt, refusedByPolicy } from "../../plugins/client/fulcio.ts";
import { refusedSignIn } from "../../plugins/client/id-token.ts";
import { refusedFrozen } from "../../plugins/client/rekor.ts";
import { fulcioFamily, oauthFamily, rekorFamily } from "../../plugins/http/families.ts";
import { type Cli, issuer, startCli } from "../support/cli.ts";

const policy = ["/api/v2/signingCert", fulcioFamily, "policy-refused", refusedByPolicy] as const;
const ct = ["/api/v2/signingCert", fulcioFamily, "log-frozen", refusedByCt] as const;
const signIn = ["/oidc/token", oauthFamily, "policy-refused", refusedSignIn] as const;
const log = ["/api/v1/log/entries", rekorFamily, "log-frozen", refusedFrozen] as const;

let box: Cli;
beforeAll(async () => {
  box = await startCli();
  await mkdir(join(box.home, "run"));
});
afterAll(async () => await box[Symbol.asyncDispose]());
beforeEach(async () => {
  box.behaviour.spoil = {};
  box.behaviour.before.clear();
  await rm(join(box.home, "proved.json"), { force: true });
});

/** What a proof that fails says, by the class that a start looks at. */
async function failure(): Promise<readonly [string, string]> {
  const problem: unknown = await proveReadiness(box.home, issuer).catch(
    (thrown: unknown) => thrown,
  );
  if (!(problem instanceof Refusal)) throw new Error("the proof did not fail as one");
  expect(wasProved(box.home)).toBe(false);
  return [problem.name, problem.message];
}

test("a proof that succeeds marks the home", async () => {
  expect(wasProved(box.home)).toBe(false);
  expect(await proveReadiness(box.home, issuer)).toBeGreaterThan(0);
  const marked = await readFile(join(box.home, "proved.json"), "utf8");
  await proveReadiness(box.home, issuer);
  expect(await readFile(join(box.home, "proved.json"), "utf8")).toBe(marked);
  expect(existsSync(join(box.home, "proved.json"))).toBe(true);
});

describe("what an operator wants", () => {
  test.for([policy, ct, signIn, log])("%s", async ([path, family, code, { reason }]) => {
    const { body } = family.word(family.statuses[code], code);
    const told = { status: family.statuses[code], body: String(body) };
    box.behaviour.before.set(path, [told]);
    const [name, message] = await failure();
    expect([name, message]).toEqual(["Unproven", expect.stringContaining("refused")]);
    box.behaviour.before.set(path, [told]);
    const out = ["--demo-email", "a@example.com", "--bundle", "never.json", "--json"];
    const signed = await box.chancery("sign", "a.txt", ...out);
    expect(signed.code).toBe(1);
    expect(JSON.parse(signed.stdout)).toMatchObject({ reason });
  });

  test("SCTs beside certificates", async () => {
    const body = JSON.stringify({ signedCertificateDetachedSct: {} });
    box.behaviour.before.set("/api/v2/signingCert", [{ status: 200, body }]);
    expect((await failure())[0]).toBe("Unproven");
  });
});

describe("what stays a refusal", () => {
  test.for(["certificate", "entry"])("an answer that does not verify: %s", async (what) => {
    box.behaviour.spoil = (
      what === "certificate"
        ? { withoutScts: true }
        : { entry: (entry: { index: bigint }) => ({ ...entry, index: 9n }) }
    ) as typeof box.behaviour.spoil;
    const [name, message] = await failure();
    expect([name, message]).toEqual(["Refusal", expect.stringContaining("do not verify")]);
  });

  test.for([
    ["/oidc/token", 403],
    ["/oidc/token", 500],
    ["/api/v2/signingCert", 403],
    ["/api/v2/signingCert", 500],
    ["/api/v1/log/entries", 405],
    ["/api/v1/log/entries", 500],
  ] as const)("%s answers %i in other words", async ([path, status]) => {
    box.behaviour.before.set(path, [status]);
    expect((await failure())[0]).toBe("Refusal");
  });

  test("another admin secret than the service's, which is said", async () => {
    const code = "access-denied";
    const status = oauthFamily.statuses[code];
    const { body } = oauthFamily.word(status, code);
    box.behaviour.before.set("/oidc/token", [{ status, body: String(body) }]);
    const [name, message] = await failure();
    expect(name).toBe("Refusal");
    expect(message).toContain(`the admin secret in ${join(box.home, "secrets/admin")} is not`);
    expect(message.split("\n")).toHaveLength(1);
  });

  test("an answer that is broken", async () => {
    box.behaviour.before.set("/api/v2/signingCert", [{ status: 200, body: "{}" }]);
    expect((await failure())[0]).toBe("Refusal");
  });

  test("a command that was ended, or that verifies", () => {
    const stdout = JSON.stringify({ reason: "policy-refused" });
    const late = failureOf("sign", { stdout, stderr: "", killed: true });
    expect([late.name, late.message]).toEqual([
      "Refusal",
      'the readiness proof failed at "chancery sign": it did not end within 60 s',
    ]);
    expect(failureOf("verify", { stdout, stderr: "x" }).name).toBe("Refusal");
    expect(failureOf("sign", { stdout, stderr: "x" })).toBeInstanceOf(Unproven);
  });
});
