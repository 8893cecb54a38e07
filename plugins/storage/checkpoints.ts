/** When write-ahead logs are moved into their files, and when commits have to wait for it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { CheckpointDone, CheckpointOrder } from "./sqlite-checkpointer.ts";
import type { Threads, WritingThread } from "./threads.ts";

/** How long a failed or partial attempt is given before the next, while commits wait. */
const retryMs = 20;

interface Wal {
  bytes: number;
  running: boolean;
  /** Called when commits may go on; only while they wait. */
  resume: (() => void) | null;
}

/** The write-ahead logs of one driver's partitions. */
export class Checkpoints {
  readonly #softBytes: number;
  readonly #hardBytes: number;
  readonly #wals = new Map<string, Wal>();
  readonly #threads: Threads;
  /** The thread that has a connection to the file. */
  readonly #moving = new Map<string, WritingThread>();

  constructor(
    threads: Threads,
    bounds: { readonly walSoftBytes: number; readonly walHardBytes: number },
  ) {
    this.#threads = threads;
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
    const thread = this.#moving.get(path);
    if (thread === undefined) return;
    await this.#order(thread, { path, name, close: true });
    this.#moving.delete(path);
    await thread.release(path);
  }

  /** Once in the background; as long as commits wait, until the log is empty. */
  async #move(path: string, name: string, wal: Wal): Promise<void> {
    while (this.#wals.has(path)) {
      const { emptied } = await this.#order(this.#threadFor(path), { path, name });
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

  #threadFor(path: string): WritingThread {
    const known = this.#moving.get(path);
    if (known !== undefined && !known.hasEnded) return known;
    const thread = this.#threads.hold(path, true);
    this.#moving.set(path, thread);
    return thread;
  }

  /** Where the thread has died, nothing was moved: the logs grow to the hard bound, and the next order starts another thread. */
  async #order(thread: WritingThread, order: CheckpointOrder): Promise<CheckpointDone> {
    return await thread.checkpoint(order).catch(() => ({ emptied: false }));
  }
}
