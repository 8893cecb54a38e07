/** A ceremony's own process: one request on standard input, progress as JSON lines on standard output, a refusal on standard error. */
import { text } from "node:stream/consumers";
import { PinRefused } from "../../core/plugin.ts";
import { VaultRefused } from "../errors.ts";
import { type CeremonyMode, type CeremonyRequest, runCeremony } from "./run.ts";

// Whatever SoftHSM or SQLite create is for the owner alone.
process.umask(0o077);
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
try {
  // Written by perform.ts, which starts this file and nothing else does.
  const { request, mode } = JSON.parse(await text(process.stdin)) as {
    readonly request: CeremonyRequest;
    readonly mode: CeremonyMode;
  };
  const result = await runCeremony(request, mode, {
    step: (step) => say({ step }),
    ...(mode === "dry-run" && { call: (call: string) => say({ call }) }),
  });
  say({ result });
} catch (error) {
  const refusal = error instanceof VaultRefused || error instanceof PinRefused;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${message}\n${refusal || !(error instanceof Error) ? "" : error.stack}\n`);
  process.exitCode = 1;
}
