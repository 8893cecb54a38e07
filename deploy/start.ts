/** `npm start`: makes an instance if there is none, runs it, proves that it works, and keeps it running. */
import { writeAccess } from "./access.ts";
import { greet, progress } from "./greeting.ts";
import { makeInstance } from "./genesis.ts";
import type { Instance } from "../config/schema.ts";
import { readInstance } from "./home.ts";
import { introduceStorage } from "../config/storage.ts";
import { endLeftovers } from "./leftovers.ts";
import { addStorage, readMetricsPort, readProcesses } from "./placement.ts";
import { refuseJoined, runJoined } from "./join.ts";
import { refuseBusyPorts, refuseSecondStart, stopRequest } from "./occupied.ts";
import { forgetProcess, recordProcess } from "./processes.ts";
import { proveReadiness, wasProved } from "./proof.ts";
import { Refusal, refuseFullDisk, Unproven } from "./refusal.ts";
import { readSettings, type Settings } from "./settings.ts";
import { Supervisor } from "./supervisor.ts";
import { refuseMissingTokens, writeTokenConfiguration } from "./token.ts";

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    process.umask(0o077);
    outliveReaders();
    const settings = readSettings(process.argv.slice(2), process.env);
    const { join } = settings;
    const running = join === undefined ? start(settings) : runJoined(settings, join);
    return await running.catch((problem: unknown) => {
      throw refuseFullDisk(problem, settings.home);
    });
  } catch (problem) {
    if (!(problem instanceof Refusal)) throw problem;
    process.stderr.write(`chancery: ${problem.message}\n`);
    return 3;
  }
}

async function start(settings: Settings): Promise<number> {
  const startedAt = performance.now();
  const asked = stopRequest();
  await refuseJoined(settings.home);
  const found = await readInstance(settings);
  if (found !== null) await refuseSecondStart(settings.home);
  const instance = found ?? (await makeInstance(settings, asked.signal));
  if (instance === null) return 0;
  if (found !== null) {
    // Before anybody looks whose the ports are.
    await endLeftovers(settings.home);
    await upgrade(settings.home, found);
  }
  const metricsPort = await readMetricsPort(settings.home, settings.metricsPort);
  await refuseBusyPorts(instance, metricsPort);
  const processes = await readProcesses(settings.home);
  if (found !== null) await addStorage(settings.home);

  refuseMissingTokens(settings.home);
  await writeTokenConfiguration(settings.home);
  await recordProcess(settings.home, "supervisor", process.pid);
  const supervisor = new Supervisor(settings.home, instance, processes);
  try {
    await supervisor.start(asked.signal);
    if (asked.signal.aborted) return 0;
    // A home that was never proved, and whoever asks for the proof alone, must prove it.
    const isWanted = settings.once || !wasProved(settings.home);
    const proofMs = await prove(settings.home, instance, { cancelled: asked.signal, isWanted });
    // The refusal may have come with a fault elsewhere.
    if (proofMs === null) await supervisor.ready(asked.signal);
    if (asked.signal.aborted) return 0;
    greet({ home: settings.home, instance, proofMs, readyMs: performance.now() - startedAt });
    if (settings.once) return 0;
    await Promise.race([asked.wait, supervisor.failed]);
    return 0;
  } finally {
    progress("stopping");
    await supervisor.stop();
    await forgetProcess(settings.home, "supervisor");
  }
}

/** Adds what this release needs and an older one did not make. */
async function upgrade(home: string, instance: Instance): Promise<void> {
  await writeAccess(home, instance);
  for (const name of await introduceStorage(home)) {
    progress(`made the storage "${name}", which homes of older releases do not have`);
  }
}

/**
 * Milliseconds of the readiness proof. Null if it was interrupted: Ctrl-C ends the commands of the proof too. Or if it was refused
 * where it need not be signed: an operator may let nobody sign as a demo account, and what is logged is served all the same.
 */
async function prove(
  home: string,
  { origin }: Instance,
  { cancelled, isWanted }: { readonly cancelled: AbortSignal; readonly isWanted: boolean },
): Promise<number | null> {
  try {
    return await proveReadiness(home, `${origin}/oidc`);
  } catch (problem) {
    if (cancelled.aborted) return null;
    if (isWanted || !(problem instanceof Unproven)) throw problem;
    progress(problem.message);
    return null;
  }
}

/** Whoever read what is printed may leave before the instance does. */
function outliveReaders(): void {
  process.stdout.on("error", () => undefined);
  process.stderr.on("error", () => undefined);
}
