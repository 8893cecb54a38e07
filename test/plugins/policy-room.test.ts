import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { QuestionOf } from "../../events/contract.ts";
import { decide } from "../../events/policy.ts";
import policyPlugin from "../../plugins/policy/plugin.ts";
import { bootForTest } from "../support/boot.ts";
import { bootIdentity, claims, issuer, issuerUrl, now, nowMs } from "../support/identity.ts";
import { issuerKey, signToken } from "../support/issuer.ts";
import { request } from "./policy-request.ts";

// Its claims are known.
const question = request as QuestionOf<typeof decide>;

describe("the room", () => {
  test("allows everybody where nobody wrote a policy, and says so", async () => {
    await using room = await bootForTest({ entries: [policyPlugin] });
    const answer = await room.ask(decide, question);
    expect(answer).toMatchObject({ allowed: true, rule: "default", policyVersion: "unnamed" });
    expect(answer.policySha256).toHaveLength(32);
  });

  test("limits an identity, starts slowly, and lets others be", async () => {
    const limits = { perIdentity: { requestsPerSecond: 0.01, burst: 20 }, slowStartSeconds: 3_600 };
    await using room = await bootForTest({
      entries: [policyPlugin],
      config: { policy: { limits } },
    });
    const answers = [];
    for (let time = 0; time < 4; time++) answers.push(await room.ask(decide, question));
    // A tenth of twenty.
    expect(answers.map(({ allowed }) => allowed)).toEqual([true, true, false, false]);
    expect(answers[2]).toMatchObject({ rule: "limit:identity" });
    expect(answers[2]?.retryAfterSeconds).toBeGreaterThan(900);
    const principal = { ...question.principal, subject: "another" };
    expect(await room.ask(decide, { ...question, principal })).toMatchObject({ allowed: true });
  });

  test("limits an issuer", async () => {
    const limits = { perIssuer: { requestsPerSecond: 0.01, burst: 1 }, slowStartSeconds: 0 };
    await using room = await bootForTest({
      entries: [policyPlugin],
      config: { policy: { limits } },
    });
    expect(await room.ask(decide, question)).toMatchObject({ allowed: true });
    const principal = { ...question.principal, subject: "another" };
    expect(await room.ask(decide, { ...question, principal })).toMatchObject({
      allowed: false,
      rule: "limit:issuer",
    });
  });
});

describe("the policy's file", () => {
  test("is read again when it changes, and the one before stays in force when it breaks", async () => {
    const home = await mkdtemp(join(tmpdir(), "chancery-policy-"));
    const write = async (text: string) => await writeFile(join(home, "policy.yaml"), text);
    await write("default: deny\nversion: one\n");
    const config = { policy: { file: "policy.yaml" } };
    await using room = await bootForTest({ entries: [policyPlugin], config, home });
    const version = async () => (await room.ask(decide, question)).policyVersion;
    expect(await version()).toBe("one");
    await write("default: allow\nversion: two\n");
    await expect.poll(version).toBe("two");
    await write("default: perhaps\n");
    await expect.poll(() => room.health()["policy"]?.status).toBe("degraded");
    expect(await version()).toBe("two");
    await rm(join(home, "policy.yaml"));
    await write("default: allow\nversion: three\n");
    await expect.poll(() => room.health()["policy"]?.status).toBe("ok");
    expect(await version()).toBe("three");
    await rm(home, { recursive: true });
  });

  test.each([
    ["a file that is not there", { file: "nowhere.yaml" }],
    ["a file and rules", { file: "policy.yaml", default: "deny" }],
    ["rules without a default", { rules: [{ id: "a", effect: "deny", reason: "r" }] }],
  ])("does not start with %s", async (_, policy) => {
    await expect(bootForTest({ entries: [policyPlugin], config: { policy } })).rejects.toThrow();
  });
});

describe("identity", () => {
  test("refuses whom the policy refuses, and says by which rule of which policy", async () => {
    const key = await issuerKey();
    const deny = { id: "not-me", effect: "deny", reason: "not this one", when: { san: "user@*" } };
    const policy = { default: "allow", version: "7", rules: [deny] };
    const accepted = issuer({ keys: [key.jwk] });
    await using house = await bootIdentity(accepted, {}, { rules: policy });
    const token = await signToken(key, claims({ acr: "2", amr: ["pwd"], auth_time: now - 5 }));
    await expect(house.present(token)).rejects.toMatchObject({
      code: "policy-refused",
      message: "not-me: not this one",
      details: {
        principal: { oidcIssuer: issuerUrl, subject: "subject-1" },
        provenance: {
          provider: "email",
          assurance: { acr: "2", amr: ["pwd"], authTimeS: now - 5 },
          decision: { rule: "not-me", policyVersion: "7" },
        },
      },
    });
    const other = await signToken(key, claims({ email: "boss@example.com" }));
    const { provenance } = await house.present(other);
    expect(provenance).toMatchObject({ decision: { rule: "default" }, facets: [] });
    expect(nowMs).toBe(house.clock.at);
  });
});
