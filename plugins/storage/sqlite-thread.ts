/**
 * A thread that writes partitions and moves write-ahead logs into their files, one order after the other, each answered when it is done.
 * What fails concerns the partition it was for: the others of the thread do not learn of it.
 */
import { flushCompileCache } from "node:module";
import { parentPort } from "node:worker_threads";
import type { Group, GroupOutcome } from "./group.ts";
import { Checkpointer, type CheckpointDone, type CheckpointOrder } from "./sqlite-checkpointer.ts";
import { SqliteWriter, type WriterStart } from "./sqlite-writer.ts";

/** What the thread is told. Partitions are known by the paths of their files. */
export type ThreadOrder =
  | { readonly open: WriterStart }
  | { readonly write: Group; readonly path: string }
  | { readonly close: string }
  | { readonly checkpoint: CheckpointOrder };

/** What came of an order; answers come in the order of the orders. */
export type ThreadAnswer =
  | { readonly done: true }
  | { readonly written: GroupOutcome }
  | { readonly moved: CheckpointDone }
  | { readonly error: string };

function run(port: NonNullable<typeof parentPort>): void {
  const desk = new Desk();
  port.on("message", (order: ThreadOrder) => {
    port.postMessage(desk.answer(order));
  });
  // So that the next thread of this kind, in the very first run too, finds it compiled and loads no compiler.
  flushCompileCache();
}

class Desk {
  readonly #writers = new Map<string, SqliteWriter>();
  readonly #checkpointer = new Checkpointer();

  answer(order: ThreadOrder): ThreadAnswer {
    try {
      return this.#perform(order);
    } catch (thrown) {
      return { error: thrown instanceof Error ? thrown.message : String(thrown) };
    }
  }

  #perform(order: ThreadOrder): ThreadAnswer {
    if ("write" in order) return { written: this.#write(order) };
    if ("checkpoint" in order) return { moved: this.#checkpointer.perform(order.checkpoint) };
    if ("open" in order) {
      // Opened before the answer, so that a wrong setting or a held lock fails the open and not the first commit.
      this.#writers.set(order.open.path, new SqliteWriter(order.open));
      return { done: true };
    }
    const writer = this.#writers.get(order.close);
    this.#writers.delete(order.close);
    writer?.[Symbol.dispose]();
    return { done: true };
  }

  #write({ write, path }: Extract<ThreadOrder, { readonly write: Group }>): GroupOutcome {
    const writer = this.#writers.get(path);
    if (writer === undefined) return { unknown: "the partition is not open" };
    const outcome = writer.write(write);
    // Given back now: this thread makes so little garbage that collecting it would leave megabytes of groups behind.
    write.bytes.buffer.transfer(0);
    write.layout.buffer.transfer(0);
    return outcome;
  }
}

// Last, because the class above must exist by then.
if (parentPort !== null) run(parentPort);
