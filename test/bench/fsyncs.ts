/** Counts the syncs of processes with strace, which must be installed and allowed to attach. Slow: never during a measured run. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByProcess, Usage } from "./processes.ts";

const traced = ["fsync", "fdatasync", "sync_file_range", "msync"];

/** Syncs of each process while `work` ran. */
export async function countSyncs(
  processes: ByProcess<Usage>,
  work: () => Promise<void>,
): Promise<ByProcess<number>> {
  const folder = await mkdtemp(join(tmpdir(), "chancery-strace-"));
  try {
    const tracers = Object.entries(processes).map(([name, { pid }]) => ({
      name,
      file: join(folder, name),
      tracer: attach(pid, join(folder, name)),
    }));
    await Promise.all(tracers.map(({ tracer }) => attached(tracer)));
    await work();
    const counts = tracers.map(async ({ name, file, tracer }) => {
      const exited = once(tracer, "exit");
      tracer.kill("SIGINT");
      await exited;
      return [name, sumCalls(await readFile(file, "utf8"))] as const;
    });
    return Object.fromEntries(await Promise.all(counts));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function attach(pid: number, file: string): ChildProcess {
  const args = ["-f", "-c", "-e", `trace=${traced.join(",")}`, "-o", file, "-p", String(pid)];
  return spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
}

/** strace says on stderr that it is attached, or why it is not. */
async function attached(tracer: ChildProcess): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let said = "";
    tracer.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString("utf8");
      if (said.includes(" attached")) resolve();
    });
    tracer.once("error", (cause) => reject(new Error("strace is missing: install it", { cause })));
    tracer.once("exit", () => reject(new Error(`strace could not attach: ${said.trim()}`)));
  });
}

/** The table of `strace -c`: share, seconds, µs a call, calls, errors (often empty), name. */
function sumCalls(table: string): number {
  return table
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => traced.includes(fields.at(-1) ?? ""))
    .reduce((sum, fields) => sum + Number(fields[3]), 0);
}
