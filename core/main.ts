#!/usr/bin/env node
/**
 * Runs one process of an installation: `node core/main.ts --home DIR --process vault|services [--pin-fd N]`. Says `ready` in the
 * journal when all its plugins answer, drains on SIGTERM or SIGINT, answers `{ping: n}` on an IPC channel with `{pong: n}`, and
 * never goes on after an error that nobody expected.
 */
import { setFlagsFromString } from "node:v8";
import { unsuitableNode } from "./node-version.ts";

const longestDrainMs = 30_000;

// How large the young generation may be is said to this thread, which has it by now. Left in force, it would outweigh what each thread
// that is started later is given for its own. Before anything is loaded: what was compiled under other flags is compiled again.
setFlagsFromString("--max-semi-space-size=0");

const unsuitable = unsuitableNode(process.version);
if (unsuitable === null) await main();
else refuse(unsuitable);

function refuse(reason: string): void {
  process.stderr.write(`${JSON.stringify({ level: "error", event: "refused", reason })}\n`);
  process.exitCode = 3;
}

async function main(): Promise<void> {
  // Loaded only now, because an older Node cannot even parse them.
  const { ExitCode } = await import("./exit-codes.ts");
  const { pinoJournal } = await import("./pino-journal.ts");
  const { exitCodeFor, parseProcessArguments, startProcess } = await import("./run.ts");
  const { flushCompileCache } = await import("node:module");
  const { loadHome } = await import("../config/load.ts");
  const { Superseded } = await import("./storage.ts");
  const leave = (code: number): never => process.exit(code);
  const reasonOf = (thrown: unknown): string =>
    thrown instanceof Error ? thrown.message : String(thrown);

  const args = usable(parseProcessArguments, reasonOf) ?? leave(ExitCode.usage);
  const journal = pinoJournal(args.process);
  const core = journal("core");
  const crash = (event: string, thrown: unknown): never => {
    core.error(event, { reason: reasonOf(thrown), cause: thrown });
    return leave(exitCodeFor(thrown));
  };
  process.on("uncaughtException", (thrown) => crash("uncaught-exception", thrown));
  process.on("unhandledRejection", (thrown) => crash("unhandled-rejection", thrown));
  answerPings();

  const stopping = stopSignal(() => leave(ExitCode.crashed));
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => undefined);
  try {
    const started = startProcess(args, await loadHome(args.home), {
      journal,
      fatal: (reason, cause) => {
        if (cause instanceof Superseded) {
          over.reject(cause);
          return;
        }
        core.error("storage-in-doubt", { reason });
        leave(ExitCode.storageInDoubt);
      },
    });
    const installation = await Promise.race([started, stopping, over.promise]);
    // Nothing has been accepted yet, and what is half open survives a crash, so there is nothing to drain.
    if (typeof installation === "string") return leave(ExitCode.ok);
    core.info("ready", { health: installation.health() });
    // Not only at the end, which may be a kill.
    flushCompileCache();
    const ended = Promise.race([over.promise, installation.failed]);
    // What came in is finished also when another process has taken over: its own rooms answer what they can.
    const why = await Promise.race([stopping, ended]).catch((thrown: unknown) => {
      if (thrown instanceof Superseded) return thrown;
      return crash("gave-up", thrown);
    });
    core.info("draining", { why: reasonOf(why) });
    setTimeout(() => crash("drain-timeout", new Error("did not drain in time")), longestDrainMs);
    await installation[Symbol.asyncDispose]();
    core.info("stopped");
    return leave(why instanceof Superseded ? ExitCode.superseded : ExitCode.ok);
  } catch (thrown) {
    return crash("start-failed", thrown);
  }
}

/** The parsed command line, or undefined after having said what is wrong with it. */
function usable<T>(
  parse: (args: readonly string[]) => T,
  reasonOf: (thrown: unknown) => string,
): T | undefined {
  try {
    return parse(process.argv.slice(2));
  } catch (thrown) {
    process.stderr.write(`${reasonOf(thrown)}\n`);
    return undefined;
  }
}

/** Resolves with the reason to stop; the second signal calls `now`. */
async function stopSignal(now: () => void): Promise<string> {
  return await new Promise((resolve) => {
    let asked = false;
    const ask = (why: string): void => {
      if (asked) now();
      asked = true;
      resolve(why);
    };
    process.on("SIGTERM", () => ask("SIGTERM"));
    process.on("SIGINT", () => ask("SIGINT"));
    // A process without its supervisor would hold ports and locks that the next start needs.
    process.once("disconnect", () => resolve("the supervisor is gone"));
  });
}

function answerPings(): void {
  process.on("message", (message) => {
    if (typeof message !== "object" || message === null || !("ping" in message)) return;
    process.send?.({ pong: message.ping });
  });
}
