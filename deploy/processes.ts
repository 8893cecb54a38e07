/** Recognising processes we started, so that no foreign one is ever signalled. */
import { readFileSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { durableWrite } from "../core/durable.ts";

/** A process as it was recorded: a reused pid has another start time. */
export interface ProcessRecord {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, clock ticks since boot; "" where there is no /proc. */
  readonly startTicks: string;
}

/** Describes a running process of ours. */
export function describeProcess(pid: number): ProcessRecord {
  return { pid, startTicks: startTicks(pid) ?? "" };
}

/** True while exactly the recorded process runs. */
export function isRunning({ pid, startTicks: recorded }: ProcessRecord): boolean {
  const ticks = startTicks(pid);
  if (ticks !== null) return ticks === recorded;
  if (process.platform === "linux") return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Writes `run/<name>.json`. */
export async function recordProcess(home: string, name: string, pid: number): Promise<void> {
  const text = JSON.stringify({ ...describeProcess(pid), startedAt: new Date().toISOString() });
  await durableWrite(
    join(home, "run", `${name}.json`),
    new TextEncoder().encode(`${text}\n`),
    0o600,
  );
}

/** Removes `run/<name>.json`. */
export async function forgetProcess(home: string, name: string): Promise<void> {
  await rm(join(home, "run", `${name}.json`), { force: true });
}

/** The names under which processes are recorded, running or not. */
export async function recordedNames(home: string): Promise<readonly string[]> {
  const records = (await readdir(join(home, "run"))).filter((file) => file.endsWith(".json"));
  return records.map((file) => file.slice(0, -".json".length));
}

/** The process recorded under `name` if it still runs. */
export async function findProcess(home: string, name: string): Promise<ProcessRecord | null> {
  try {
    const record = JSON.parse(
      await readFile(join(home, "run", `${name}.json`), "utf8"),
    ) as ProcessRecord;
    return isRunning(record) ? record : null;
  } catch {
    return null;
  }
}

/** Ends a process that an earlier supervisor left behind: asks, waits three seconds, kills. */
export async function endLeftover(home: string, name: string): Promise<void> {
  const record = await findProcess(home, name);
  if (record === null) return;
  signal(record.pid, "SIGTERM");
  for (let waitedMs = 0; waitedMs < 3_000 && isRunning(record); waitedMs += 50) await sleep(50);
  if (isRunning(record)) signal(record.pid, "SIGKILL");
  while (isRunning(record)) await sleep(20);
  await forgetProcess(home, name);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended between the look and the signal.
  }
}

function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command name, in parentheses, may hold spaces: fields are counted after its last parenthesis.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}
