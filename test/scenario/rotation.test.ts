/**
 * The issuing CA of a live instance is rotated under a stream of signings with every process killed on the way, and a stranger's client
 * signs before, during and after, and goes on verifying whatever was signed.
 */
import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectReady } from "../support/kill-stream.ts";
import { expectKept } from "../support/oracle.ts";
import type { Acknowledged } from "../support/signer.ts";
import { Stranger } from "../support/stranger.ts";

const cli = new URL("../../chancery", import.meta.url).pathname;
let stranger: Stranger;

beforeAll(async () => {
  stranger = await Stranger.arrive();
});
afterAll(async () => await stranger?.[Symbol.asyncDispose]());

test("the issuing CA is rotated under load, whoever is killed on the way", async () => {
  expect(await stranger.signAndVerify("before the rotation")).toContain("issuing CA");
  const stream = stranger.stream();
  // A line of the operation's progress, and who is killed when it appears.
  const kills: readonly (readonly [string, string])[] = [
    ["generate issuing-ca-2", "vault"],
    ["certify issuing-ca-2", "operate"],
    ["give issuing-ca-2", "vault"],
    ["publish trust", "services"],
    ["publish trust", "operate"],
    ["end the term", "services"],
  ];
  for (const [line, victim] of kills) {
    await rotate(line, async (operate) => {
      process.kill(victim === "operate" ? operate : await stranger.instance.pid(victim), "SIGKILL");
    });
    await expectReady(stranger.instance.origin, 30_000);
  }
  const during: Promise<string>[] = [];
  const code = await rotate("put issuing-ca-2", async () => {
    during.push(stranger.signAndVerify("during the rotation"));
    await Promise.resolve();
  });
  expect(code).toBe(0);
  await Promise.all(during);
  expect(await stranger.signAndVerify("after the rotation")).toContain("issuing-ca-2");
  await sleep(500);
  const acknowledged = await stream.end();
  const issuers = new Set(acknowledged.map(issuerOf));
  expect(issuers).toEqual(
    new Set([
      "O=chancery-demo\nCN=chancery-demo issuing CA",
      "O=chancery-demo\nCN=chancery-demo issuing-ca-2",
    ]),
  );
  await expectKept(stranger.instance.origin, acknowledged);
  await stranger.verifyAll();
  await stranger.expectClean();
});

test("what the CLI signs after the rotation is by the new CA, also after a restart", async () => {
  await stranger.restart();
  expect(await stranger.signAndVerify("after a restart")).toContain("issuing-ca-2");
  await stranger.verifyAll();
});

test("a home from before there were operators says so, and gets one at its next start", async () => {
  const nkey = join(stranger.instance.home, "secrets", "nkeys", "operator.nk");
  await rm(nkey);
  const refused = await stranger.operate("rotate-issuing-ca", "issuing-ca-3");
  expect(refused).toMatchObject({ code: 3 });
  expect(refused.stderr).toContain("start it once with this release");
  await stranger.instance.stop();
  const stopped = await stranger.operate("rotate-issuing-ca", "issuing-ca-3");
  expect(stopped).toMatchObject({ code: 3 });
  await stranger.restart();
  const done = await stranger.operate("rotate-issuing-ca", "issuing-ca-3", "--json");
  expect(done).toMatchObject({ code: 0 });
  expect(JSON.parse(done.stdout)).toMatchObject({ wasDone: false });
  expect(await stranger.signAndVerify("after a second rotation")).toContain("issuing-ca-3");
  await stranger.verifyAll();
});

test.for([
  ["rotate-issuing-ca to a key that is there", ["rotate-issuing-ca", "issuing-ca"], 1],
  ["create-log of one that is there", ["create-log", "ct", "--format", "rfc6962"], 1],
  [
    "create-log on a key that is there",
    ["create-log", "x", "--format", "rfc6962", "--key", "ct-log"],
    1,
  ],
  ["create-log of a format that is none", ["create-log", "x", "--format", "rekor-v3"], 2],
  ["freeze-log of none", ["freeze-log", "nothing"], 2],
  [
    "the offline token's name wrong",
    ["freeze-log", "rekor", "--without-successor", "--offline-token", "x"],
    1,
  ],
  ["something else", ["destroy-everything"], 2],
] as const)("%s is refused and changes nothing", async ([, args, code]) => {
  const before = await state();
  const refused = await stranger.operate(...args);
  expect(refused.code).toBe(code);
  expect(refused.stderr).toMatch(/^chancery operate: .+/m);
  expect(await state()).toEqual(before);
  expect(await stranger.signAndVerify(args.join(" "))).toContain("issuing-ca-3");
});

/** Runs the rotation, and does `then` when it says `line`. Answers its exit code; null if it was killed. */
async function rotate(line: string, then: (pid: number) => Promise<void>): Promise<number | null> {
  const args = ["operate", "rotate-issuing-ca", "issuing-ca-2", "--hold-seconds", "5"];
  const child = spawn(cli, args, {
    env: { ...process.env, CHANCERY_HOME: stranger.instance.home },
    stdio: ["ignore", "ignore", "pipe"],
    // The launcher is a program of its own: both are killed, as a closed terminal would.
    detached: true,
  });
  const exited = once(child, "exit") as Promise<[number | null]>;
  let said = "";
  const reached: Promise<void>[] = [];
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
    if (said.includes(line) && reached.length === 0) reached.push(then(-(child.pid ?? 0)));
  });
  const [code] = await exited;
  await Promise.all(reached);
  expect(said).toContain(line);
  return code;
}

/** What operations change. */
async function state(): Promise<readonly string[]> {
  const files = ["config.yaml", "vault/keyring.json", "trust/trusted_root.json"];
  return [
    ...(await Promise.all(
      files.map((file) => readFile(join(stranger.instance.home, file), "utf8")),
    )),
    ...(await readdir(join(stranger.instance.home, "data"))).filter((name) => name.endsWith(".db")),
  ];
}

function issuerOf({ certificates }: Acknowledged): string {
  return new X509Certificate(certificates[0] ?? "").issuer;
}
