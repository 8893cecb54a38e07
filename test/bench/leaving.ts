/**
 * A benchmark that is told to stop leaves nothing behind. Its children are in its process group or are told by the end of a channel, but a
 * supervisor that is killed in the middle of stopping leaves what it had in sessions of their own: so whoever waits only five seconds
 * after asking must not find us still at work.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";

/**
 * Ends this process and everything it has started at the first signal to stop.
 *
 * @param folders What it has made, to be removed then; it may grow.
 */
export function endWithChildren(folders: readonly string[]): void {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.once(signal, () => {
      for (const pid of descendants(process.pid)) kill(pid);
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
      process.exit(1);
    });
  }
}

/** Everybody below `root` in the tree of processes, those nearest first: who is dead restarts nobody. */
function descendants(root: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const parent = parentOf(name);
    if (parent !== null) parents.set(Number(name), parent);
  }
  const found = [root];
  for (const above of found) {
    for (const [pid, parent] of parents) if (parent === above) found.push(pid);
  }
  return found.slice(1);
}

function parentOf(pid: string): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return null;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
