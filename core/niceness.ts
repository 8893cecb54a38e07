/** Threads that hardly a request waits for give way to those that are waited for, where cores are scarce. */
import { getPriority, setPriority } from "node:os";

/**
 * What such a thread takes, as of a process: among them the index, the trail, and what a sign-in writes. Those that are waited for take no
 * lock that such a thread holds for longer than a moment, and it still gets a third of a core that another wants whole.
 */
export const patientNiceness = 5;

/**
 * Makes the thread that calls this one give way: itself only, and never less than it does already. Only Linux knows a niceness of threads;
 * elsewhere the process would have it, so nothing is done. Where it is refused, the thread works like any other.
 */
export function giveWay(niceness: number): void {
  if (process.platform !== "linux") return;
  try {
    if (getPriority() < niceness) setPriority(niceness);
  } catch {
    // It is a courtesy.
  }
}
