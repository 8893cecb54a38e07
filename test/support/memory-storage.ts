/**
 * A StorageDriver in memory that keeps the whole contract and complains when a caller breaks it: bounds and shapes are checked,
 * bytes are copied in and out, one writer at a time, commits resolve later and in order. What was committed outlives a partition,
 * not the driver.
 */
import {
  Conflict,
  MissingPartition,
  type Commit,
  type Committed,
  type Partition,
  type PartitionShape,
  type Range,
  type Reader,
  type Record,
  type Row,
  type StorageDriver,
} from "../../core/storage.ts";
import {
  checkCommit,
  checkLimit,
  checkPartitionName,
  checkShape,
  checkTable,
  shapeText,
} from "../../plugins/storage/bounds.ts";

/** A driver whose partitions live as long as it does. */
export function memoryStorage(): StorageDriver {
  const partitions = new Map<string, Contents>();
  const open = new Set<string>();

  return {
    async create(name, shape) {
      checkPartitionName(name);
      checkShape(shape);
      if (partitions.has(name)) throw new Error(`partition "${name}" exists already`);
      partitions.set(name, new Contents(shape));
    },
    async open(name, shape) {
      const contents = find(partitions, name);
      if (shapeText(shape) !== shapeText(contents.shape)) {
        throw new Error(`partition "${name}" has another shape: ${shapeText(contents.shape)}`);
      }
      if (open.has(name)) throw new Error(`partition "${name}" is open for writing already`);
      open.add(name);
      return new MemoryPartition(contents, () => open.delete(name));
    },
    async openReader(name) {
      return new MemoryReader(find(partitions, name));
    },
    async [Symbol.asyncDispose]() {
      open.clear();
    },
  };
}

function find(partitions: ReadonlyMap<string, Contents>, name: string): Contents {
  const contents = partitions.get(name);
  if (contents === undefined) throw new MissingPartition(`partition "${name}" does not exist`);
  return contents;
}

/** Keys as strings of one character a byte, which JavaScript orders as unsigned bytes. */
class Table {
  readonly rows = new Map<string, Uint8Array>();
  #sorted: string[] | null = [];

  set(key: string, value: Uint8Array): void {
    if (!this.rows.has(key) && this.#sorted !== null) {
      const last = this.#sorted.at(-1);
      if (last === undefined || last < key) this.#sorted.push(key);
      else this.#sorted = null;
    }
    this.rows.set(key, value.slice());
  }

  delete(key: string): void {
    if (this.rows.delete(key)) this.#sorted = null;
  }

  keys(): readonly string[] {
    this.#sorted ??= [...this.rows.keys()].toSorted((a, b) => (a < b ? -1 : 1));
    return this.#sorted;
  }
}

class Contents {
  readonly shape: PartitionShape;
  readonly tables: ReadonlyMap<string, Table>;
  readonly streams: ReadonlyMap<string, Uint8Array[]>;

  constructor(shape: PartitionShape) {
    this.shape = shape;
    this.tables = new Map(shape.tables.map((name) => [name, new Table()]));
    this.streams = new Map(shape.streams.map((name) => [name, []]));
  }

  table(name: string): Table {
    checkTable(this.shape.tables, name);
    return this.tables.get(name) ?? new Table();
  }

  stream(name: string): Uint8Array[] {
    const stream = this.streams.get(name);
    if (stream === undefined) throw new TypeError(`storage: there is no stream "${name}"`);
    return stream;
  }

  apply(commit: Commit): Committed {
    for (const expectation of commit.expect ?? []) {
      const { table, key, value } = expectation;
      const found = this.table(table).rows.get(text(key)) ?? null;
      const same = found === null || value === null ? found === value : text(found) === text(value);
      if (!same) throw new Conflict(expectation);
    }
    for (const { table, key, value } of commit.writes ?? []) {
      if (value === null) this.table(table).delete(text(key));
      else this.table(table).set(text(key), value);
    }
    const sequences = (commit.appends ?? []).map(({ stream, value }) =>
      BigInt(this.stream(stream).push(value.slice())),
    );
    return { sequences };
  }
}

class MemoryReader implements Reader {
  protected readonly contents: Contents;
  protected closed = false;

  constructor(contents: Contents) {
    this.contents = contents;
  }

  async get(table: string, key: Uint8Array): Promise<Uint8Array | null> {
    this.checkOpen();
    return this.contents.table(table).rows.get(text(key))?.slice() ?? null;
  }

  async scan(table: string, range: Range): Promise<readonly Row[]> {
    this.checkOpen();
    checkLimit(range);
    const { rows } = this.contents.table(table);
    const keys = this.contents.table(table).keys();
    const from = range.from === undefined ? 0 : lowerBound(keys, text(range.from));
    const to = range.to === undefined ? keys.length : lowerBound(keys, text(range.to));
    const found = range.reverse
      ? keys.slice(Math.max(from, to - range.limit), Math.max(from, to)).toReversed()
      : keys.slice(from, Math.min(to, from + range.limit));
    return found.map((key) => ({
      key: bytes(key),
      value: rows.get(key)?.slice() ?? new Uint8Array(0),
    }));
  }

  async read(stream: string, after: bigint, limit: number): Promise<readonly Record[]> {
    this.checkOpen();
    checkLimit({ limit });
    const first = Number(after);
    return this.contents
      .stream(stream)
      .slice(first, first + limit)
      .map((value, at) => ({ sequence: after + BigInt(at) + 1n, value: value.slice() }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true;
  }

  protected checkOpen(): void {
    if (this.closed) throw new Error("the partition is closed");
  }
}

class MemoryPartition extends MemoryReader implements Partition {
  readonly #release: () => void;
  #last: Promise<unknown> = Promise.resolve();

  constructor(contents: Contents, release: () => void) {
    super(contents);
    this.#release = release;
  }

  async commit(commit: Commit): Promise<Committed> {
    this.checkOpen();
    checkCommit(this.contents.shape, commit);
    const copy = structuredClone(commit);
    // Not in this tick: a caller that does not wait for its commit must not find it done.
    const turn = this.#last.then(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return this.contents.apply(copy);
    });
    this.#last = turn.catch(() => undefined);
    return await turn;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.#last;
    this.#release();
  }
}

function lowerBound(keys: readonly string[], bound: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? "") < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

function text(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

function bytes(key: string): Uint8Array {
  return new Uint8Array(Buffer.from(key, "latin1"));
}
