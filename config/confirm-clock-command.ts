/** `chancery timestamp confirm-clock`. */
import { resolve } from "node:path";
import {
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { confirmClock } from "../plugins/timestamp/commands.ts";
import { readInstance } from "./load.ts";

/** Leaves the operator's word in the home; whoever is in doubt takes it when next asked for the time. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  parseArguments(args, { operands: [], values: [], switches: [] });
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  await readInstance(home);
  await confirmClock(home);
  terminal.print("Confirmed: whoever had seen the clock move, believes it again as it is now.");
  return exitCodes.ok;
}
