/** `chancery stop`: asks the supervisor of this home to drain and end, and waits until it has. */
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ExitCode, Terminal } from "../config/commands.ts";
import { findProcess, isRunning } from "./processes.ts";

const pollMs = 50;
const patienceMs = 60_000;

/** Only the process that wrote the record is signalled: a pid that was reused has another start time. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const surplus = args.find((arg) => arg !== "--json");
  if (surplus !== undefined) {
    terminal.complain(`chancery stop: "${surplus}" is not understood; see chancery stop --help`);
    return 2;
  }
  const json = args.includes("--json");
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  const supervisor = await findProcess(home, "supervisor");
  if (supervisor === null) {
    terminal.print(json ? '{"stopped":false}' : `nothing of ${home} is running`);
    return 0;
  }
  try {
    process.kill(supervisor.pid, "SIGTERM");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EPERM") {
      terminal.complain(
        `chancery stop: process ${supervisor.pid} belongs to another user; stop it as that user`,
      );
      return 3;
    }
    // It ended between the look and the signal, which is what was asked for.
  }
  for (let waitedMs = 0; isRunning(supervisor); waitedMs += pollMs) {
    if (waitedMs >= patienceMs) {
      terminal.complain(
        `chancery stop: process ${supervisor.pid} has not ended in ${patienceMs / 1000} s; see ${home}/journal`,
      );
      return 1;
    }
    await sleep(pollMs);
  }
  terminal.print(json ? '{"stopped":true}' : "stopped");
  return 0;
}
