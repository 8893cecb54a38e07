/** A partition made of what reads it and what writes it. */
import type { Commit, Committed, Partition, PartitionShape, Reader } from "../../core/storage.ts";
import { checkCommit } from "./bounds.ts";

/** Commits of one partition, in the order they are called. */
export interface Writing extends AsyncDisposable {
  /** See `Partition.commit`; the commit is within bounds. */
  commit(commit: Commit): Promise<Committed>;
}

/** The partition. Closing it closes the reader first. */
export class ComposedPartition implements Partition {
  readonly #reader: Reader;
  readonly #writer: Writing;
  readonly #shape: PartitionShape;

  constructor(reader: Reader, writer: Writing, shape: PartitionShape) {
    this.#reader = reader;
    this.#writer = writer;
    this.#shape = shape;
  }

  async commit(commit: Commit): Promise<Committed> {
    checkCommit(this.#shape, commit);
    return await this.#writer.commit(commit);
  }

  async get(table: string, key: Uint8Array) {
    return await this.#reader.get(table, key);
  }

  async scan(...question: Parameters<Reader["scan"]>) {
    return await this.#reader.scan(...question);
  }

  async read(...question: Parameters<Reader["read"]>) {
    return await this.#reader.read(...question);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The writer last: in SQLite the last connection that closes empties the write-ahead log, and only a writing one can.
    await this.#reader[Symbol.asyncDispose]();
    await this.#writer[Symbol.asyncDispose]();
  }
}
