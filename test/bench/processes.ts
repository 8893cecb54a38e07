/** What the processes of an instance use, from /proc. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { findProcess, recordedNames } from "../../deploy/processes.ts";

/** Resident memory in MiB and CPU time in ms, since the process started. */
export interface Usage {
  readonly pid: number;
  readonly rssMiB: number;
  readonly cpuMs: number;
}

/** A value for each process, by its name. */
export type ByProcess<T> = Readonly<{ [process: string]: T }>;

/** USER_HZ is 100 on every Linux that Node runs on. */
const msPerTick = 10;

/** Usage of each process of the home now, the supervisor too. */
export async function usage(home: string): Promise<ByProcess<Usage>> {
  const names = (await recordedNames(home)).toSorted();
  const entries = names.map(async (name): Promise<[string, Usage][]> => {
    const record = await findProcess(home, name);
    return record === null ? [] : [[name, await read(record.pid)]];
  });
  return Object.fromEntries((await Promise.all(entries)).flat());
}

/** What each process used between two looks, in ms of CPU; a process that was restarted in between is an error. */
export function cpuBetween(before: ByProcess<Usage>, after: ByProcess<Usage>): ByProcess<number> {
  return Object.fromEntries(
    Object.entries(after).map(([name, { pid, cpuMs }]) => {
      const earlier = before[name];
      if (earlier?.pid !== pid) throw new Error(`${name} was restarted during a run`);
      return [name, cpuMs - earlier.cpuMs];
    }),
  );
}

/** CPU time of the whole machine that was not idle, in ms since boot. */
export function machineBusyMs(): number {
  const [first = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = first
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) * msPerTick;
}

async function read(pid: number): Promise<Usage> {
  const [status, stat] = await Promise.all([
    readFile(`/proc/${pid}/status`, "utf8"),
    readFile(`/proc/${pid}/stat`, "utf8"),
  ]);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    pid,
    rssMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024,
    cpuMs: (Number(fields[11]) + Number(fields[12])) * msPerTick,
  };
}
