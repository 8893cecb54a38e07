/** What must be free before anything is started, and how a start is told to end. */
import { callOf } from "./greeting.ts";
import { isPortFree } from "./ports.ts";
import { findProcess } from "./processes.ts";
import { Refusal } from "./refusal.ts";

/** @throws {Refusal} if something runs from this folder already. */
export async function refuseSecondStart(home: string): Promise<void> {
  const running = await findProcess(home, "supervisor");
  if (running !== null) {
    throw new Refusal(
      `${home} is already running as process ${running.pid}; stop it with: ${callOf(home)} stop`,
    );
  }
}

/** @throws {Refusal} if another program listens where this instance would. */
export async function refuseBusyPorts(
  { port, tlsPort }: { readonly port: number; readonly tlsPort: number },
  metricsPort: number | undefined,
): Promise<void> {
  for (const [name, wanted] of [
    ["CHANCERY_PORT", port],
    ["CHANCERY_TLS_PORT", tlsPort],
    ["CHANCERY_METRICS_PORT", metricsPort],
  ] as const) {
    if (wanted === undefined) continue;
    if (await isPortFree(wanted)) continue;
    throw new Refusal(
      `port ${wanted} is in use by another program; stop that, or make a new instance with another ${name} and CHANCERY_HOME`,
    );
  }
}

/** Resolves on the first SIGTERM, SIGINT or SIGHUP (the terminal was closed); a second one ends the process at once. */
export function stopRequest(): { readonly wait: Promise<void>; readonly signal: AbortSignal } {
  const controller = new AbortController();
  const wait = new Promise<void>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
      process.on(name, () => {
        if (controller.signal.aborted) process.exit(1);
        controller.abort();
        resolve();
      });
    }
  });
  return { wait, signal: controller.signal };
}
