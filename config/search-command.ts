/** `chancery search rebuild`. */
import { resolve } from "node:path";
import { Failure } from "../events/failure.ts";
import { rebuildIndex } from "../events/search.ts";
import {
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { connectOperator } from "./operator-bus.ts";

/** Has the index of the running instance made anew. Where nothing runs, removing the folder does the same at the next start. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: [], values: [], switches: ["json"] });
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  await using bus = await connectOperator(home);
  try {
    await bus.ask(rebuildIndex, {});
  } catch (cause) {
    if (!(cause instanceof Failure)) throw cause;
    const message = `the instance answers ${cause.code}: ${cause.message}`;
    throw new CommandError(exitCodes.failed, message, { cause });
  }
  const next = "chancery status shows how far it is";
  terminal.print(parsed.has("json") ? JSON.stringify({ next }) : `begun anew; ${next}`);
  return exitCodes.ok;
}
