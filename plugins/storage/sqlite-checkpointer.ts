/** What moves write-ahead logs into their files, over connections of its own. PASSIVE: it waits for no lock, and nobody waits for one of its. */
import type { DatabaseSync } from "node:sqlite";
import { openCheckpointing, walMeter } from "./sqlite-file.ts";

/** A partition to checkpoint, or one that will be closed. */
export interface CheckpointOrder {
  readonly path: string;
  readonly name: string;
  readonly close?: true;
}

/** What came of it. */
export interface CheckpointDone {
  /** True if the whole write-ahead log has reached the file. */
  readonly emptied: boolean;
}

/** Its connections, each opened when it is first needed. */
export class Checkpointer {
  readonly #databases = new Map<string, DatabaseSync>();

  /** Moves what there is, or lets go of the file. */
  perform(order: CheckpointOrder): CheckpointDone {
    const { path, name } = order;
    try {
      if (order.close) {
        this.#databases.get(path)?.close();
        this.#databases.delete(path);
        return { emptied: false };
      }
      const database = this.#databases.get(path) ?? openCheckpointing(path, name);
      this.#databases.set(path, database);
      return { emptied: walMeter(database, "PASSIVE")().emptied };
    } catch {
      // The log grows to its hard bound, where commits wait, and this is tried until it succeeds.
      return { emptied: false };
    }
  }
}
