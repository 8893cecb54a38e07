/** When write-ahead logs are moved into their files, and when commits have to wait for it. */
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { CheckpointDone, CheckpointOrder } from "./sqlite-checkpointer.ts";

/** How long a failed or partial attempt is given before the next, while commits wait. */
const retryMs = 20;

interface Wal {
  bytes: number;
  running: boolean;
  /** Called when commits may go on; only while they wait. */
  resume: (() => void) | null;
}

/** The write-ahead logs of one driver's partitions. The thread is started when it is first needed. */
export class Checkpoints implements AsyncDisposable {
  readonly #softBytes: number;
  readonly #hardBytes: number;
  readonly #wals = new Map<string, Wal>();
  readonly #waiting = new Map<string, ((done: CheckpointDone) => void)[]>();
  #worker: Worker | null = null;

  constructor(bounds: { readonly walSoftBytes: number; readonly walHardBytes: number }) {
    this.#softBytes = bounds.walSoftBytes;
    this.#hardBytes = bounds.walHardBytes;
  }

  /** True if a transaction may start; else `resume` is called when it may. */
  admits(path: string, resume: () => void): boolean {
    const wal = this.#wals.get(path);
    if (wal === undefined || wal.bytes < this.#hardBytes) return true;
    wal.resume = resume;
    return false;
  }

  /** Told after each transaction how large the log is. */
  grown(path: string, name: string, bytes: number): void {
    const wal = this.#wals.get(path) ?? { bytes: 0, running: false, resume: null };
    this.#wals.set(path, wal);
    wal.bytes = bytes;
    if (bytes < this.#softBytes || wal.running) return;
    wal.running = true;
    void this.#move(path, name, wal);
  }

  /** Lets go of the file, so that its writer is the last to close it. */
  async close(path: string, name: string): Promise<void> {
    this.#wals.delete(path);
    if (this.#worker !== null) await this.#order({ path, name, close: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = null;
  }

  /** Once in the background; as long as commits wait, until the log is empty. */
  async #move(path: string, name: string, wal: Wal): Promise<void> {
    for (;;) {
      const { emptied } = await this.#order({ path, name });
      // Only a pause lets the log become empty: otherwise the writer has added to it meanwhile.
      if (emptied || !this.#wals.has(path)) wal.bytes = 0;
      if (wal.bytes < this.#hardBytes) break;
      await sleep(retryMs);
    }
    wal.running = false;
    const { resume } = wal;
    wal.resume = null;
    resume?.();
  }

  async #order(order: CheckpointOrder): Promise<CheckpointDone> {
    const worker = (this.#worker ??= this.#start());
    return await new Promise((resolve) => {
      this.#waiting.set(order.path, [...(this.#waiting.get(order.path) ?? []), resolve]);
      worker.postMessage(order);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("./sqlite-checkpointer.ts", import.meta.url), {
      name: "storage checkpoints",
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    worker.unref();
    worker.on("message", (done: CheckpointDone) => {
      const [first, ...rest] = this.#waiting.get(done.path) ?? [];
      this.#waiting.set(done.path, rest);
      first?.(done);
    });
    // Without it the logs grow to the hard bound, where commits wait: the next order starts a new thread.
    worker.on("error", () => undefined);
    worker.on("exit", () => {
      this.#worker = null;
      for (const [path, waiting] of this.#waiting) {
        for (const resolve of waiting) resolve({ path, emptied: false, closed: true });
      }
      this.#waiting.clear();
    });
    return worker;
  }
}
