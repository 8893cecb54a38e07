/** `chancery ceremony`: from a script to a verified record. There is no way to force anything. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parsePem } from "../core/formats/pem.ts";
import { parseJson } from "../core/formats/json.ts";
import {
  type CeremonyRequest,
  dryRunCeremony,
  formatReport,
  lintCeremony,
  performCeremony,
  rehearseCeremony,
  type TranscriptLine,
  VaultRefused,
  verifyTranscript,
} from "../hsm/commands.ts";
import {
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { readPins } from "./ceremony-pins.ts";

const actions: {
  readonly [what: string]: (args: readonly string[], terminal: Terminal) => Promise<ExitCode>;
} = { lint, rehearse, perform, verify, report, show };

/** `ceremony lint|rehearse|perform|verify|report|show`. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [what = "", ...rest] = args;
  const action = Object.hasOwn(actions, what) ? actions[what] : undefined;
  if (!action) {
    throw new CommandError(exitCodes.usage, `say ${Object.keys(actions).join(", ")}`);
  }
  try {
    return await action(rest, terminal);
  } catch (thrown) {
    if (!(thrown instanceof VaultRefused)) throw thrown;
    throw new CommandError(exitCodes.failed, thrown.message, { cause: thrown });
  }
}

async function lint(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["SCRIPT"],
    values: ["parameters"],
    switches: ["json"],
  });
  const parameters = await parametersOf(parsed.value("parameters"), terminal);
  const review = await lintCeremony(operand(parsed.operands, terminal), parameters);
  const isClean = review.findings.length === 0;
  if (parsed.has("json")) terminal.print(JSON.stringify(review));
  else {
    terminal.print(
      `${review.ceremony}  SHA-256 ${review.sha256.replaceAll(/(.{4})(?=.)/g, "$1 ")}`,
    );
    review.steps.forEach((step, index) => terminal.print(`${index + 1}. ${step}`));
    for (const { rule, message } of review.findings) terminal.print(`broken ${rule}: ${message}`);
    if (isClean) terminal.print("no rule is broken");
  }
  return isClean ? exitCodes.ok : exitCodes.failed;
}

async function rehearse(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["SCRIPT"],
    values: ["module", "parameters"],
    switches: ["dry-run", "json"],
  });
  const request = await requestOf(parsed, terminal);
  if (parsed.has("dry-run")) {
    await dryRunCeremony(request, (line) => terminal.print(line));
    return exitCodes.ok;
  }
  const { transcript } = await rehearseCeremony(request, (step) => terminal.complain(step));
  terminal.print(parsed.has("json") ? JSON.stringify({ transcript }) : transcript);
  return exitCodes.ok;
}

async function perform(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["SCRIPT"],
    values: ["module", "parameters", "pin-fd"],
    switches: ["dry-run", "json"],
  });
  const request = await requestOf(parsed, terminal);
  if (parsed.has("dry-run")) {
    await dryRunCeremony(request, (line) => terminal.print(line));
    return exitCodes.ok;
  }
  const { asksPinsOf } = await lintCeremony(request.script, request.parameters);
  const pins = await readPins(asksPinsOf, parsed.value("pin-fd"));
  const { transcript } = await performCeremony({ ...request, pins }, (step) =>
    terminal.complain(step),
  );
  terminal.print(parsed.has("json") ? JSON.stringify({ transcript }) : transcript);
  return exitCodes.ok;
}

async function verify(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["TRANSCRIPT"],
    values: ["script", "key"],
    switches: ["no-files", "json"],
  });
  const script = parsed.value("script");
  const verified = verifyTranscript(await read(operand(parsed.operands, terminal)), {
    ...(script !== undefined && { source: await read(resolve(terminal.folder, script)) }),
    ...(!parsed.has("no-files") && { home: homeOf(terminal) }),
    ...(await keyOf(parsed.value("key"), terminal)),
  });
  const { lines, headSha256, transcriptKeySha256 } = verified;
  terminal.print(
    parsed.has("json")
      ? JSON.stringify({ lines: lines.length, headSha256, transcriptKeySha256 })
      : `verified: ${lines.length} lines, SHA-256 ${headSha256}, sealed by key ${transcriptKeySha256}`,
  );
  return exitCodes.ok;
}

async function report(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["TRANSCRIPT"],
    values: ["out", "key"],
    switches: [],
  });
  const out = parsed.value("out");
  if (out === undefined) throw new CommandError(exitCodes.usage, "--out FILE is needed");
  const evidence = await keyOf(parsed.value("key"), terminal);
  const verified = verifyTranscript(await read(operand(parsed.operands, terminal)), evidence);
  const path = resolve(terminal.folder, out);
  await writeFile(path, formatReport(verified), { flag: "wx" }).catch((cause: unknown) => {
    throw new CommandError(exitCodes.environment, `${path} exists or cannot be written`, { cause });
  });
  terminal.print(path);
  return exitCodes.ok;
}

async function show(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: [], values: [], switches: ["json"] });
  const { lines } = verifyTranscript(await genesisOf(homeOf(terminal)));
  for (const line of lines)
    terminal.print(parsed.has("json") ? JSON.stringify(line) : render(line));
  return exitCodes.ok;
}

/** The transcript of the ceremony that made the vault's state: whatever it is called, there is one. */
async function genesisOf(home: string): Promise<string> {
  const folder = join(home, "ceremony");
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith(".transcript.jsonl")) continue;
    const text = await read(join(folder, name));
    if (text.includes('"what":"vault state"')) return text;
  }
  throw new CommandError(exitCodes.environment, `${folder} holds no transcript of a genesis`);
}

async function requestOf(
  { operands, value }: ReturnType<typeof parseArguments>,
  terminal: Terminal,
): Promise<CeremonyRequest> {
  const module = value("module");
  if (module === undefined) throw new CommandError(exitCodes.usage, "--module LIBRARY is needed");
  return {
    script: operand(operands, terminal),
    home: homeOf(terminal),
    module: resolve(terminal.folder, module),
    parameters: await parametersOf(value("parameters"), terminal),
  };
}

async function parametersOf(
  file: string | undefined,
  terminal: Terminal,
): Promise<CeremonyRequest["parameters"]> {
  return file === undefined ? {} : readParameters(await read(resolve(terminal.folder, file)));
}

/** The transcript's key as the operator knows it. */
async function keyOf(
  file: string | undefined,
  terminal: Terminal,
): Promise<{ readonly transcriptKey?: Uint8Array }> {
  if (file === undefined) return {};
  return { transcriptKey: parsePem(await read(resolve(terminal.folder, file)), "PUBLIC KEY") };
}

function operand([first = ""]: readonly string[], { folder }: Terminal): string {
  return resolve(folder, first);
}

function render({ at, what, detail }: TranscriptLine): string {
  const facts = Object.entries(detail).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return [at, what, ...facts].join("  ");
}

function homeOf({ environment, folder }: Terminal): string {
  return resolve(folder, environment["CHANCERY_HOME"] || ".chancery");
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new CommandError(exitCodes.environment, `${path} cannot be read`, { cause });
  }
}

/** A JSON object of strings. */
function readParameters(text: string): { readonly [name: string]: string } {
  const parameters = new Map<string, string>();
  try {
    for (const [name, value] of Object.entries(parseJson(text) as object)) {
      if (typeof value !== "string") throw new TypeError(name);
      parameters.set(name, value);
    }
  } catch (cause) {
    throw new CommandError(exitCodes.usage, "--parameters must be a JSON object of strings", {
      cause,
    });
  }
  return Object.fromEntries(parameters);
}
