/**
 * Who may have a certificate, and who had one: two identities sign, one is refused by policy, garbage is thrown at the door, a process
 * is killed in between, and the trail tells it all and agrees with everything else. Then a second signal ends a drain at once.
 */
import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chancery, type Instance, startInstance } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";
import { patience } from "../fault/patience.ts";
import { expectReady, signThroughKill } from "../support/kill-stream.ts";
import { expectKept } from "../support/oracle.ts";
import { type Acknowledged, demoToken, signOnce } from "../support/signer.ts";

let place: Awaited<ReturnType<typeof preparedPlace>>;
let instance: Instance;
const artifact = () => join(place.home, "..", "artifact.txt");

beforeAll(async () => {
  place = await preparedPlace();
  instance = await startInstance(place);
  await writeFile(artifact(), randomBytes(64));
  await writeFile(
    join(place.home, "policy.yaml"),
    `version: "2"
default: allow
rules:
  - {id: no-mallory, effect: deny, reason: mallory has left, when: {san: "mallory@**"}}
`,
  );
});

afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await place?.remove();
});

const sign = async (email: string) =>
  await chancery(
    place.home,
    "sign",
    artifact(),
    "--demo-email",
    email,
    "--bundle",
    `${artifact()}.${email}.json`,
  );

/** A question to the trail, once it has followed everything. */
async function asked(...args: readonly string[]) {
  for (let tries = 0; tries < 300; tries++) {
    const answer = await chancery(place.home, ...args, "--json");
    if (answer.stderr === "") return { code: answer.code, ...parse(answer.stdout) };
    await sleep(100);
  }
  throw new Error("the trail does not catch up");
}

function parse(text: string) {
  return JSON.parse(text) as {
    found: { issued: { san: string; serial: string }; gaps: string[] }[];
    certificates: object[];
    refusals: object[];
  };
}

test("what two sign is theirs, and the third is refused by the rule that says so", async () => {
  expect(await sign("alice@example.com")).toMatchObject({ code: 0 });
  expect(await sign("bob@example.com")).toMatchObject({ code: 0 });
  const since = Date.now();
  let refused = await sign("mallory@example.com");
  while (refused.code === 0) {
    if (Date.now() - since > 60_000) throw new Error("the policy is not read again");
    await rm(`${artifact()}.mallory@example.com.json`);
    refused = await sign("mallory@example.com");
  }
  expect(refused.stderr).toContain("The policy does not allow");
  const who = await asked("who", artifact());
  const names = who.found.map(({ issued }) => issued.san);
  expect(names).toEqual(expect.arrayContaining(["alice@example.com", "bob@example.com"]));
  expect(who.code).toBe(0);
  const serial = who.found[0]?.issued.serial ?? "";
  expect(await asked("who", serial)).toMatchObject({ code: 0, found: [{ gaps: [] }] });
  const refusals = async () =>
    (await asked("what", "mallory@example.com", "--since", "1h")).refusals;
  await expect
    .poll(refusals)
    .toContainEqual(
      expect.objectContaining({ code: "policy-refused", reason: "no-mallory: mallory has left" }),
    );
  expect(await asked("what", "nobody@example.com", "--since", "1h")).toMatchObject({ code: 1 });
});

test("garbage costs a row a second, whoever sends it and however much", async () => {
  const before = (await asked("audit", "head")) as unknown as { handled: { [of: string]: number } };
  const startedAt = Date.now();
  const post = async () => {
    const answer = await fetch(`${instance.origin}/api/v2/signingCert`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer a.b.c" },
      body: "{}",
    });
    await answer.arrayBuffer();
    return answer.status;
  };
  const lanes = Array.from({ length: 8 }, async () => {
    for (let time = 0; time < 50; time++) expect(await post()).toBe(400);
  });
  await Promise.all(lanes);
  const told = async (): Promise<number> => {
    const now = (await asked("audit", "head")) as unknown as { handled: { [of: string]: number } };
    return (now.handled["issuer/main"] ?? 0) - (before.handled["issuer/main"] ?? 0);
  };
  await expect.poll(told).toBeGreaterThanOrEqual(1);
  // All of it, with what was counted in the last second.
  await sleep(2_100);
  const facts = await told();
  expect(facts).toBeLessThanOrEqual((Date.now() - startedAt) / 1_000 + 2);
});

test("who does not get in at the sign-in is on record, and the secret that was tried is not", async () => {
  const answer = await fetch(`${instance.origin}/oidc/token`, {
    method: "POST",
    headers: { authorization: "Bearer a-guess-at-the-admin-secret" },
    body: new URLSearchParams({
      grant_type: "urn:chancery:params:oauth:grant-type:demo",
      email: "alice@example.com",
    }),
  });
  expect(answer.status).toBe(401);
  expect(await answer.json()).toMatchObject({ error: "invalid_client" });
  const listed = async () =>
    (await chancery(place.home, "audit", "refusals", "--since", "1h")).stdout;
  const before = ["--since", "2h", "--until", "1h"];
  expect((await chancery(place.home, "audit", "refusals", ...before)).stdout).toContain(
    "No stranger was refused in that time.",
  );
  await expect
    .poll(listed)
    .toContain(
      "1 x sign-in  access-denied: the admin secret is not this home's, from 127.0.0.0/24",
    );
  expect(await listed()).not.toContain("a-guess");
});

test("a policy can be held against what was decided before", async () => {
  const stricter = join(place.home, "..", "stricter.yaml");
  await writeFile(
    stricter,
    "default: allow\nrules: [{id: no-bob, effect: deny, reason: r, when: {san: 'bob@*'}}]\n",
  );
  const old = join(place.home, "policy.yaml");
  const diff = await chancery(place.home, "policy", "diff", old, stricter, "--against-records");
  expect(diff.stdout).toContain("added   no-bob");
  expect(diff.stdout).toMatch(
    /bob@example.com of http:.*: now refused by no-bob, before by default/,
  );
  expect(diff.code).toBe(1);
});

test("the trail is whole after a kill", async () => {
  const plan = { email: "carol@example.com", length: 24, killAfter: 8 };
  const { acknowledged } = await signThroughKill(instance, "services", plan);
  await expectReady(instance.origin, 10_000);
  const what = await asked("what", "carol@example.com", "--since", "1h");
  expect(what.certificates.length).toBeGreaterThanOrEqual(acknowledged.length);
  expect(await chancery(place.home, "fsck")).toMatchObject({ code: 0 });
});

test("a second signal ends a drain at once, and nothing that was answered is lost", async () => {
  const kept: Acknowledged[] = [];
  let isOver = false;
  const lanes = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      const one = await demoToken(instance, "dave@example.com")
        .then(async (token) => await signOnce(instance, token, "dave@example.com"))
        .catch(() => null);
      if (one !== null) kept.push(one);
      else await sleep(20);
    }
  });
  while (kept.length < 8) await sleep(20);
  const pids = [await instance.pid("services"), await instance.pid("vault")];
  const stopped = new Promise((resolve) => instance.supervisor.once("exit", resolve));
  for (const pid of [instance.supervisor.pid ?? 0, ...pids]) process.kill(pid, "SIGTERM");
  await sleep(30);
  const secondAt = performance.now();
  for (const pid of [instance.supervisor.pid ?? 0, ...pids]) {
    // Some may be gone by now.
    try {
      process.kill(pid, "SIGTERM");
    } catch {
      continue;
    }
  }
  await stopped;
  expect(performance.now() - secondAt).toBeLessThan(patience(2_000));
  isOver = true;
  await Promise.all(lanes);
  instance = await startInstance(place);
  await expectKept(instance.origin, kept);
  const fsck = await chancery(place.home, "fsck");
  expect(fsck).toMatchObject({ code: 0 });
});
