/** `chancery provider`: the kit with which a provider is begun, reviewed and tried. No home is needed. */
import { existsSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { Malformed } from "../core/formats/malformed.ts";
import {
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import {
  lintFile,
  listProviders,
  looksLikeProvider,
  type NamedFile,
  newProvider,
  notExamined,
  providerJsonSchema,
  type ProviderReport,
  providerTable,
  testFile,
} from "../plugins/identity/commands.ts";

/** Ends with 1 if a provider does not hold. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [verb = "", ...rest] = args;
  switch (verb) {
    case "list":
      return list(rest, terminal);
    case "init":
    // As it was called at first.
    case "new":
      return await begin(rest, terminal);
    case "lint":
    case "test":
      return await examine(verb, rest, terminal);
    case "docs":
      parseArguments(rest, { operands: [], values: [], switches: [] });
      terminal.print(providerTable().trimEnd());
      return exitCodes.ok;
    case "schema":
      parseArguments(rest, { operands: [], values: [], switches: [] });
      terminal.print(providerJsonSchema().trimEnd());
      return exitCodes.ok;
    default:
      throw new CommandError(exitCodes.usage, "expected list, init, lint, test, docs or schema");
  }
}

function list(args: readonly string[], terminal: Terminal): ExitCode {
  const parsed = parseArguments(args, { operands: [], values: [], switches: ["json"] });
  const providers = listProviders();
  if (parsed.has("json")) terminal.print(JSON.stringify(providers));
  else {
    const width = Math.max(...providers.map(({ type }) => type.length));
    for (const { type, title } of providers) terminal.print(`${type.padEnd(width)}  ${title}`);
  }
  return exitCodes.ok;
}

/** Writes two files and overwrites none. */
async function begin(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["FILE"],
    values: ["from-token"],
    switches: [],
  });
  const path = resolve(terminal.folder, operandOf(parsed));
  const type = basename(path).replace(/\.(?:provider\.)?ya?ml$/, "");
  if (type === basename(path)) {
    throw new CommandError(exitCodes.usage, "FILE must end in .yaml: its name is the provider's");
  }
  const from = parsed.value("from-token");
  const token = from === undefined ? null : (await read(terminal, from)).bytes;
  const text = token === null ? null : new TextDecoder().decode(token).trim();
  const { provider, vectors } = newProvider(type, text);
  const beside = vectorsOf(path);
  for (const [file, content] of [
    [path, provider],
    [beside, vectors],
  ] as const) {
    await writeFile(file, content, { flag: "wx" }).catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : "unknown";
      throw new CommandError(exitCodes.environment, `cannot be written: ${why}`, { cause });
    });
  }
  terminal.print(`${path}: the provider`);
  terminal.print(`${beside}: its vectors`);
  terminal.print(
    `Next: write down what its claims mean, then: chancery provider test ${operandOf(parsed)}`,
  );
  return exitCodes.ok;
}

async function examine(
  verb: "lint" | "test",
  args: readonly string[],
  terminal: Terminal,
): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["FILE"],
    values: ["vectors"],
    switches: ["json"],
  });
  const name = operandOf(parsed);
  const said = parsed.value("vectors");
  const isFolder = await isDirectory(resolve(terminal.folder, name));
  if (isFolder && said !== undefined) {
    throw new CommandError(
      exitCodes.usage,
      "--vectors is for one file; in a folder they lie beside",
    );
  }
  const reports = isFolder
    ? await examineFolder(verb, name, terminal)
    : [await examineFile(verb, name, { terminal, said })];
  const told = reports.map((report) => ({ ...report, passed: hasPassed(report) }));
  if (parsed.has("json")) terminal.print(JSON.stringify(isFolder ? told : told[0]));
  else for (const report of told) tell(report, !report.passed, terminal);
  return told.every(({ passed }) => passed) ? exitCodes.ok : exitCodes.failed;
}

async function examineFile(
  verb: "lint" | "test",
  name: string,
  { terminal, said }: { readonly terminal: Terminal; readonly said: string | undefined },
): Promise<ProviderReport> {
  const file = await read(terminal, name);
  const beside = said ?? vectorsOf(name);
  const isThere = existsSync(resolve(terminal.folder, beside));
  const vectors = isThere || verb === "test" ? await read(terminal, beside) : null;
  return verb === "test" && vectors !== null
    ? await testFile(file, vectors)
    : await lintFile(file, vectors);
}

function hasPassed({ findings }: ProviderReport): boolean {
  return findings.every(({ severity }) => severity !== "error");
}

/** One that cannot be examined fails and does not keep the others from it. */
async function examineFolder(
  verb: "lint" | "test",
  folder: string,
  terminal: Terminal,
): Promise<readonly ProviderReport[]> {
  const reports: ProviderReport[] = [];
  for (const name of await providersIn(terminal, folder)) {
    const file = await read(terminal, name);
    const beside = vectorsOf(name);
    if (verb === "test" && !existsSync(resolve(terminal.folder, beside))) {
      const why = `${file.name}: cannot be tested: there is no ${basename(beside)} beside it`;
      reports.push(notExamined(file, why));
      continue;
    }
    try {
      reports.push(await examineFile(verb, name, { terminal, said: undefined }));
    } catch (thrown) {
      if (!(thrown instanceof Malformed)) throw thrown;
      reports.push(notExamined(file, thrown.message));
    }
  }
  return reports;
}

/** What has vectors beside it or looks like a provider; whatever else lies in the folder is not examined. */
async function providersIn(terminal: Terminal, folder: string): Promise<readonly string[]> {
  const all = (await readdir(resolve(terminal.folder, folder))).toSorted();
  const found: string[] = [];
  for (const file of all) {
    if (!/\.(?:ya?ml|json|m?js)$/.test(file) || /\.vectors\.[a-z]+$/.test(file)) continue;
    const name = join(folder, file);
    if (all.includes(vectorsOf(file)) || looksLikeProvider(await read(terminal, name))) {
      found.push(name);
    }
  }
  if (found.length > 0) return found;
  throw new CommandError(exitCodes.failed, `${folder}: there is no provider in it`);
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() === true;
}

function tell(
  { type, sha256, findings }: ProviderReport,
  failed: boolean,
  terminal: Terminal,
): void {
  for (const { severity, text } of findings) {
    if (severity !== "ok") terminal.print(`${severity}: ${text}`);
  }
  const tried = findings.filter(({ severity }) => severity === "ok").length;
  const done = tried === 0 ? "" : `, ${tried} trials passed`;
  terminal.print(`${failed ? "FAILED" : "ok"}: provider ${type}${done}`);
  if (!failed) terminal.print(`sha256: ${sha256}`);
}

/** `x.yaml` has its vectors in `x.vectors.yaml`. */
function vectorsOf(file: string): string {
  return file.replace(/(\.[a-z]+)$/, (ending) =>
    /^\.m?js$/.test(ending) ? ".vectors.yaml" : `.vectors${ending}`,
  );
}

async function read(terminal: Terminal, name: string): Promise<NamedFile> {
  try {
    const bytes = await readFile(resolve(terminal.folder, name));
    return { name: basename(name), bytes: new Uint8Array(bytes) };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : "unknown";
    throw new CommandError(exitCodes.environment, `${name}: cannot be read: ${why}`, { cause });
  }
}

function operandOf({ operands: [file = ""] }: { readonly operands: readonly string[] }): string {
  return file;
}
