/** CPU time of the threads of an instance, from /proc. */
import { readdirSync, readFileSync } from "node:fs";
import type { ByProcess, Usage } from "./processes.ts";

/** CPU time in ms since it started, of each thread by process and thread id. */
export type Threads = ReadonlyMap<string, Thread>;

interface Thread {
  /** Its process and its name; threads of one kind share it. */
  readonly name: string;
  readonly cpuMs: number;
}

const nsPerMs = 1e6;

/** Reads the threads of every process as they are now; one that ends meanwhile is left out. */
export function threadsOf(processes: ByProcess<Pick<Usage, "pid">>): Threads {
  const all = Object.entries(processes).flatMap(([process, { pid }]) =>
    readdirSync(`/proc/${pid}/task`).flatMap((id): [string, Thread][] => {
      const thread = read(`/proc/${pid}/task/${id}`);
      if (thread === null) return [];
      return [[`${process} ${id}`, { name: `${process}: ${thread.name}`, cpuMs: thread.cpuMs }]];
    }),
  );
  return new Map(all);
}

/** CPU time between two readings in ms, of the threads of each name together. */
export function threadCpuBetween(before: Threads, after: Threads): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const [id, { name, cpuMs }] of after) {
    const used = cpuMs - (before.get(id)?.cpuMs ?? 0);
    sums.set(name, (sums.get(name) ?? 0) + used);
  }
  return sums;
}

function read(folder: string): Thread | null {
  try {
    const [ns = ""] = readFileSync(`${folder}/schedstat`, "utf8").split(" ");
    return { name: readFileSync(`${folder}/comm`, "utf8").trim(), cpuMs: Number(ns) / nsPerMs };
  } catch {
    return null;
  }
}
