/**
 * Makes durable what was written to a file, on another thread, so that the vault signs one batch while the next one's intents go to
 * the disk. One fdatasync is under way at a time: whoever asks meanwhile shares the next one, which begins after what they wrote.
 */
import { closeSync, fdatasync, openSync } from "node:fs";

/** Syncs one file. */
export interface Syncing extends Disposable {
  /**
   * Resolves when everything that was written before this call is on the disk. Once it has rejected, it always does: after a failed
   * fdatasync nobody knows what is on the disk, and the kernel reports it once only.
   */
  readonly sync: () => Promise<void>;
}

/** Opens a file for syncing what others write to it. */
export function syncFile(path: string): Syncing {
  const descriptor = openSync(path, "r");
  const syncs = new Syncs(
    async () =>
      await new Promise((resolve, reject) => {
        fdatasync(descriptor, (error) => (error ? reject(error) : resolve()));
      }),
  );
  return {
    sync: async () => await syncs.sync(),
    [Symbol.dispose]: () => closeSync(descriptor),
  };
}

/** Turns of a sync that takes long. */
export class Syncs {
  readonly #run: () => Promise<void>;
  #running: Promise<void> | null = null;
  /** The turn after the one that runs: it has not begun, so it covers whatever is written until then. */
  #next: Promise<void> | null = null;

  constructor(run: () => Promise<void>) {
    this.#run = run;
  }

  /** As {@link Syncing.sync}. */
  async sync(): Promise<void> {
    if (this.#running === null) {
      this.#running = this.#turn();
      await this.#running;
      return;
    }
    this.#next ??= this.#after(this.#running);
    await this.#next;
  }

  async #after(running: Promise<void>): Promise<void> {
    // Rejects with it, and for everybody after: #running is only replaced by a turn that follows one which went well.
    await running;
    this.#next = null;
    this.#running = this.#turn();
    await this.#running;
  }

  async #turn(): Promise<void> {
    await this.#run();
    if (this.#next === null) this.#running = null;
  }
}
