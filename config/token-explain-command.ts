/** `chancery token explain`: why a token is accepted or not, by the configuration of the home. The token is read from a file, never an argument. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import {
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { explain } from "../plugins/identity/commands.ts";
import { CompositionError } from "../core/graph.ts";
import { loadHome } from "./load.ts";

/** Ends with 1 if the token is refused. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: ["FILE"], values: [], switches: ["json"] });
  const token = await readToken(parsed.operands[0] ?? "", terminal);
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  const { config, fetch } = await load(home);
  const explained = await explain(token, { section: config["identity"], home, fetch });
  if (parsed.has("json")) terminal.print(JSON.stringify(explained));
  else {
    for (const { name, verdict, detail } of explained.checks) {
      terminal.print(`${verdict.padEnd(11)}  ${name}${detail === "" ? "" : `: ${detail}`}`);
    }
    for (const { what, value } of explained.certificate) terminal.print(`  ${what}: ${value}`);
    for (const hint of explained.hints) terminal.print(`look at ${hint}`);
    terminal.print(explained.accepted ? "ACCEPTED" : "REFUSED");
  }
  return explained.accepted ? exitCodes.ok : exitCodes.failed;
}

async function load(home: string) {
  try {
    const { config, fetch } = await loadHome(home);
    return { config, fetch };
  } catch (thrown) {
    if (!(thrown instanceof CompositionError)) throw thrown;
    throw new CommandError(exitCodes.environment, thrown.message, { cause: thrown });
  }
}

async function readToken(file: string, terminal: Terminal): Promise<string> {
  try {
    return (await readFile(resolve(terminal.folder, file), "utf8")).trim();
  } catch (cause) {
    throw new CommandError(exitCodes.environment, "the token's file cannot be read", { cause });
  }
}
