/**
 * A thread that writes partitions and moves write-ahead logs into their files, one after the other. Groups of commits lie in shared memory
 * and are answered there; everything else is an order, answered in the order of the orders. What fails concerns the partition it was for:
 * the others of the thread do not learn of it.
 */
import { flushCompileCache } from "node:module";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { giveWay } from "../../core/niceness.ts";
import { Bell } from "./bell.ts";
import { Slate } from "./slate.ts";
import { Checkpointer, type CheckpointDone, type CheckpointOrder } from "./sqlite-checkpointer.ts";
import { SqliteWriter, type WriterStart } from "./sqlite-writer.ts";

/** What the thread is started with. */
export interface ThreadStart {
  readonly bell: SharedArrayBuffer;
  /** Its own, as of a process; 0 leaves it what it is. */
  readonly niceness: number;
}

/** What the thread is told. Partitions are known by the paths of their files. */
export type ThreadOrder =
  | { readonly open: WriterStart }
  /** From now on the partition's groups are found there. */
  | { readonly slate: SharedArrayBuffer; readonly path: string }
  | { readonly close: string }
  | { readonly checkpoint: CheckpointOrder };

/** What came of an order; answers come in the order of the orders. */
export type ThreadAnswer =
  { readonly done: true } | { readonly moved: CheckpointDone } | { readonly error: string };

/** Instead of an answer: look at the slates. */
export const slatesAnswered = "slates";

function run(port: NonNullable<typeof parentPort>, start: ThreadStart): void {
  const desk = new Desk();
  const bell = new Bell(start.bell);
  giveWay(start.niceness);
  // So that the next thread of this kind, in the very first run too, finds it compiled and loads no compiler.
  flushCompileCache();
  for (;;) {
    const { rings } = bell;
    for (let sent = receiveMessageOnPort(port); sent; sent = receiveMessageOnPort(port)) {
      port.postMessage(desk.answer(sent.message as ThreadOrder));
    }
    desk.writeAll(() => {
      if (bell.owe()) port.postMessage(slatesAnswered);
    });
    bell.waitAfter(rings);
  }
}

class Desk {
  readonly #open = new Map<string, { writer: SqliteWriter; slate: Slate | null }>();
  readonly #checkpointer = new Checkpointer();

  answer(order: ThreadOrder): ThreadAnswer {
    try {
      return this.#perform(order);
    } catch (thrown) {
      return { error: thrown instanceof Error ? thrown.message : String(thrown) };
    }
  }

  /** Writes every group there is. */
  writeAll(answered: () => void): void {
    for (const { writer, slate } of this.#open.values()) {
      if (slate?.isPut !== true) continue;
      slate.answer(writer.write(slate.commits()));
      answered();
    }
  }

  #perform(order: ThreadOrder): ThreadAnswer {
    if ("checkpoint" in order) return { moved: this.#checkpointer.perform(order.checkpoint) };
    if ("open" in order) {
      // Opened before the answer, so that a wrong setting or a held lock fails the open and not the first commit.
      this.#open.set(order.open.path, { writer: new SqliteWriter(order.open), slate: null });
    } else if ("slate" in order) {
      const opened = this.#open.get(order.path);
      if (opened === undefined) throw new Error("the partition is not open");
      opened.slate = new Slate(order.slate);
    } else {
      const opened = this.#open.get(order.close);
      this.#open.delete(order.close);
      opened?.writer[Symbol.dispose]();
    }
    return { done: true };
  }
}

// Last, because the class above must exist by then.
if (parentPort !== null) run(parentPort, workerData as ThreadStart);
