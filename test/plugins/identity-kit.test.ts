/** The provider kit as an author outside this tree meets it: the tutorial, step by step, in a folder of its own. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { runCommand } from "../../config/commands.ts";
import { providerJsonSchema, providerTable } from "../../plugins/identity/commands.ts";
import { readProvider } from "../../plugins/identity/provider-file.ts";
import { bootIdentity, now, refuse } from "../support/identity.ts";
import { issuerKey, signToken } from "../support/issuer.ts";

const tutorial = readFileSync("docs/providers/README.md", "utf8");
const blocks = [...tutorial.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(
  ([, kind = "", text = ""]) => ({ kind, text }),
);
const [provider = "", vectors = "", configuration = ""] = blocks
  .filter(({ kind }) => kind === "yaml")
  .map(({ text }) => text);
const folder = mkdtempSync(join(tmpdir(), "chancery-provider-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function chancery(...args: string[]) {
  const lines: string[] = [];
  const terminal = {
    environment: {},
    folder,
    print: (line: string) => lines.push(line),
    complain: (line: string) => lines.push(line),
    readInput: async () => await Promise.resolve(new Uint8Array()),
  };
  return { code: await runCommand(["provider", ...args], terminal), lines };
}

let sha256 = "";
beforeAll(async () => {
  // As the tutorial begins.
  expect((await chancery("init", "acme-ci.yaml")).code).toBe(0);
  expect((await chancery("test", "acme-ci.yaml")).code).toBe(0);
  writeFileSync(join(folder, "acme-ci.yaml"), provider);
  writeFileSync(join(folder, "acme-ci.vectors.yaml"), vectors);
  const { code, lines } = await chancery("test", "acme-ci.yaml");
  expect(code, lines.join("\n")).toBe(0);
  // The tutorial shows what is really printed.
  expect(tutorial).toContain(`$ chancery provider test acme-ci.yaml\n${lines.join("\n")}\n`);
  sha256 = lines.at(-1)?.replace("sha256: ", "") ?? "";
});

it("by the tutorial alone, a stranger's issuer gets its pipelines named", async () => {
  const { identity } = parse(configuration) as { identity: object };
  expect(configuration).toContain(sha256);
  const key = await issuerKey();
  const jwks = join(folder, "jwks.json");
  writeFileSync(jwks, JSON.stringify({ keys: [key.jwk] }));
  const sample = JSON.parse(blocks.find(({ kind }) => kind === "json")?.text ?? "") as object;
  await using booted = await bootIdentity(
    { fetch: async () => await Promise.reject(new Error("nothing is fetched")) },
    { jwksFile: jwks },
    { home: folder, section: identity },
  );
  const claims = { ...sample, iat: now - 1, exp: now + 60 };
  const { principal, provenance } = await booted.present(await signToken(key, claims));
  expect(principal.san).toEqual({
    kind: "uri",
    value: "https://ci.acme.example/team/app/pipelines/build",
  });
  expect(principal.extensions).toContainEqual({ arc: 15, value: "4711" });
  expect(Buffer.from(provenance.mappingSha256).toString("hex")).toBe(sha256);
  expect(provenance).toMatchObject({ provider: "acme-ci", providerVersion: "1" });
  await refuse(signToken(key, { ...claims, pipeline: "a/b" }), booted.present);
});

it("a file that is not the one that was reviewed is refused", async () => {
  const changed = new TextEncoder().encode(provider.replace("{claims.commit}", "{claims.branch}"));
  await expect(readProvider("acme-ci.yaml", changed, sha256)).rejects.toThrow("has changed");
});

const pinned = async (file: string, text: string) => {
  const bytes = new TextEncoder().encode(text);
  const digest = Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).toString("hex");
  return await readProvider(file, bytes, digest);
};

it("JSON is read as YAML is, and a module may derive more", async () => {
  const data = parse(provider) as { extensions: unknown[] };
  expect((await pinned("a.json", JSON.stringify(data))).provider).toEqual(data);
  const extended = {
    ...data,
    extensions: [...data.extensions, { arc: 23, template: "{derived.stage}" }],
  };
  const code = `export default { ...${JSON.stringify(extended)}, derive: ({ branch }) => ({ stage: branch === "main" ? "prod" : "" }) };`;
  const { provider: derived } = await pinned("a.js", code);
  expect(derived.derive?.({ branch: "main" })).toEqual({ stage: "prod" });
});

it.each([
  ["a.yaml", "type: [", ""],
  ["a.yaml", "type: a\nversion: 1", "title"],
  ["a.yaml", `${provider}surprise: 1\n`, "surprise"],
  [
    "a.yaml",
    provider.replace("uniqueBy: [project, pipeline]", "uniqueBy: [project]"),
    "is in the name and not listed",
  ],
  [
    "a.yaml",
    provider.replace("uniqueBy: [project, pipeline]", "uniqueBy: [project, pipeline, run]"),
    "two principals would share one",
  ],
  [
    "a.yaml",
    provider.replace("pipeline: { type: word", "pipeline: { type: path"),
    "may both hold separators",
  ],
  [
    "a.yaml",
    provider.replace(
      "{claims.project}/pipelines/{claims.pipeline}",
      "{claims.project}{claims.pipeline}",
    ),
    "nothing separates",
  ],
  ["a.yaml", provider.replace("{claims.commit}", "{commit}"), "not a reference"],
  ["a.yaml", provider.replace("arc: 9", "arc: 8"), "arcs ascend"],
  ["a.yaml", `x: &a 1\ny: *a\n`, "anchors"],
  ["a.js", "export const x = 1;", "no default export"],
  ["a.js", 'import "./other.js"; export default {};', "cannot be loaded"],
  ["a.js", "throw new Error('no')", "cannot be loaded"],
])("%s number %# is not taken for a provider", async (file, text, message) => {
  await expect(pinned(file, text)).rejects.toThrow(message);
});

it("a provider that does not hold fails its test, and says where", async () => {
  writeFileSync(join(folder, "bad.yaml"), provider.replace("{claims.commit}", "{claims.branch}"));
  writeFileSync(join(folder, "bad.vectors.yaml"), vectors);
  const bad = await chancery("test", "bad.yaml");
  expect(bad.code).toBe(1);
  expect(bad.lines.join("\n")).toContain("error: a build: extensions is");
  const open = provider.replaceAll(
    "{base}/{claims.project}/pipelines",
    "{claims.project}/pipelines",
  );
  writeFileSync(join(folder, "open.yaml"), open);
  const lint = await chancery("lint", "open.yaml", "--vectors", "bad.vectors.yaml", "--json");
  expect(lint.code).toBe(1);
  expect(lint.lines.join("\n")).toContain("could name a URI of anybody");
  expect((await chancery("lint", "acme-ci.yaml")).code).toBe(0);
  expect((await chancery("new", "acme-ci.yaml")).code).toBe(3);
  expect((await chancery("init", "acme")).code).toBe(2);
  expect((await chancery("polish")).code).toBe(2);
});

it("a folder is tried whole, and a name in a shipped provider's namespace is found", async () => {
  const elsewhere = join(folder, "all");
  mkdirSync(elsewhere);
  expect((await chancery("test", "all")).code).toBe(1);
  const names = { "one.yaml": provider, "two.yaml": provider };
  for (const [name, text] of Object.entries(names)) {
    writeFileSync(join(elsewhere, name), text.replace("acme-ci", name.slice(0, 3)));
    writeFileSync(join(elsewhere, name.replace(".yaml", ".vectors.yaml")), vectors);
  }
  writeFileSync(join(elsewhere, "config.yaml"), configuration);
  const good = await chancery("test", "all", "--json");
  const reports = JSON.parse(good.lines.join("")) as { type: string; passed: boolean }[];
  expect(reports).toMatchObject([
    { type: "one", passed: true },
    { type: "two", passed: true },
  ]);
  expect((await chancery("test", "all", "--vectors", "x")).code).toBe(2);
  const hub = provider.replace("base: https://ci.acme.example", "base: https://github.com");
  writeFileSync(join(elsewhere, "two.yaml"), hub);
  const bad = await chancery("lint", "all");
  expect(bad.code).toBe(1);
  expect(bad.lines.join("\n")).toContain("github");
});

it("in a folder no provider is passed over in silence", async () => {
  const some = join(folder, "some");
  mkdirSync(some);
  writeFileSync(join(some, "good.yaml"), provider.replace("acme-ci", "good"));
  writeFileSync(join(some, "good.vectors.yaml"), vectors);
  writeFileSync(join(some, "config.yaml"), configuration);
  writeFileSync(join(some, "tool.config.js"), "throw new Error('not run')");
  expect((await chancery("test", "some")).code).toBe(0);
  writeFileSync(join(some, "bare.yaml"), provider.replace("acme-ci", "bare"));
  writeFileSync(join(some, "code.js"), `export default ${JSON.stringify(parse(provider))};`);
  const lint = await chancery("lint", "some");
  expect(lint.code).toBe(1);
  expect(lint.lines.slice(0, 5)).toEqual([
    "error: no vectors: nobody could tell what it is meant to do",
    "FAILED: provider bare",
    "error: no vectors: nobody could tell what it is meant to do",
    "FAILED: provider acme-ci",
    "ok: provider good",
  ]);
  const bare = await chancery("test", "some");
  expect(bare.code).toBe(1);
  expect(bare.lines).toContain(
    "error: bare.yaml: cannot be tested: there is no bare.vectors.yaml beside it",
  );
  expect(bare.lines).toContain(
    "error: code.js: cannot be tested: there is no code.vectors.yaml beside it",
  );
  expect(bare.lines.join("\n")).toContain("ok: provider good, ");
  writeFileSync(join(some, "broken.yaml"), "type: [");
  const broken = await chancery("lint", "some");
  expect(broken.code).toBe(1);
  expect(broken.lines).toContain("FAILED: provider broken");
  expect(broken.lines).toContain("ok: provider good");
  const told = JSON.parse((await chancery("lint", "some", "--json")).lines.join("")) as unknown[];
  expect(told).toMatchObject([
    { type: "bare", passed: false },
    { type: "broken", passed: false },
    { type: "acme-ci", passed: false },
    { type: "good", passed: true },
  ]);
});

it("a token one has is enough to begin with", async () => {
  const key = await issuerKey();
  const token = await signToken(key, {
    iss: "https://ci.other.example/oidc",
    sub: "job/7",
    "other.example/run-id": 5,
    runner: { name: "r1", cloud: true },
    user_login: "ada",
  });
  writeFileSync(join(folder, "token.jwt"), token);
  expect((await chancery("new", "other.yaml", "--from-token", "token.jwt")).code).toBe(0);
  const { code, lines } = await chancery("test", "other.yaml");
  expect(code, lines.join("\n")).toBe(0);
  expect(readFileSync(join(folder, "other.yaml"), "utf8")).toContain("other.example/run-id");
});

it("the schema and the table that are committed are the providers' own", () => {
  expect(JSON.parse(readFileSync("plugins/identity/provider.schema.json", "utf8"))).toEqual(
    JSON.parse(providerJsonSchema()),
  );
  expect(readFileSync("docs/providers/table.md", "utf8")).toBe(providerTable());
});
