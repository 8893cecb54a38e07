/**
 * Copies partitions from one storage to another, row for row and record for record, and reads both again to compare. A copy that was
 * interrupted goes on: what is there must be a part of what is copied, or nothing is changed.
 */
import { createHash } from "node:crypto";
import { encodeHex, equalBytes, uintBytes } from "../../core/formats/encoding.ts";
import type {
  Commit,
  Partition,
  PartitionShape,
  Reader,
  StorageDriver,
} from "../../core/storage.ts";

/** What was copied of one partition. */
export interface CopiedPartition {
  readonly name: string;
  /** Rows of its tables and records of its streams. */
  readonly rows: number;
  /** SHA-256 over every table, stream, key and value in order, the same on both sides. */
  readonly sha256: string;
}

/** The target holds something that is not in the source. */
export class NotACopy extends Error {
  override readonly name = "NotACopy";
}

/** What is read at once, and what one commit may carry. */
const pageRows = 512;
const commitBytes = 8 * 1024 * 1024;

/**
 * Copies one partition. Both sides are opened for writing, so that nobody else can write meanwhile.
 *
 * @throws {NotACopy} and then the target is as it was.
 */
export async function copyPartition(
  from: StorageDriver,
  to: StorageDriver,
  { name, shape }: { readonly name: string; readonly shape: PartitionShape },
): Promise<CopiedPartition> {
  await using source = await from.open(name, shape);
  await makeIfMissing(to, name, shape);
  await using target = await to.open(name, shape);
  for (const table of shape.tables) await refuseForeignRows(source, target, { name, table });
  for (const stream of shape.streams) await refuseForeignRecords(source, target, { name, stream });
  const writes = new Gathering(target);
  for (const table of shape.tables) {
    for await (const { key, value } of rowsOf(source, table)) {
      await writes.add({ writes: [{ table, key, value }] }, key.length + value.length);
    }
  }
  for (const stream of shape.streams) {
    const after = await lengthOf(target, stream);
    for await (const { value } of recordsOf(source, stream, after)) {
      await writes.add({ appends: [{ stream, value }] }, value.length);
    }
  }
  await writes.end();
  const [here, there] = [await digest(source, shape), await digest(target, shape)];
  if (here.sha256 !== there.sha256) {
    throw new Error(`partition "${name}" does not read back as it was copied`);
  }
  return { name, ...here };
}

async function makeIfMissing(
  to: StorageDriver,
  name: string,
  shape: PartitionShape,
): Promise<void> {
  try {
    await to.create(name, shape);
  } catch (thrown) {
    // Whether it is what an interrupted copy left is seen from its content.
    if (!(thrown instanceof Error && /exists already/.test(thrown.message))) throw thrown;
  }
}

async function refuseForeignRows(
  source: Reader,
  target: Reader,
  { name, table }: { readonly name: string; readonly table: string },
): Promise<void> {
  for await (const { key, value } of rowsOf(target, table)) {
    const own = await source.get(table, key);
    if (own !== null && equalBytes(own, value)) continue;
    throw new NotACopy(
      `partition "${name}" exists there, and its table ${table} holds a row that is not here; empty the target first`,
    );
  }
}

async function refuseForeignRecords(
  source: Reader,
  target: Reader,
  { name, stream }: { readonly name: string; readonly stream: string },
): Promise<void> {
  const own = recordsOf(source, stream, 0n);
  for await (const { value } of recordsOf(target, stream, 0n)) {
    const next = await own.next();
    if (next.done !== true && equalBytes(next.value.value, value)) continue;
    throw new NotACopy(
      `partition "${name}" exists there, and its stream ${stream} is not the beginning of the one here; empty the target first`,
    );
  }
}

/** Small commits gathered into larger ones. */
class Gathering {
  readonly #target: Partition;
  #writes: NonNullable<Commit["writes"]>[number][] = [];
  #appends: NonNullable<Commit["appends"]>[number][] = [];
  #bytes = 0;

  constructor(target: Partition) {
    this.#target = target;
  }

  async add({ writes = [], appends = [] }: Commit, bytes: number): Promise<void> {
    this.#writes.push(...writes);
    this.#appends.push(...appends);
    this.#bytes += bytes;
    if (this.#bytes > commitBytes) await this.end();
  }

  async end(): Promise<void> {
    if (this.#writes.length === 0 && this.#appends.length === 0) return;
    await this.#target.commit({ writes: this.#writes, appends: this.#appends });
    [this.#writes, this.#appends, this.#bytes] = [[], [], 0];
  }
}

async function* rowsOf(reader: Reader, table: string) {
  let from: Uint8Array | undefined;
  for (;;) {
    const rows = await reader.scan(table, { limit: pageRows, ...(from && { from }) });
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageRows) return;
    // The key after a key is the key with a zero byte behind it.
    from = new Uint8Array([...last.key, 0]);
  }
}

async function* recordsOf(reader: Reader, stream: string, after: bigint) {
  let at = after;
  for (;;) {
    const records = await reader.read(stream, at, pageRows);
    yield* records;
    at += BigInt(records.length);
    if (records.length < pageRows) return;
  }
}

async function lengthOf(reader: Reader, stream: string): Promise<bigint> {
  let length = 0n;
  for await (const { sequence } of recordsOf(reader, stream, 0n)) length = sequence;
  return length;
}

async function digest(
  reader: Reader,
  { tables, streams }: PartitionShape,
): Promise<{ readonly rows: number; readonly sha256: string }> {
  const sha256 = createHash("sha256");
  let rows = 0;
  const take = (key: Uint8Array, value: Uint8Array) => {
    sha256.update(uintBytes(key.length, 4)).update(key);
    sha256.update(uintBytes(value.length, 4)).update(value);
    rows++;
  };
  for (const table of tables.toSorted()) {
    sha256.update(`table ${table}\n`);
    for await (const { key, value } of rowsOf(reader, table)) take(key, value);
  }
  for (const stream of streams.toSorted()) {
    sha256.update(`stream ${stream}\n`);
    for await (const { sequence, value } of recordsOf(reader, stream, 0n)) {
      take(uintBytes(sequence, 8), value);
    }
  }
  return { rows, sha256: encodeHex(sha256.digest()) };
}
