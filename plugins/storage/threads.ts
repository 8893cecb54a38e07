/**
 * The threads that write. Each costs some 10 MiB, whatever it does, so there are two and partitions share them. While one partition's
 * transaction is being synced, those beside it wait: so partitions that are patient have a thread of their own, which also does what takes
 * longest, moving write-ahead logs. The others share one. A certificate commits to two partitions, but to one after the other, and what
 * comes while one is synced is one group: a second thread for them brought neither more certificates nor earlier ones.
 */
import { Worker } from "node:worker_threads";
import { patientNiceness } from "../../core/niceness.ts";
import type { Commit } from "../../core/storage.ts";
import { Bell } from "./bell.ts";
import type { GroupOutcome, Slate } from "./slate.ts";
import type { CheckpointDone, CheckpointOrder } from "./sqlite-checkpointer.ts";
import type { slatesAnswered, ThreadAnswer, ThreadOrder, ThreadStart } from "./sqlite-thread.ts";
import type { WriterStart } from "./sqlite-writer.ts";

/** A thread that only writes needs no young generation to speak of. */
const threadLimits = { maxYoungGenerationSizeMb: 4 };

/** The threads of one driver. Each is started when it is first needed, and ends with the last that it works for. */
export class Threads implements AsyncDisposable {
  #hurried: WritingThread | null = null;
  #patient: WritingThread | null = null;

  /** The thread that is to work for `path`, which it does until that is released. */
  hold(path: string, isPatient: boolean): WritingThread {
    const thread = isPatient ? this.#patientThread() : this.#hurriedThread();
    thread.hold(path);
    return thread;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hurried?.[Symbol.asyncDispose]();
    await this.#patient?.[Symbol.asyncDispose]();
  }

  #patientThread(): WritingThread {
    if (this.#patient === null || this.#patient.hasEnded) {
      this.#patient = new WritingThread("storage, patient", patientNiceness);
    }
    return this.#patient;
  }

  #hurriedThread(): WritingThread {
    if (this.#hurried === null || this.#hurried.hasEnded) {
      this.#hurried = new WritingThread("storage");
    }
    return this.#hurried;
  }
}

interface Waiting {
  readonly resolve: (answer: ThreadAnswer) => void;
  readonly reject: (reason: Error) => void;
}

/** A group on its way. */
interface Writing {
  readonly slate: Slate;
  readonly commits: readonly Commit[];
  readonly resolve: (outcome: GroupOutcome) => void;
  readonly reject: (reason: Error) => void;
}

/** One thread. Every method rejects once it has died, and what was under way then is in doubt. */
export class WritingThread implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #bell = new Bell();
  readonly #held = new Map<string, number>();
  /** In the order of their orders, which is the order of the answers. */
  #waiting: Waiting[] = [];
  /** By partition: each has one group on its way at most. */
  readonly #writing = new Map<string, Writing>();
  /** Where the thread looks for a partition's groups. */
  readonly #slates = new Map<string, Slate>();
  #ended: Error | null = null;

  constructor(name: string, niceness = 0) {
    this.#worker = new Worker(new URL("./sqlite-thread.ts", import.meta.url), {
      name,
      resourceLimits: threadLimits,
      workerData: { bell: this.#bell.memory, niceness } satisfies ThreadStart,
    });
    this.#worker.on("message", (answer: ThreadAnswer | typeof slatesAnswered) => {
      if (typeof answer === "string") this.#readSlates();
      else this.#waiting.shift()?.resolve(answer);
    });
    this.#worker.on("error", (cause) => this.#end("the writing thread died", cause));
    this.#worker.on("exit", () => this.#end("the writing thread has ended"));
  }

  /** True if it does nothing more for anybody. */
  get hasEnded(): boolean {
    return this.#ended !== null;
  }

  /** Counts one who uses the thread for `path`. */
  hold(path: string): void {
    this.#held.set(path, (this.#held.get(path) ?? 0) + 1);
  }

  /** The thread ends when nobody uses it any more. */
  async release(path: string): Promise<void> {
    const left = (this.#held.get(path) ?? 1) - 1;
    if (left > 0) this.#held.set(path, left);
    else this.#held.delete(path);
    if (this.#held.size === 0) await this[Symbol.asyncDispose]();
  }

  /** Resolves when the lock is held and the settings are proven. */
  async open(start: WriterStart): Promise<void> {
    await this.#answer({ open: start });
  }

  /** Hands over what has been put on the slate to be one transaction; the partition has no other on its way. */
  async write(path: string, slate: Slate, commits: readonly Commit[]): Promise<GroupOutcome> {
    return await new Promise((resolve, reject) => {
      if (this.#ended !== null) {
        reject(this.#ended);
        return;
      }
      this.#writing.set(path, { slate, commits, resolve, reject });
      if (this.#slates.get(path) === slate) {
        this.#bell.ring();
        return;
      }
      this.#slates.set(path, slate);
      this.#answer({ slate: slate.memory, path }).catch((cause: unknown) => {
        this.#writing.delete(path);
        reject(new Error("storage: a group was not taken", { cause }));
      });
    });
  }

  /** Closes the partition and lets go of its lock. */
  async close(path: string): Promise<void> {
    this.#slates.delete(path);
    await this.#answer({ close: path });
  }

  /** Moves a write-ahead log, or lets go of its file. */
  async checkpoint(order: CheckpointOrder): Promise<CheckpointDone> {
    const answer = await this.#answer({ checkpoint: order });
    if ("moved" in answer) return answer.moved;
    throw new Error("storage: a checkpoint was not answered");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end("the writing thread has ended");
    // Nothing is open any more, or nobody is left who would close it: dying in a transaction is nothing to SQLite.
    await this.#worker.terminate();
  }

  async #answer(order: ThreadOrder): Promise<ThreadAnswer> {
    const answer = await new Promise<ThreadAnswer>((resolve, reject) => {
      if (this.#ended !== null) {
        reject(this.#ended);
        return;
      }
      this.#worker.postMessage(order);
      this.#waiting.push({ resolve, reject });
      this.#bell.ring();
    });
    if ("error" in answer) throw new Error(answer.error);
    return answer;
  }

  #readSlates(): void {
    this.#bell.told();
    for (const [path, { slate, commits, resolve }] of this.#writing) {
      const outcome = slate.takeOutcome(commits);
      if (outcome === null) continue;
      this.#writing.delete(path);
      resolve(outcome);
    }
  }

  #end(reason: string, cause?: unknown): void {
    this.#ended ??= new Error(reason, { cause });
    const lost = [...this.#waiting, ...this.#writing.values()];
    this.#waiting = [];
    this.#writing.clear();
    for (const { reject } of lost) reject(this.#ended);
  }
}
