/** Calls into the index's thread, which is started again if it ends. */
import { Worker } from "node:worker_threads";
import type { Calls, Call, Result } from "./thread.ts";

/** The index cannot be asked just now, or has just been thrown away. */
export class IndexUnavailable extends Error {
  override readonly name = "IndexUnavailable";
  /** True if it is made anew. */
  readonly isDamage: boolean;

  constructor({ message, isDamage }: NonNullable<Result["error"]>) {
    super(message);
    this.isDamage = isDamage;
  }
}

/** Searches that may wait; the follower, which has one call at a time, is let in always. */
const maxWaiting = 512;
const searches: readonly (keyof Calls)[] = ["find", "count"];

/**
 * What a thread may have of memory besides its buffers. What it makes of an entry is soon garbage: a young generation as large as that of
 * the thread that answers requests would only take longer to fill.
 */
const threadLimits = { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 6 };

/** The thread. */
export class IndexThread implements AsyncDisposable {
  readonly #path: string;
  readonly #waiting = new Map<number, (result: Result) => void>();
  #worker: Worker | null = null;
  #lastId = 0;
  #isClosed = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws {IndexUnavailable} */
  async call<Name extends keyof Calls>(
    name: Name,
    of: Parameters<Calls[Name]>[0],
  ): Promise<Awaited<ReturnType<Calls[Name]>>> {
    if (this.#isClosed) throw new IndexUnavailable({ message: "stopped", isDamage: false });
    if (searches.includes(name) && this.#waiting.size >= maxWaiting) {
      throw new IndexUnavailable({ message: "too many searches at once", isDamage: false });
    }
    const worker = (this.#worker ??= this.#start());
    const id = ++this.#lastId;
    const result = await new Promise<Result>((resolve) => {
      this.#waiting.set(id, resolve);
      worker.postMessage({ id, name, of } satisfies Call);
    });
    if (result.error) throw new IndexUnavailable(result.error);
    return result.value as Awaited<ReturnType<Calls[Name]>>; // what the thread's method of this name gave
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    // Dying in a transaction is nothing to SQLite, and what was not written is read from the log again.
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL("./thread.ts", import.meta.url), {
      name: "search index",
      workerData: { path: this.#path },
      resourceLimits: threadLimits,
    });
    let reason = "the thread of the index ended";
    worker.unref();
    worker.on("message", (result: Result) => {
      this.#waiting.get(result.id)?.(result);
      this.#waiting.delete(result.id);
    });
    worker.on("error", (error) => {
      if (error instanceof Error) reason = error.message;
    });
    worker.on("exit", () => {
      this.#worker = null;
      for (const [id, resolve] of this.#waiting) {
        resolve({ id, error: { message: reason, isDamage: false } });
      }
      this.#waiting.clear();
    });
    return worker;
  }
}
