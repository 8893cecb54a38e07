/**
 * The storage driver contract. A driver keeps partitions; a partition keeps ordered byte-key tables and append-only streams, and
 * changes them only by atomic, durable commits. Truth lives here and nowhere else: NATS may lose everything it holds.
 */

/** Sets a row, or deletes it when `value` is null. */
export interface Write {
  readonly table: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** A condition on a row as it is before the commit; null means that there is no such row. */
export interface Expectation {
  readonly table: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** A record for the end of a stream. */
export interface Append {
  readonly stream: string;
  readonly value: Uint8Array;
}

/** One atomic change. Keys are 1 to 256 bytes; values at most 8 MiB. */
export interface Commit {
  readonly writes?: readonly Write[];
  readonly appends?: readonly Append[];
  readonly expect?: readonly Expectation[];
}

/** What a commit gave. */
export interface Committed {
  /** Sequence numbers of `appends`, in order; each stream counts from 1 without gaps. */
  readonly sequences: readonly bigint[];
}

/** A row of a table. */
export interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Bounds of a scan: `from` inclusive, `to` exclusive, both optional; keys order as unsigned bytes. */
export interface Range {
  readonly from?: Uint8Array;
  readonly to?: Uint8Array;
  readonly limit: number;
  readonly reverse?: boolean;
}

/** A record of a stream. */
export interface Record {
  readonly sequence: bigint;
  readonly value: Uint8Array;
}

/** Reads committed state. A read that starts after a commit has resolved sees that commit. */
export interface Reader extends AsyncDisposable {
  get(table: string, key: Uint8Array): Promise<Uint8Array | null>;
  scan(table: string, range: Range): Promise<readonly Row[]>;
  /** Records with a sequence above `after`, oldest first. */
  read(stream: string, after: bigint, limit: number): Promise<readonly Record[]>;
}

/**
 * A partition: one writer at a time, enforced by the driver across processes where it can.
 *
 * The implementer guarantees that `commit` resolves only after the change is durable (fsync or a synchronous standby), that it is
 * all or nothing, that commits made concurrently take effect one after the other in the order they were called, and that a failed
 * expectation rejects with {@link Conflict} and changes nothing. A commit that breaks this contract (a table the shape does not
 * have, a key or value out of bounds) rejects with a TypeError and changes nothing. Any other rejection leaves the outcome unknown,
 * and the partition refuses everything after it: whoever wrote must be restarted and read back what is true.
 */
export interface Partition extends Reader {
  commit(commit: Commit): Promise<Committed>;
}

/** What a partition is made of, fixed when it is created. */
export interface PartitionShape {
  readonly tables: readonly string[];
  readonly streams: readonly string[];
  /** True if most of it will be values of a thousand bytes and more: a driver may lay it out for them when it is created. */
  readonly largeValues?: boolean;
  /** True if its commits may wait for other work of the driver's, for as long as a disk needs for some megabytes. */
  readonly patient?: boolean;
}

/** A place that keeps partitions. */
export interface StorageDriver extends AsyncDisposable {
  /**
   * Makes an empty, durable partition. Only genesis and ceremonies do this.
   *
   * @throws if it exists.
   */
  create(name: string, shape: PartitionShape): Promise<void>;
  /**
   * Opens a partition for writing.
   *
   * @throws {MissingPartition} if it does not exist: data that is expected but missing is never silently made anew.
   */
  open(name: string, shape: PartitionShape): Promise<Partition>;
  /** Opens a partition for reading only, beside its writer. @throws {MissingPartition} */
  openReader(name: string): Promise<Reader>;
  /**
   * Joins those of whom one at a time does the work called `name`. Absent where one process alone can reach the partitions anyhow.
   * Once the driver has joined, it opens partitions for writing only while the lease is its own.
   */
  lease?(name: string): Promise<Lease>;
}

/**
 * Whose turn it is, of several processes. It decides who works and not who may write: a holder that was paused does not know that it
 * is one no more, and it is the generation of each partition that keeps it from writing. Disposing gives the turn to the next at once.
 */
export interface Lease extends AsyncDisposable {
  /** Resolves with true when it is this process's turn, or with false when the signal aborts. */
  taken(signal: AbortSignal): Promise<boolean>;
  /** Rejects with {@link Superseded} when another has taken the turn, or when for long nobody could say whose it is. */
  readonly lost: Promise<never>;
}

/** An expectation did not hold. */
export class Conflict extends Error {
  override readonly name = "Conflict";
  /** The first expectation that failed. */
  readonly expectation: Expectation;

  constructor(expectation: Expectation) {
    super(`table "${expectation.table}": a row is not what the commit expected`);
    this.expectation = expectation;
  }
}

/** Storage that must exist does not. */
export class MissingPartition extends Error {
  override readonly name = "MissingPartition";
}

/** The storage as it is set up may lose what it acknowledges: an operator must see to it. */
export class UnsafeStorage extends Error {
  override readonly name = "UnsafeStorage";
}

/** The storage does not answer now; it may come back. */
export class StorageUnreachable extends Error {
  override readonly name = "StorageUnreachable";
}

/** Another process has taken over: this one must write no more, and start again to wait for its turn. */
export class Superseded extends Error {
  override readonly name = "Superseded";
}
