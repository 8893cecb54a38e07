/**
 * Loaded into the supervisor with `node --import`: changes how it starts its children, as a file says. So the processes of a real
 * instance run under libfaketime and talk to NATS through a proxy, and the product has no switch for it.
 */
import childProcess from "node:child_process";
import { readFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const file = process.env["CHANCERY_FAULT_LAUNCH"];
if (file === undefined) throw new Error("CHANCERY_FAULT_LAUNCH does not name a file");
const launch = JSON.parse(readFileSync(file, "utf8")) as {
  /** What nats-server reads instead of the home's own file. */
  readonly natsConfiguration: string;
  /** Added to the environment of the vault and the services. */
  readonly environment: { readonly [name: string]: string };
};
const { spawn } = childProcess;

Object.assign(childProcess, {
  spawn(command: string, args: readonly string[], options: childProcess.SpawnOptions) {
    if (command === "nats-server")
      return spawn(command, ["--config", launch.natsConfiguration], options);
    const env = { ...options.env, ...launch.environment };
    return spawn(command, [...args], { ...options, env });
  },
});
syncBuiltinESMExports();
