/** `chancery verify`, as its users meet it. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { spoilSignature } from "../support/box-services.ts";
import { alice, type Cli, issuer, startCli } from "../support/cli.ts";

let box: Cli;
beforeAll(async () => {
  box = await startCli();
});
afterAll(async () => await box[Symbol.asyncDispose]());

/** What is wrong, the command line, the exit code, and a part of what is said. */
const refused: readonly [string, string[], number, RegExp][] = [
  ["no file", ["--bundle", "a.json", ...alice], 2, /FILE is missing/],
  ["two files", ["a.txt", "b.txt", "--bundle", "a.json", ...alice], 2, /one argument too many/],
  ["no bundle", ["a.txt", ...alice], 2, /--bundle is missing/],
  ["no identity", ["a.txt", "--bundle", "a.json"], 2, /--certificate-identity/],
  [
    "half an identity",
    ["a.txt", "--bundle", "a.json", ...alice.slice(0, 2)],
    2,
    /--certificate-oidc-issuer/,
  ],
  [
    "identity and pattern",
    ["a.txt", "--bundle", "a.json", ...alice, "--certificate-identity-regexp", ".*"],
    2,
    /either/,
  ],
  [
    "a pattern that is none",
    ["a.txt", "--bundle", "a.json", "--certificate-identity-regexp", "(", ...alice.slice(2)],
    2,
    /regular expression/,
  ],
  [
    "an unknown flag",
    ["a.txt", "--bundle", "a.json", ...alice, "--insecure-ignore-tlog"],
    2,
    /unknown flag/,
  ],
  ["a short flag", ["a.txt", "-b", "a.json", ...alice], 2, /unknown flag/],
  ["a flag twice", ["a.txt", "--bundle", "a.json", "--bundle", "a.json", ...alice], 2, /twice/],
  ["an empty flag", ["a.txt", "--bundle=", ...alice], 2, /needs a value/],
  ["a flag at the end", ["a.txt", ...alice, "--bundle"], 2, /needs a value/],
  ["a flag for a value", ["a.txt", "--bundle", "--type", ...alice], 2, /needs a value/],
  [
    "a switch with a value",
    ["a.txt", "--bundle", "a.json", "--json=yes", ...alice],
    2,
    /takes no value/,
  ],
  ["standard input", ["-", "--bundle", "a.json", ...alice], 2, /unknown flag/],
  ["a flag behind --", ["--bundle", "a.json", ...alice, "--", "--type"], 2, /looks like a flag/],
  ["an empty artifact", ["empty", "--bundle", "a.json", ...alice], 2, /empty/],
  ["an artifact that is not there", ["none", "--bundle", "a.json", ...alice], 3, /no such file/],
  ["a directory", [".", "--bundle", "a.json", ...alice], 3, /not a file/],
  ["a bundle that is not there", ["a.txt", "--bundle", "none", ...alice], 3, /no such file/],
  ["a bundle that is a directory", ["a.txt", "--bundle", ".", ...alice], 3, /not a file/],
  ["a bundle that is none", ["a.txt", "--bundle", "b.txt", ...alice], 1, /json/],
  [
    "a trusted root that is none",
    ["a.txt", "--bundle", "a.json", ...alice, "--trusted-root", "a.json"],
    3,
    /not a trusted root/,
  ],
  ["another artifact", ["b.txt", "--bundle", "a.json", ...alice], 1, /artifact/],
  ["the bundle as artifact", ["a.json", "--bundle", "a.json", ...alice], 1, /artifact/],
  [
    "an attestation demanded",
    ["a.txt", "--bundle", "a.json", ...alice, "--type", "x"],
    1,
    /not an attestation/,
  ],
  [
    "another identity",
    ["a.txt", "--bundle", "a.json", "--certificate-identity", "bob@example.com", ...alice.slice(2)],
    1,
    /alice/,
  ],
  [
    "another issuer",
    ["a.txt", "--bundle", "a.json", ...alice.slice(0, 3), "http://localhost"],
    1,
    /issuer demanded/,
  ],
  [
    "a pattern for a part",
    ["a.txt", "--bundle", "a.json", "--certificate-identity-regexp", "alice", ...alice.slice(2)],
    1,
    /alice/,
  ],
];

describe("chancery verify", () => {
  test("says so", async () => {
    expect(await box.chancery("verify", "a.txt", "--bundle", "a.json", ...alice)).toEqual({
      code: 0,
      stdout: "Verified OK\n",
      stderr: "",
    });
  });

  test("tells what it proved as JSON", async () => {
    const { code, stdout } = await box.chancery(
      "verify",
      "a.txt",
      "--bundle",
      "a.json",
      ...alice,
      "--json",
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      verified: true,
      certificateIdentity: "alice@example.com",
      certificateOidcIssuer: issuer,
      logIndices: ["7"],
    });
  });

  test.for(refused)("refuses %s", async ([, args, code, said]) => {
    const finished = await box.chancery("verify", ...args);
    expect(finished.stderr).toMatch(said);
    expect([finished.code, finished.stdout]).toEqual([code, ""]);
  });

  test("refuses a changed signature, also as JSON", async () => {
    await writeFile(
      join(box.folder, "spoilt.json"),
      spoilSignature(await readFile(join(box.folder, "a.json"), "utf8")),
    );
    const finished = await box.chancery(
      "verify",
      "a.txt",
      "--bundle",
      "spoilt.json",
      ...alice,
      "--json",
    );
    expect(finished.code).toBe(1);
    expect(JSON.parse(finished.stdout)).toMatchObject({ exitCode: 1 });
  });

  test("never takes trust from the service", async () => {
    await box.chancery("verify", "a.txt", "--bundle", "a.json", ...alice);
    expect(box.behaviour.seen).toEqual([]);
  });

  test("says what to do without a home", async () => {
    const home = { CHANCERY_HOME: join(box.folder, "none") };
    const finished = await box.start(["verify", "a.txt", "--bundle", "a.json", ...alice], home);
    expect(finished.code).toBe(3);
    expect(finished.stderr).toMatch(/npm start/);
  });
});
