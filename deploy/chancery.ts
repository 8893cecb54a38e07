/** The `chancery` program: joins the command line to the commands. Whatever goes wrong, it does not exit with 0. */
import { CommandError, exitCodes, type Terminal, runCommand } from "../config/commands.ts";

const maxInputBytes = 1024 * 1024;

process.exitCode = 1; // Until a command says otherwise, even if the event loop runs dry.
process.on("uncaughtException", (error) => crash(error));
process.on("unhandledRejection", (reason) => crash(reason));
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Whoever read the output went away. What was printed is lost, so this is no success either.
  process.exit(error.code === "EPIPE" ? 1 : 3);
});

const terminal: Terminal = {
  environment: process.env,
  folder: process.cwd(),
  print: (line) => process.stdout.write(`${line}\n`),
  complain: (line) => process.stderr.write(`${line}\n`),
  interactive: process.stdin.isTTY && process.stderr.isTTY,
  readInput,
};

process.exitCode = await runCommand(process.argv.slice(2), terminal, [
  {
    name: "stop",
    summary: "stop the instance that serves this home",
    usage: ["[--json]"],
    load: async () => await import("./stop.ts"),
  },
]);

function crash(error: unknown): never {
  const kind = error instanceof Error ? error.name : "unknown";
  process.stderr.write(`chancery: internal error (${kind}), please report it\n`);
  process.exit(1);
}

async function readInput(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxInputBytes) {
      throw new CommandError(
        exitCodes.usage,
        `standard input is longer than ${maxInputBytes} bytes`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
