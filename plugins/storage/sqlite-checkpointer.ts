/**
 * The thread that moves write-ahead logs into their files, so that the writing threads never do. PASSIVE: it waits for nobody and
 * nobody waits for it.
 */
import { flushCompileCache } from "node:module";
import type { DatabaseSync } from "node:sqlite";
import { parentPort } from "node:worker_threads";
import { openCheckpointing, walMeter } from "./sqlite-file.ts";

/** A partition to checkpoint, or one that will be closed. */
export interface CheckpointOrder {
  readonly path: string;
  readonly name: string;
  readonly close?: true;
}

/** What came of it. */
export interface CheckpointDone {
  readonly path: string;
  /** True if the whole write-ahead log has reached the file. */
  readonly emptied: boolean;
  readonly closed?: true;
  readonly error?: string;
}

if (parentPort !== null) run(parentPort);

function run(port: NonNullable<typeof parentPort>): void {
  const databases = new Map<string, DatabaseSync>();
  port.on("message", (order: CheckpointOrder) => {
    port.postMessage(perform(databases, order));
  });
  flushCompileCache();
}

function perform(databases: Map<string, DatabaseSync>, order: CheckpointOrder): CheckpointDone {
  const { path, name } = order;
  try {
    if (order.close) {
      databases.get(path)?.close();
      databases.delete(path);
      return { path, emptied: false, closed: true };
    }
    const database = databases.get(path) ?? openCheckpointing(path, name);
    databases.set(path, database);
    return { path, emptied: walMeter(database, "PASSIVE")().emptied };
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown.message : String(thrown);
    return { path, emptied: false, error, ...(order.close ? { closed: true } : {}) };
  }
}
