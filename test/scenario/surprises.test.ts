/** What happens to a home and its supervisor outside the plan: Ctrl-C, a terminal that goes away, a home that moves. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";
import { environmentOf, freshPlace, type Place, run, runStart } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";

const start = new URL("../../deploy/start.ts", import.meta.url).pathname;

test("Ctrl-C reaches the supervisor alone, which drains its children in their order", async () => {
  const place = await freshPlace();
  const terminal = open(place);
  await said(terminal, "Try:");
  const code = await interrupt(terminal.child, "SIGINT");
  expect({ code, stderr: terminal.stderr }).toEqual({ code: 0, stderr: "" });
  expect(terminal.stdout).not.toContain("restarting");
  expect(await readdir(join(place.home, "run"))).toEqual([]);
  await place.remove();
});

test("Ctrl-C in the middle of a genesis leaves nothing, and neither does a killed one after the next", async () => {
  const place = await freshPlace();
  const interrupted = open(place);
  await said(interrupted, "making a new instance");
  expect(await interrupt(interrupted.child, "SIGINT")).toBe(0);
  expect(await readdir(dirname(place.home))).toEqual([]);
  const killed = open(place);
  await said(killed, "making a new instance");
  await interrupt(killed.child, "SIGKILL");
  expect(await runStart(place)).toMatchObject({ code: 0 });
  expect(await readdir(dirname(place.home))).toEqual([basename(place.home)]);
  await place.remove();
});

test("goes on serving when nobody reads what it prints, and stops when its terminal is closed", async () => {
  const place = await freshPlace();
  const terminal = open(place);
  await said(terminal, "making a new instance");
  terminal.child.stdout?.destroy();
  terminal.child.stderr?.destroy();
  await expect
    .poll(async () => (await readdir(place.home).catch(() => [])).length)
    .toBeGreaterThan(0);
  await expect.poll(async () => await isReady(place), { interval: 100 }).toBe(true);
  expect(await interrupt(terminal.child, "SIGHUP")).toBe(0);
  await place.remove();
});

test("a home that moved uses its own tokens, never those where it came from, and none without token or PIN starts", async () => {
  const place = await preparedPlace();
  const moved = { ...place, home: join(dirname(place.home), "Ada's home") };
  await cp(place.home, moved.home, { recursive: true });
  await rm(join(moved.home, "tokens"), { recursive: true });
  expect(await runStart(moved)).toMatchObject({ code: 3 });
  await cp(join(place.home, "tokens"), join(moved.home, "tokens"), { recursive: true });
  await rm(join(moved.home, "secrets", "pin"));
  const withoutPin = await runStart(moved);
  expect(withoutPin).toMatchObject({ code: 3 });
  expect(withoutPin.stderr).toMatch(/^chancery: .*secrets\/pin.* is missing.*\n$/);
  await rm(moved.home, { recursive: true });
  await rename(place.home, moved.home);
  const { code, stdout } = await runStart(moved);
  expect(code).toBe(0);
  const call = String.raw`CHANCERY_HOME='${dirname(place.home)}/Ada'\''s home' ./chancery status`;
  expect(stdout).toContain(call);
  const configuration = await readFile(join(moved.home, "softhsm2-online.conf"), "utf8");
  expect(configuration).toContain(`${moved.home}/tokens/online\n`);
  await place.remove();
});

test("another start that made the home meanwhile is not overwritten", async () => {
  const place = await freshPlace();
  const terminal = open(place);
  await said(terminal, "making a new instance");
  await mkdir(place.home);
  await writeFile(join(place.home, "instance.json"), "{}");
  const code = await ended(terminal.child);
  expect({ code, stderr: terminal.stderr }).toMatchObject({
    code: 3,
    stderr: expect.stringContaining("made by another start"),
  });
  expect(await readdir(dirname(place.home))).toEqual([basename(place.home)]);
  await place.remove();
});

test("an origin of 127.0.0.1 works as one of localhost does", async () => {
  const place = await freshPlace();
  const publicUrl = `http://127.0.0.1:${place.port}`;
  expect(await runStart({ ...place, publicUrl })).toMatchObject({ code: 0 });
  await place.remove();
});

test("a full disk ends a start in one sentence, and nothing of it stays", async () => {
  const place = await freshPlace();
  const folder = dirname(place.home);
  const mount = await run("mount", ["-t", "tmpfs", "-o", "size=300k", "tmpfs", folder]);
  expect(mount).toMatchObject({ code: 0 });
  try {
    const refused = await runStart(place);
    expect(refused).toMatchObject({ code: 3 });
    expect(refused.stderr).toMatch(/^chancery: there is no room left on the disk of .*\n$/);
    expect(await readdir(folder)).toEqual([]);
  } finally {
    await run("umount", [folder]);
    await place.remove();
  }
});

interface Opened {
  readonly child: ChildProcess;
  stdout: string;
  stderr: string;
}

/** Starts as a shell does in a terminal: with a process group of its own. */
function open(place: Place): Opened {
  const child = spawn(process.execPath, [start], {
    env: environmentOf(place),
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const opened: Opened = { child, stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (opened.stdout += chunk.toString("utf8")));
  child.stderr.on("data", (chunk: Buffer) => (opened.stderr += chunk.toString("utf8")));
  return opened;
}

async function said(terminal: Opened, words: string): Promise<void> {
  await expect.poll(() => terminal.stdout, { interval: 20 }).toContain(words);
}

/** Sends what the terminal would send to everybody in it. */
async function interrupt(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  process.kill(-(child.pid ?? Number.NaN), signal);
  return await ended(child);
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

async function isReady({ port }: Place): Promise<boolean> {
  const answer = await fetch(`http://localhost:${port}/readyz`).catch(() => null);
  await answer?.arrayBuffer();
  return answer?.status === 200;
}
