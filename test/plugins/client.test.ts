/** The other commands of the CLI, as its users meet them. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { adminSecret, boxToken } from "../support/box-services.ts";
import { type Cli, startCli } from "../support/cli.ts";

let box: Cli;
beforeAll(async () => {
  box = await startCli();
});
afterAll(async () => await box[Symbol.asyncDispose]());

describe("chancery", () => {
  test("prints a token and nothing else", async () => {
    const token = boxToken({ sub: "1", email: "bob@example.com" });
    expect(await box.chancery("token", "--email", "bob@example.com")).toEqual({
      code: 0,
      stdout: `${token}\n`,
      stderr: "",
    });
  });

  test("does not show the secret when the token is refused", async () => {
    box.behaviour.before.set("/oidc/token", [403]);
    const finished = await box.chancery("token", "--email", "bob@example.com");
    expect(finished.code).toBe(1);
    expect(finished.stdout + finished.stderr).not.toContain(adminSecret);
  });

  test.for<[string[], number]>([
    [[], 2],
    [["--help"], 0],
    [["verify", "--help"], 0],
    [["log"], 2],
    [["log", "show", "--index", "x"], 2],
    [["log", "show", "--index", "-1"], 2],
    [["status", "now"], 2],
    [["token"], 2],
    [["__proto__"], 2],
    [["stop", "--now"], 2],
    [["stop"], 0],
  ])("%j", async ([args, code]) => {
    expect((await box.chancery(...args)).code).toBe(code);
  });

  test("says what to do when the service does not answer", async () => {
    const home = join(box.folder, "dead");
    await mkdir(join(home, "secrets"), { recursive: true });
    await mkdir(join(home, "trust"));
    await writeFile(join(home, "secrets", "admin"), "x");
    const instance = {
      version: 1,
      id: "x",
      origin: "http://127.0.0.1:9",
      treeId: "1",
      createdAt: "",
    };
    await writeFile(join(home, "instance.json"), JSON.stringify(instance));
    const finished = await box.start(["token", "--email", "a@b.c"], { CHANCERY_HOME: home });
    expect(finished.code).toBe(3);
    expect(finished.stderr).toMatch(/npm start/);
  });
});
