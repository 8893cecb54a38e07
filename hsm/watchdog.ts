/**
 * Ends the process when its main thread hangs, as it does when a synchronous call into the HSM never returns. The supervisor then
 * starts a new vault, which finds the open intents and calls them unknown-signed.
 */
import { Worker } from "node:worker_threads";

/** Starts watching; disposing ends it. `limitMs` is the longest the main thread may be busy. */
export function watchForHang(limitMs: number): Disposable {
  const beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const worker = new Worker(new URL("./watchdog-worker.ts", import.meta.url), {
    workerData: { beats, limitMs },
  });
  worker.unref();
  const timer = setInterval(() => {
    Atomics.add(beats, 0, 1);
    Atomics.notify(beats, 0);
  }, limitMs / 4);
  timer.unref();
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      void worker.terminate();
    },
  };
}
