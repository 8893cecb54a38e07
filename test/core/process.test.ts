import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempDisposable, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { parseConfiguration } from "../../config/load.ts";
import { durableWrite } from "../../core/durable.ts";
import { ExitCode } from "../../core/exit-codes.ts";
import { CompositionError } from "../../core/graph.ts";
import { unsuitableNode } from "../../core/node-version.ts";
import { pinoJournal } from "../../core/pino-journal.ts";
import { PinRefused, StartRefused } from "../../core/plugin.ts";
import { exitCodeFor } from "../../core/run.ts";
import { sealsFrom } from "../../core/seals.ts";
import { readNkeySeed, readPairKeys } from "../../core/secrets.ts";

const temporary = async () => await mkdtempDisposable(join(tmpdir(), "chancery-core-"));

async function run(...args: readonly string[]): Promise<{ code: unknown; stderr: string }> {
  const child = spawn(process.execPath, ["core/main.ts", ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  return { code, stderr };
}

test.for([
  ["no arguments", []],
  ["no process", ["--home", "x"]],
  ["an unknown flag", ["--home", "x", "--process", "vault", "--pin", "1234"]],
  ["a descriptor that is no number", ["--home", "x", "--process", "vault", "--pin-fd", "y"]],
] as const)("a process refuses %s by its usage", async ([, args]) => {
  const { code, stderr } = await run(...args);
  expect(code).toBe(ExitCode.usage);
  expect(stderr).toBe("usage: node core/main.ts --home DIR --process NAME [--pin-fd N]\n");
});

test("a process refuses a folder that is no home", async () => {
  await using folder = await temporary();
  const { code, stderr } = await run("--home", folder.path, "--process", "services");
  expect(code).toBe(ExitCode.environment);
  expect(stderr).toContain("is this a Chancery home?");
});

test.for([
  ["v26.5.1", true],
  ["v26.10.0", true],
  ["v27.0.0", true],
  ["v26.5.0", false],
  ["v26.4.9", false],
  ["v24.11.1", false],
] as const)("Node %s is new enough: %s", ([version, suitable]) => {
  expect(unsuitableNode(version) === null).toBe(suitable);
});

test.for([
  [new PinRefused("no"), ExitCode.pinRefused],
  [new CompositionError("no"), ExitCode.environment],
  [new StartRefused("no"), ExitCode.environment],
  [new Error("no"), ExitCode.crashed],
  [new SuppressedError(new Error("dispose"), new PinRefused("no")), ExitCode.pinRefused],
] as const)("%s ends a process with its own code", ([thrown, code]) => {
  expect(exitCodeFor(thrown)).toBe(code);
});

test("a file is replaced whole, with its mode, and leaves nothing beside it", async () => {
  await using folder = await temporary();
  const path = join(folder.path, "secret");
  await durableWrite(path, "old", 0o644);
  await durableWrite(path, new Uint8Array([110, 101, 119]), 0o600);
  expect(await readFile(path, "utf8")).toBe("new");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder.path)).toEqual(["secret"]);
});

test("a file that cannot be written leaves the old one", async () => {
  await using folder = await temporary();
  await expect(durableWrite(join(folder.path, "no", "file"), "x")).rejects.toThrow("ENOENT");
  await mkdir(join(folder.path, "taken"));
  await expect(durableWrite(join(folder.path, "taken"), "x")).rejects.toThrow();
  expect(await readdir(folder.path)).toEqual(["taken"]);
});

test("secrets are read if they are whole and nobody else's", async () => {
  await using folder = await temporary();
  const home = folder.path;
  await mkdir(join(home, "secrets", "pairs"), { recursive: true });
  await mkdir(join(home, "secrets", "nkeys"), { recursive: true });
  const key = join(home, "secrets", "pairs", "a--b.key");
  const read = async () => await readPairKeys(home, [["a", "b"]]);

  await expect(read()).rejects.toThrow("restore it from a backup");
  await writeFile(key, `${"ab".repeat(31)}\n`, { mode: 0o600 });
  await expect(read()).rejects.toThrow("is not 32 bytes in hex");
  await writeFile(key, `${"ab".repeat(32)}\n`);
  expect((await read())("a", "b")).toEqual(new Uint8Array(32).fill(0xab));
  expect((await read())("b", "a")).toBeUndefined();

  await writeFile(join(home, "secrets", "nkeys", "a.nk"), "SU", { mode: 0o640 });
  await expect(readNkeySeed(home, "a")).rejects.toThrow("is readable by others: chmod 600 it");
});

test("a seal is verified by the room it was made for, over exactly what was said", () => {
  const seals = sealsFrom((from) => (from === "identity" ? new Uint8Array(32).fill(1) : undefined));
  const statement = new Uint8Array([1, 2, 3]);
  const mac = seals("identity").seal("hsm", statement);
  expect(seals("hsm").verify("identity", statement, mac)).toBe(true);
  expect(seals("hsm").verify("identity", new Uint8Array([1, 2, 4]), mac)).toBe(false);
  expect(seals("issuer").verify("identity", statement, mac)).toBe(false);
  expect(seals("hsm").verify("identity", statement, mac.subarray(1))).toBe(false);
  expect(() => seals("issuer").seal("hsm", statement)).toThrow('"issuer" and "hsm" share no key');
});

test("the journal writes an object a line, and no secret", () => {
  const lines: string[] = [];
  const journal = pinoJournal("services", { write: (line) => void lines.push(line) })("http");
  const cause = new Error("outer", { cause: new Error("inner") });
  journal.error("asked", { idToken: "eyJ", deep: { pin: "1234", kept: 1n }, cause });
  const [line = ""] = lines;
  expect(line).not.toMatch(/eyJ|1234/);
  expect(JSON.parse(line)).toMatchObject({
    level: "error",
    process: "services",
    plugin: "http",
    event: "asked",
    idToken: "[redacted]",
    deep: { pin: "[redacted]", kept: 1 },
    cause: { message: "outer", cause: { message: "inner" } },
  });
});

test("a configuration is sections, a placement and what may be reached", () => {
  const { sections, placement, outbound } = parseConfiguration(
    "c.yaml",
    "ct: { log: ct }\nplacement: { log: logs }\n",
  );
  expect(sections).toEqual({ ct: { log: "ct" } });
  expect(placement.get("log")).toBe("logs");
  expect(placement.get("hsm")).toBe("vault");
  expect(outbound).toEqual({ privateHosts: [], authorityFiles: [] });
});

test.for([
  ["a key written twice", "ct: {}\nct: {}\n", "unique"],
  ["an alias", "ct: &a {}\nlog: *a\n", "anchors and aliases are not used here"],
  ["text that is no YAML", "ct: {\n", "c.yaml: "],
  ["a list", "- ct\n", "expected one section a plugin"],
  ["an unknown tag", "ct: !!js/function x\n", "tag"],
  ["an unknown plugin in the placement", "placement: { lgo: logs }\n", 'there is no plugin "lgo"'],
  [
    "a guest in the vault's process",
    "placement: { log: vault }\n",
    "shares its process with nobody",
  ],
  ["an unknown key of outbound", "outbound: { proxy: x }\n", "c.yaml: outbound: proxy"],
] as const)("a configuration with %s is refused", ([, yaml, says]) => {
  expect(() => parseConfiguration("c.yaml", yaml)).toThrow(CompositionError);
  expect(() => parseConfiguration("c.yaml", yaml)).toThrow(says);
});
