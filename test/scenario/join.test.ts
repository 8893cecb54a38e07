/** What a second service process says when it cannot join. No instance is started: it is all said before anything runs. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runStart } from "../support/instance.ts";
import { freePort } from "../support/ports.ts";

let folder: string;
let source: string;
let home: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "chancery-join-"));
  source = join(folder, "first");
  home = join(folder, "second");
  await mkdir(source);
  await writeFile(join(source, "instance.json"), JSON.stringify(instance));
  await writeFile(join(source, "config.yaml"), JSON.stringify({ storage }));
});
afterEach(async () => await rm(folder, { recursive: true, force: true }));

const instance = {
  version: 1,
  id: "00000000-0000-4000-8000-000000000000",
  origin: "http://localhost:8420",
  port: 8420,
  tlsPort: 8443,
  natsPort: 20_000,
  createdAt: "2026-11-21T00:00:00Z",
  treeId: "1",
};

const storage = {
  driver: "postgresql",
  servers: [{ host: "127.0.0.1", port: 1 }],
  database: "none",
  user: "nobody",
};

/** What it said; it must have ended with 3. */
async function refused(from = home, args: readonly string[] = ["--join", source]): Promise<string> {
  const place = { home: from, port: await freePort(), tlsPort: await freePort() };
  const { code, stderr } = await runStart(place, args);
  expect(code).toBe(3);
  return stderr;
}

test("what is no instance is not joined, and a folder that is something else is not touched", async () => {
  expect(await refused(home, ["--join", folder])).toContain("is this a Chancery home?");
  expect(await readdir(folder)).toEqual(["first"]);
  await mkdir(home);
  await writeFile(join(home, "thesis"), "");
  expect(await refused()).toContain("holds something else");
  expect(await readdir(home)).toEqual(["thesis"]);
});
