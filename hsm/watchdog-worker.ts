/** The thread that waits for the main thread's beats. A kill from outside the hanging thread is the only way to end it. */
import { workerData } from "node:worker_threads";

// Written by watchdog.ts, which starts this file and nothing else does.
const { beats, limitMs } = workerData as { readonly beats: Int32Array; readonly limitMs: number };

while (Atomics.wait(beats, 0, Atomics.load(beats, 0), limitMs) !== "timed-out") {
  // A beat came in time.
}
process.kill(process.pid, "SIGKILL");
