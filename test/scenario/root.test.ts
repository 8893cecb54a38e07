/**
 * The TUF root of a live instance passes from one key to any two of three on separate tokens: a stranger's client follows, whoever is
 * killed on the way, and nothing that was signed before is lost.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { performCeremony, rehearseCeremony, verifyTranscript } from "../../hsm/commands.ts";
import { chancery } from "../support/instance.ts";
import { expectReady } from "../support/kill-stream.ts";
import { Stranger } from "../support/stranger.ts";
import { softHsmModule } from "../support/vault.ts";

const cli = new URL("../../chancery", import.meta.url).pathname;
const tokens = ["root-1", "root-2", "root-3"];
let stranger: Stranger;

beforeAll(async () => {
  stranger = await Stranger.arrive();
});
afterAll(async () => await stranger?.[Symbol.asyncDispose]());

const homePath = (...path: string[]) => join(stranger.instance.home, ...path);

test("the root is handed to two of three tokens while the instance runs, and clients follow", async () => {
  await stranger.signAndVerify("before the handover");
  await ceremony("tuf-root-quorum");
  // Nothing is published by the ceremony itself.
  expect(await served(2)).toBe(404);
  const next = homePath("trust", "roots", "2.root.json");
  for (const victim of ["operate", "services"]) {
    await publishAndKill(next, victim);
    await expectReady(stranger.instance.origin, 30_000);
  }
  const published = await stranger.operate("publish-root", next, "--json");
  expect(published).toMatchObject({ code: 0 });
  expect(JSON.parse(published.stdout)).toMatchObject({ version: 2 });
  expect(await stranger.operate("publish-root", next)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("as before") as string,
  });
  await stranger.signAndVerify("after the handover");
  await stranger.verifyAll();
  expect(await stranger.rootVersion("one")).toBe(2);
  await stranger.restart();
  await stranger.verifyAll();
});

test("a root before it, or one that nobody signed, is refused and changes nothing", async () => {
  const first = await stranger.operate("publish-root", homePath("trust", "1.root.json"));
  expect(first).toMatchObject({ code: 1 });
  expect(first.stderr).toContain("no root takes another's place");
  const text = await readFile(homePath("trust", "roots", "2.root.json"), "utf8");
  const forged = homePath("trust", "forged.json");
  await writeFile(forged, text.replace('"version": 2', '"version": 3'));
  const refused = await stranger.operate("publish-root", forged);
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.stderr).toContain("0 of the 2 signatures");
  expect(await served(3)).toBe(404);
  expect(await stranger.operate("publish-root", homePath("nothing"))).toMatchObject({ code: 1 });
});

test("operations go on under the new root", async () => {
  const rotated = await stranger.operate("rotate-issuing-ca", "issuing-ca-2");
  expect(rotated).toMatchObject({ code: 0 });
  expect(await stranger.signAndVerify("after a rotation")).toContain("issuing-ca-2");
  await stranger.verifyAll();
  await stranger.expectClean();
  // An operation is reported as a ceremony is.
  const transcript = homePath("ceremony", "operation-rotate-issuing-ca-2.transcript.jsonl");
  const out = homePath("ceremony", "rotation.html");
  const reported = await chancery(
    stranger.instance.home,
    "ceremony",
    "report",
    transcript,
    "--out",
    out,
  );
  expect(reported).toMatchObject({ code: 0 });
  const page = await readFile(out, "utf8");
  expect(page).toContain("<h1>Operation rotate-issuing-ca-2</h1>");
  expect(page).toContain("operation on a running instance");
  expect(page).toContain("Parameter holdSeconds");
  expect(page).not.toMatch(/undefined|\[object/);
});

/** Rehearsed and performed beside the running instance. */
async function ceremony(name: string): Promise<void> {
  const home = stranger.instance.home;
  for (const token of tokens) {
    const folder = join(home, "tokens", token);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const lines = [`directories.tokendir = ${folder}`, "objectstore.backend = file", ""];
    await writeFile(join(home, `softhsm2-${token}.conf`), lines.join("\n"));
  }
  const genesis = await readFile(homePath("ceremony", "demo-genesis.transcript.jsonl"), "utf8");
  const keys = new Map(
    verifyTranscript(genesis)
      .lines.filter(({ what }) => what === "key")
      .map(({ detail }) => [String(detail["label"]), String(detail["publicKeySha256"])]),
  );
  const root = await readFile(homePath("trust", "tuf", "1.root.json"));
  const request = {
    script: new URL(`../../deploy/ceremonies/${name}.yaml`, import.meta.url).pathname,
    home,
    module: softHsmModule,
    parameters: {
      version: "2",
      rootFile: "trust/tuf/1.root.json",
      rootSha256: createHash("sha256").update(root).digest("hex"),
      transcriptKeySha256: keys.get("transcript") ?? "",
      tufRootKeySha256: keys.get("tuf-root") ?? "",
    },
    pins: Object.fromEntries(tokens.map((token) => [token, "0123456789abcdef0123456789abcdef"])),
  };
  await rehearseCeremony(request);
  await performCeremony(request);
}

async function served(version: number): Promise<number> {
  return (await fetch(`${stranger.instance.origin}/tuf/${version}.root.json`)).status;
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** Asks for it, and kills whom it says as soon as it says what changes. */
async function publishAndKill(file: string, victim: string): Promise<void> {
  const child = spawn(cli, ["operate", "publish-root", file], {
    env: { ...process.env, CHANCERY_HOME: stranger.instance.home },
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  const exited = once(child, "exit");
  // It says nothing if it was quicker than the kill before it, and everything is done.
  await Promise.race([once(child.stderr, "data"), exited]);
  const pid = victim === "operate" ? -(child.pid ?? 0) : await stranger.instance.pid(victim);
  end(pid);
  await exited;
}
