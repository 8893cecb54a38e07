/** Faults in the system calls of a running process, by strace. Needs root or ptrace rights. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Ground } from "./ground.ts";
import type { Random } from "./random.ts";

/** What to inject. */
export interface Injection {
  readonly pid: number;
  /** Such as `fdatasync,fsync`. */
  readonly calls: string;
  /** In strace's words: `error=EIO`, `signal=KILL`, `delay_enter=300000`. */
  readonly fault: string;
  /** In strace's words: `3`, `2+`, `1+5`. */
  readonly when: string;
  readonly ms: number;
  /** A folder for strace's record. */
  readonly folder: string;
}

/** Injects into the vault or the services, whichever the lot falls on. */
export async function atCalls(
  ground: Ground,
  random: Random,
  fault: Pick<Injection, "calls" | "fault" | "when" | "ms">,
): Promise<number> {
  const pid = ground.pid(random.pick(["vault", "services"] as const));
  if (pid === null) return 0;
  return await injectCalls({ ...fault, pid, folder: ground.folder });
}

/** Attaches to a process, injects for `ms` or until it ends, detaches. Answers how many calls were hit. */
export async function injectCalls(injection: Injection): Promise<number> {
  const { pid, calls, fault, when, ms, folder } = injection;
  const record = join(folder, `strace-${pid}.txt`);
  rmSync(record, { force: true });
  const rules = ["-e", `trace=${calls}`, "-e", `inject=${calls}:${fault}:when=${when}`];
  const strace = spawn("strace", ["-f", "-p", String(pid), "-o", record, ...rules], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  strace.stderr.on("data", (chunk: Buffer) => (said += chunk.toString("utf8")));
  const ended = once(strace, "exit");
  await Promise.race([ended, sleep(ms)]);
  if (strace.exitCode === null && strace.signalCode === null) strace.kill("SIGINT");
  await ended;
  // Nobody may attach to a process that is ending.
  if (/not permitted/i.test(said)) {
    if (await hasEnded(pid)) return 0;
    throw new Error(`strace has no right to attach: ${said}`);
  }
  const text = existsSync(record) ? readFileSync(record, "utf8") : "";
  rmSync(record, { force: true });
  // A call that ends the process leaves no mark behind it, but the process's end does.
  const marks = text.split(/\(INJECTED\)|\(DELAYED\)/).length - 1;
  return marks === 0 && fault.startsWith("signal") && /killed by SIGKILL/.test(text) ? 1 : marks;
}

/** True once a process is gone or nothing but an entry in the table; waits a little for one that is on its way out. */
async function hasEnded(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    if (!/^State:\s+[^ZX]/m.test(readStatus(pid))) return true;
    await sleep(50);
  }
  return false;
}

function readStatus(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}
