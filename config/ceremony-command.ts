/** `chancery ceremony`: performs a ceremony, or shows the transcript of the one that made the home. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseJson } from "../core/formats/json.ts";
import {
  performCeremony,
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

/** `ceremony perform SCRIPT --module LIBRARY --parameters FILE`, or `ceremony show`. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [what, ...rest] = args;
  try {
    if (what === "perform") return await perform(rest, terminal);
    if (what === "show") return await show(rest, terminal);
  } catch (thrown) {
    if (!(thrown instanceof VaultRefused)) throw thrown;
    throw new CommandError(exitCodes.failed, thrown.message, { cause: thrown });
  }
  throw new CommandError(exitCodes.usage, 'say "perform" or "show"');
}

async function perform(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["SCRIPT"],
    values: ["module", "parameters"],
    switches: ["json"],
  });
  const module = parsed.value("module");
  const parameters = parsed.value("parameters");
  if (module === undefined || parameters === undefined) {
    throw new CommandError(exitCodes.usage, "--module LIBRARY and --parameters FILE are needed");
  }
  const { transcript } = await performCeremony(
    {
      script: resolve(terminal.folder, parsed.operands[0] ?? ""),
      home: homeOf(terminal),
      module: resolve(terminal.folder, module),
      parameters: readParameters(await read(resolve(terminal.folder, parameters))),
    },
    (step) => terminal.complain(step),
  );
  terminal.print(parsed.has("json") ? JSON.stringify({ transcript }) : transcript);
  return exitCodes.ok;
}

async function show(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: [], values: [], switches: ["json"] });
  const path = join(homeOf(terminal), "ceremony", "demo-genesis.transcript.jsonl");
  const lines = verifyTranscript(await read(path));
  for (const line of lines)
    terminal.print(parsed.has("json") ? JSON.stringify(line) : render(line));
  return exitCodes.ok;
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
