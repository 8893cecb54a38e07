/** The calling thread's side of writing one partition: one group on its way at a time, the next one gathering meanwhile. */
import { Conflict, type Commit, type Committed } from "../../core/storage.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { Slate, slateBytes, type CommitOutcome, type GroupOutcome } from "./slate.ts";
import type { WriterStart } from "./sqlite-writer.ts";
import type { Threads, WritingThread } from "./threads.ts";

/** What one transaction may carry; more waits for the next. */
const maxGroupBytes = 32 * 1024 * 1024;
/** Shared memory that a partition keeps for good. */
const keptSlateBytes = 1024 * 1024;
/**
 * A partition goes on with more after a large group, until so many in a row have been small. What is let go of stays until both threads
 * collect garbage, and they do not hurry for shared memory: one for each large group would leave gigabytes behind.
 */
const smallGroupsInARow = 1_000;

interface Waiting {
  readonly commit: Commit;
  readonly sizeBytes: number;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (reason: Error) => void;
}

/** Commits of one partition, in the order they are called. */
export class CommitQueue implements AsyncDisposable {
  readonly #thread: WritingThread;
  readonly #start: WriterStart;
  readonly #checkpoints: Checkpoints;
  #gathering: Waiting[] = [];
  #sent: readonly Waiting[] = [];
  #slate: Slate | null = null;
  /** Groups in a row that would have fitted a small slate, while there is a large one. */
  #small = 0;
  #scheduled = false;
  /** The last group was one commit: then nobody waits for the end of the turn, in which the caller may have much else to do. */
  #isLone = false;
  #failed: Error | null = null;
  #idle: (() => void) | null = null;
  #closing: Promise<void> | null = null;

  /** Has the partition opened by the thread that will write it. */
  static async open(
    start: WriterStart,
    threads: Threads,
    checkpoints: Checkpoints,
  ): Promise<CommitQueue> {
    const thread = threads.hold(start.path, start.shape.patient === true);
    try {
      await thread.open(start);
    } catch (thrown) {
      await thread.release(start.path);
      throw thrown;
    }
    return new CommitQueue(thread, start, checkpoints);
  }

  private constructor(thread: WritingThread, start: WriterStart, checkpoints: Checkpoints) {
    this.#thread = thread;
    this.#start = start;
    this.#checkpoints = checkpoints;
  }

  /** See `Partition.commit`. */
  async commit(commit: Commit): Promise<Committed> {
    if (this.#failed !== null) throw this.#failed;
    return await new Promise((resolve, reject) => {
      this.#gathering.push({ commit, sizeBytes: slateBytes(commit), resolve, reject });
      if (this.#isLone) this.#send();
      else this.#sendSoon();
    });
  }

  /** Writes what was called, then lets go of partition and thread; once, because another may have opened the partition since. */
  async [Symbol.asyncDispose](): Promise<void> {
    await (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    if (this.#failed === null && this.#busy()) {
      await new Promise<void>((resolve) => (this.#idle = resolve));
    }
    const { path, name } = this.#start;
    this.#failed ??= new Error(`partition "${name}" is closed`);
    await this.#checkpoints.close(path, name);
    if (!this.#thread.hasEnded) await this.#thread.close(path);
    await this.#thread.release(path);
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
    if (!this.#checkpoints.admits(this.#start.path, () => this.#send())) return;
    this.#sent = this.#takeGroup();
    this.#isLone = this.#sent.length === 1;
    const commits = this.#sent.map(({ commit }) => commit);
    try {
      const slate = this.#slateFor(this.#sent.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
      slate.put(this.#start.shape, commits);
      this.#thread.write(this.#start.path, slate, commits).then(
        (outcome) => this.#settle(outcome),
        (cause: unknown) => this.#fail(reasonOf(cause), cause),
      );
    } catch (thrown) {
      // There is no memory for it. Nobody else would tell those who wait.
      this.#fail(reasonOf(thrown), thrown);
    }
  }

  #slateFor(bytes: number): Slate {
    const slate = this.#slate;
    if (slate?.holds(bytes) === true) {
      const isWide = slate.memory.byteLength > keptSlateBytes && bytes < keptSlateBytes / 2;
      this.#small = isWide ? this.#small + 1 : 0;
      if (this.#small < smallGroupsInARow) return slate;
    }
    this.#small = 0;
    return (this.#slate = Slate.for(bytes));
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
    this.#checkpoints.grown(this.#start.path, this.#start.name, outcome.walBytes);
    for (const [at, waiting] of sent.entries()) settleOne(waiting, outcome.outcomes[at]);
    // What those who waited commit next, in this turn, goes with what has gathered meanwhile.
    if (this.#gathering.length > 0) this.#sendSoon();
    if (!this.#busy()) this.#idle?.();
  }

  #fail(reason: string, cause?: unknown): void {
    this.#failed ??= new Error(
      `partition "${this.#start.name}": ${reason}; whether the last commits took place is unknown, restart to find out`,
      { cause },
    );
    const lost = [...this.#sent, ...this.#gathering];
    this.#sent = [];
    this.#gathering = [];
    for (const { reject } of lost) reject(this.#failed);
    this.#idle?.();
  }
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
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
