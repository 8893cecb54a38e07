/** The house rules that a program can check. */
import { existsSync, globSync, readdirSync } from "node:fs";
import { posix } from "node:path";
import { describe, expect, test } from "vitest";
import { codeLines, codeOf, exportsOf, files, importsOf, productFiles, read } from "./source.ts";

const maxCodeLines = 300;

test("every export is documented", () => {
  const bare = productFiles.flatMap((file) =>
    exportsOf(file)
      .filter(({ documented }) => !documented)
      // The export of a manifest is its object: name and summary stand in it.
      .filter(() => !file.endsWith("/manifest.ts"))
      .map(({ name, line }) => `${file}:${line} ${name}`),
  );
  expect(bare).toEqual([]);
  expect(productFiles.flatMap(exportsOf).length).toBeGreaterThan(200);
});

test("every file opens with what it is for", () => {
  const silent = productFiles.filter((file) => {
    const text = read(file).replace(/^#!.*\n/, "");
    return (
      !text.startsWith("/**") && !file.endsWith("/manifest.ts") && !file.endsWith("/plugin.ts")
    );
  });
  expect(silent).toEqual([]);
});

test("no file is longer than a reader's patience", () => {
  expect(files.filter((file) => codeLines(file) > maxCodeLines)).toEqual([]);
});

test("default exports are plugins and providers only", () => {
  const others = productFiles.filter(
    (file) =>
      /^export default /m.test(read(file)) &&
      !/^(hsm|plugins\/[a-z]+)\/plugin\.ts$|^plugins\/identity\/providers\//.test(file),
  );
  expect(others).toEqual([]);
});

test("properties draw the same in every run, but those of campaigns, which are given a seed", () => {
  const drawing = files.filter(
    (file) =>
      !file.startsWith("test/fuzz/") &&
      importsOf(file).some((name) => /^(?:@fast-check\/vitest|fast-check)$/.test(name)),
  );
  expect(drawing).toEqual(["test/support/fixed-draws.ts"]);
});

describe("patterns that are not used", () => {
  test.for([
    ["a naked TODO", /\b(TODO|FIXME|XXX)\b(?!\(#\d+\))/, [], "all"],
    ["a silenced compiler", /@ts-(ignore|nocheck|expect-error)/, [], "all"],
    [
      "a forgiving decoder",
      /Buffer\.from\([^()]*["'](base64|base64url|hex|latin1|binary)["']\)/,
      [],
      "code",
    ],
    [
      "a forgiving JSON parser",
      /\bJSON\.parse\(/,
      [
        "core/formats/json.ts",
        // What this product's own programs wrote to each other on this machine a moment ago.
        /^deploy\//,
        "hsm/ceremony/child.ts",
        // Rows this very file wrote, with shapes it checks.
        "plugins/storage/sqlite-file.ts",
      ],
      "code",
    ],
    [
      "an environment variable",
      /\bprocess\.env\b/,
      // SoftHSM knows no other way to be told where its tokens are, and a ceremony has two.
      [/^deploy\//, /^plugins\/client\//, "hsm/ceremony/bench.ts"],
      "code",
    ],
    ["the console", /\bconsole\.\w+\(/, [], "code"],
  ] as const)("%s", ([, pattern, exceptions, look]) => {
    const users = productFiles.filter((file) => {
      const excepted = exceptions.some((it) =>
        typeof it === "string" ? it === file : it.test(file),
      );
      return !excepted && pattern.test(look === "code" ? codeOf(file) : read(file));
    });
    expect(users).toEqual([]);
  });
});

test("every folder of vectors says where it comes from", () => {
  const folders = readdirSync("test/vectors", { withFileTypes: true }).filter((it) =>
    it.isDirectory(),
  );
  const nameless = folders
    .map(({ name }) => posix.join("test/vectors", name))
    .filter((folder) => !existsSync(posix.join(folder, "SOURCE.md")));
  expect(nameless).toEqual([]);
  expect(folders.length).toBeGreaterThan(0);
});

test("files and folders have plain names", () => {
  const banned = /(^|\/)(utils?|helpers?|common|misc|types|index|manager|service|impl)(\.ts|\/)/;
  const odd = globSync("{core,plugins,hsm,events,config,deploy}/**/*.ts").filter(
    (file) => banned.test(file) || !/^[a-z0-9/-]+(?:\.d)?\.ts$/.test(file),
  );
  // `plugins/client/service.ts` may exist if its content earns the name; it does not yet.
  expect(odd).toEqual([]);
});
