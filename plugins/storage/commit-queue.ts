/** The calling thread's side of a writing thread: one group on its way at a time, the next one gathering meanwhile. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { Conflict, type Commit, type Committed, type PartitionShape } from "../../core/storage.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { packGroup, type CommitOutcome, type GroupOutcome } from "./group.ts";
import type { WriterOrder, WriterStart } from "./sqlite-writer.ts";

/** What one transaction may carry; more waits for the next. */
const maxGroupBytes = 32 * 1024 * 1024;
/** A thread that only writes needs no young generation to speak of. */
const threadLimits = { maxYoungGenerationSizeMb: 4 };

interface Waiting {
  readonly commit: Commit;
  readonly sizeBytes: number;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (reason: Error) => void;
}

/** Commits of one partition, in the order they are called. */
export class CommitQueue implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #shape: PartitionShape;
  readonly #path: string;
  readonly #name: string;
  readonly #checkpoints: Checkpoints;
  #gathering: Waiting[] = [];
  #sent: readonly Waiting[] = [];
  #scheduled = false;
  #failed: Error | null = null;
  #idle: (() => void) | null = null;

  /** Starts the thread and waits until it holds the lock and its settings are proven. */
  static async start(start: WriterStart, checkpoints: Checkpoints): Promise<CommitQueue> {
    const worker = new Worker(new URL("./sqlite-writer.ts", import.meta.url), {
      workerData: start,
      name: `storage ${start.name}`,
      resourceLimits: threadLimits,
    });
    try {
      // An error thrown while the thread starts arrives as the event "error", which rejects this.
      await once(worker, "message");
    } catch (thrown) {
      await worker.terminate();
      throw thrown;
    }
    return new CommitQueue(worker, start, checkpoints);
  }

  private constructor(worker: Worker, start: WriterStart, checkpoints: Checkpoints) {
    this.#worker = worker;
    this.#shape = start.shape;
    this.#path = start.path;
    this.#name = start.name;
    this.#checkpoints = checkpoints;
    worker.on("message", (outcome: GroupOutcome) => this.#settle(outcome));
    worker.on("error", (cause) => this.#fail("the writing thread died", cause));
    worker.on("exit", () => this.#fail("the writing thread has ended"));
  }

  /** See `Partition.commit`. */
  async commit(commit: Commit): Promise<Committed> {
    if (this.#failed !== null) throw this.#failed;
    return await new Promise((resolve, reject) => {
      this.#gathering.push({ commit, sizeBytes: sizeOf(commit), resolve, reject });
      this.#sendSoon();
    });
  }

  /** Writes what was called, then ends the thread. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#failed === null && this.#busy()) {
      await new Promise<void>((resolve) => (this.#idle = resolve));
    }
    this.#failed ??= new Error(`partition "${this.#name}" is closed`);
    await this.#checkpoints.close(this.#path, this.#name);
    if (this.#worker.threadId === -1) return;
    const ended = once(this.#worker, "exit");
    this.#worker.postMessage({ close: true } satisfies WriterOrder);
    await ended;
  }

  #busy(): boolean {
    return this.#sent.length > 0 || this.#gathering.length > 0;
  }

  /** At the end of this turn of the event loop, so that everything called in it is one transaction and one fsync. */
  #sendSoon(): void {
    if (this.#scheduled || this.#sent.length > 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    if (this.#sent.length > 0 || this.#gathering.length === 0 || this.#failed !== null) return;
    // The bound of the write-ahead log: nothing is written until it has been moved into the file.
    if (!this.#checkpoints.admits(this.#path, () => this.#send())) return;
    this.#sent = this.#takeGroup();
    const group = packGroup(
      this.#shape,
      this.#sent.map(({ commit }) => commit),
    );
    this.#worker.postMessage({ group } satisfies WriterOrder, [
      group.layout.buffer,
      group.bytes.buffer,
    ]);
  }

  #takeGroup(): readonly Waiting[] {
    let sizeBytes = 0;
    let taken = 0;
    for (const waiting of this.#gathering) {
      sizeBytes += waiting.sizeBytes;
      if (taken > 0 && sizeBytes > maxGroupBytes) break;
      taken++;
    }
    return this.#gathering.splice(0, taken);
  }

  #settle(outcome: GroupOutcome): void {
    if ("unknown" in outcome) {
      this.#fail(outcome.unknown);
      return;
    }
    const sent = this.#sent;
    this.#sent = [];
    this.#checkpoints.grown(this.#path, this.#name, outcome.walBytes);
    for (const [at, waiting] of sent.entries()) settleOne(waiting, outcome.outcomes[at]);
    // What those who waited commit next, in this turn, goes with what has gathered meanwhile.
    if (this.#gathering.length > 0) this.#sendSoon();
    if (!this.#busy()) this.#idle?.();
  }

  #fail(reason: string, cause?: unknown): void {
    this.#failed ??= new Error(
      `partition "${this.#name}": ${reason}; whether the last commits took place is unknown, restart to find out`,
      { cause },
    );
    const lost = [...this.#sent, ...this.#gathering];
    this.#sent = [];
    this.#gathering = [];
    for (const { reject } of lost) reject(this.#failed);
    this.#idle?.();
  }
}

function settleOne(waiting: Waiting, outcome: CommitOutcome | undefined): void {
  if (outcome === undefined) {
    waiting.reject(new Error("storage: a commit was not answered"));
    return;
  }
  if ("sequences" in outcome) {
    waiting.resolve({ sequences: outcome.sequences.map(BigInt) });
    return;
  }
  const expectation = waiting.commit.expect?.[outcome.conflict];
  waiting.reject(
    expectation === undefined
      ? new Error("storage: a conflict without its expectation")
      : new Conflict(expectation),
  );
}

function sizeOf({ expect = [], writes = [], appends = [] }: Commit): number {
  let size = 0;
  for (const { key, value } of expect) size += key.length + (value?.length ?? 0);
  for (const { key, value } of writes) size += key.length + (value?.length ?? 0);
  for (const { value } of appends) size += value.length;
  return size;
}
