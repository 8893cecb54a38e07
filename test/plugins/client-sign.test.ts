/** `chancery sign`, as its users meet it. */
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { boxToken } from "../support/box-services.ts";
import { alice, type Cli, startCli } from "../support/cli.ts";

let box: Cli;
beforeAll(async () => {
  box = await startCli();
});
afterAll(async () => await box[Symbol.asyncDispose]());
beforeEach(() => {
  box.behaviour.spoil = {};
  box.behaviour.before.clear();
  box.behaviour.seen.length = 0;
});

/** Names of outputs, each used once. */
const names = { count: 0 };
const fresh = () => `out-${names.count++}.json`;

describe("chancery sign", () => {
  test("takes a token from a flag, a file with white space, and standard input", async () => {
    const token = boxToken({ sub: "https://ci.example.com/job" });
    await writeFile(join(box.folder, "token"), `\u{feff}${token}\r\n`);
    for (const [given, input] of [
      [token, ""],
      ["token", ""],
      ["-", `${token}\n`],
    ] as const) {
      const out = fresh();
      const signed = await box.start(
        ["sign", "a.txt", "--identity-token", given, "--bundle", out],
        {},
        input,
      );
      expect([signed.code, signed.stderr]).toEqual([0, ""]);
      expect(signed.stdout).not.toContain(token);
      const verified = await box.chancery(
        "verify",
        "a.txt",
        "--bundle",
        out,
        "--certificate-identity",
        "https://ci.example.com/job",
        ...alice.slice(2),
      );
      expect(verified.stdout).toBe("Verified OK\n");
    }
  });
});

describe("chancery sign also", () => {
  test("signs a statement", async () => {
    const out = fresh();
    const type = ["--type", "https://example.com/built"];
    const signed = await box.chancery(
      "sign",
      "a.txt",
      "--demo-email",
      "alice@example.com",
      "--attest",
      "predicate.json",
      ...type,
      "--bundle",
      out,
    );
    expect([signed.code, signed.stderr]).toEqual([0, ""]);
    expect((await box.chancery("verify", "a.txt", "--bundle", out, ...alice, ...type)).stdout).toBe(
      "Verified OK\n",
    );
    expect((await box.chancery("verify", "b.txt", "--bundle", out, ...alice, ...type)).code).toBe(
      1,
    );
    expect(
      (
        await box.chancery(
          "verify",
          "a.txt",
          "--bundle",
          out,
          ...alice,
          "--type",
          "https://example.com/x",
        )
      ).code,
    ).toBe(1);
  });

  test("signs and verifies what does not fit memory's share", async () => {
    await writeFile(join(box.folder, "large"), Buffer.alloc(64 * 1024 * 1024 + 1, "large"));
    const out = fresh();
    const signed = await box.chancery(
      "sign",
      "large",
      "--demo-email",
      "alice@example.com",
      "--bundle",
      out,
    );
    expect([signed.code, signed.stderr]).toEqual([0, ""]);
    expect((await box.chancery("verify", "large", "--bundle", out, ...alice)).stdout).toBe(
      "Verified OK\n",
    );
  });
});

describe("chancery sign and a log that is", () => {
  test.for<[string, number[], number]>([
    ["busy once", [503], 0],
    ["busy and overloaded", [429, 503], 0],
    ["entry known", [409], 0],
    ["busy for ever", [503, 503, 503, 503, 503], 3],
    ["broken", [500], 1],
    ["refusing", [400], 1],
  ])("%s", async ([, statuses, code]) => {
    box.behaviour.before.set("/api/v1/log/entries", [...statuses]);
    const out = fresh();
    const finished = await box.chancery(
      "sign",
      "a.txt",
      "--demo-email",
      "alice@example.com",
      "--bundle",
      out,
    );
    expect([finished.code, finished.stderr === ""]).toEqual([code, code === 0]);
    expect((await readdir(box.folder)).includes(out)).toBe(code === 0);
  });
});

describe("chancery sign writes", () => {
  test("nothing that does not verify", async () => {
    const spoils = [
      { withoutScts: true },
      { entry: (entry: { index: bigint }) => ({ ...entry, index: 9n }) },
    ] as (typeof box.behaviour.spoil)[];
    for (const spoil of spoils) {
      box.behaviour.spoil = spoil;
      const finished = await box.chancery(
        "sign",
        "a.txt",
        "--demo-email",
        "alice@example.com",
        "--bundle",
        "never.json",
      );
      expect(finished.code).toBe(1);
      expect(finished.stderr).toMatch(/nothing was written/);
    }
    const left = (await readdir(box.folder)).filter(
      (name) => name.includes("never") || name.endsWith(".tmp"),
    );
    expect(left).toEqual([]);
  });

  test("only where it can, and asks for nothing before it knows", async () => {
    await mkdir(join(box.folder, "folder"), { recursive: true });
    await symlink("elsewhere", join(box.folder, "dangling"));
    const outputs: [string, number][] = [
      ["a.json", 3],
      ["folder", 3],
      ["none/out.json", 3],
      ["a.json/out.json", 3],
      ["dangling", 3],
      ["/dev/full", 3],
      ["a.txt", 2],
      ["./folder/../a.txt", 2],
    ];
    for (const [out, code] of outputs) {
      const finished = await box.chancery(
        "sign",
        "a.txt",
        "--demo-email",
        "alice@example.com",
        "--bundle",
        out,
      );
      expect([out, finished.code]).toEqual([out, code]);
    }
    expect(box.behaviour.seen).toEqual([]);
    expect(await readFile(join(box.folder, "a.txt"), "utf8")).toBe("what is signed\n");
  });
});

describe("chancery sign, asked wrongly,", () => {
  test("refuses standard input without end", async () => {
    const args = ["sign", "a.txt", "--identity-token", "-", "--bundle", "refused.json"];
    const finished = await box.start(args, {}, "x".repeat(1024 * 1024 + 1));
    expect([finished.code, finished.stdout]).toEqual([2, ""]);
    expect(finished.stderr).toMatch(/longer than/);
  });

  test.for<[string, string[], number]>([
    ["no identity", ["a.txt"], 2],
    ["two identities", ["a.txt", "--demo-email", "a@b.c", "--identity-token", "x"], 2],
    ["a token that is none", ["a.txt", "--identity-token", "a.txt"], 2],
    ["a token file that is not there", ["a.txt", "--identity-token", "none"], 3],
    ["an empty artifact", ["empty", "--demo-email", "a@b.c"], 2],
    ["a type without predicate", ["a.txt", "--demo-email", "a@b.c", "--type", "x"], 2],
    [
      "a predicate that is not JSON",
      ["a.txt", "--demo-email", "a@b.c", "--type", "x", "--attest", "b.txt"],
      2,
    ],
  ])("refuses %s", async ([, args, code]) => {
    const finished = await box.chancery("sign", ...args, "--bundle", "refused.json");
    expect([finished.code, finished.stdout]).toEqual([code, ""]);
    expect(await readdir(box.folder)).not.toContain("refused.json");
  });
});
