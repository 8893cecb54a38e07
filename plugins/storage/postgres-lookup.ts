/** Single rows that many ask for at once: while one question is on its way the next ones gather, and go as one statement. */
import { cellName, readStatement } from "./postgres-group.ts";
import type { PartitionLayout } from "./postgres-layout.ts";
import { bytesOf, rowsOf } from "./postgres-query.ts";
import type { ReadingPool } from "./postgres-server.ts";

/** What one statement asks for; more waits for the next. */
const maxKeys = 1_000;

interface Waiting {
  readonly name: string;
  readonly key: Uint8Array;
  readonly resolve: (value: Uint8Array | null) => void;
  readonly reject: (reason: unknown) => void;
}

/** Questions for rows of one table. */
export class Lookup {
  readonly #pool: ReadingPool;
  readonly #layout: PartitionLayout;
  readonly #table: string;
  #gathering: Waiting[] = [];
  #isRunning = false;

  constructor(pool: ReadingPool, layout: PartitionLayout, table: string) {
    this.#pool = pool;
    this.#layout = layout;
    this.#table = table;
  }

  /** The row's value, as it is at some time after this was called. */
  async get(key: Uint8Array): Promise<Uint8Array | null> {
    return await new Promise((resolve, reject) => {
      const name = cellName(this.#table, key);
      this.#gathering.push({ name, key: key.slice(), resolve, reject });
      if (this.#isRunning) return;
      this.#isRunning = true;
      // At the end of this turn of the event loop: what is asked for in it goes together.
      setImmediate(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#gathering.length > 0) {
      const asked = this.#gathering.splice(0, maxKeys);
      try {
        const found = await this.#find(asked);
        for (const { name, resolve } of asked) {
          const value = found.get(name);
          // Each has bytes of its own.
          resolve(value === undefined ? null : bytesOf(value));
        }
      } catch (thrown) {
        for (const { reject } of asked) reject(thrown);
      }
    }
    this.#isRunning = false;
  }

  async #find(asked: readonly Waiting[]): Promise<ReadonlyMap<string, unknown>> {
    const keys = [...new Map(asked.map(({ name, key }) => [name, key])).values()];
    const statement = readStatement(this.#layout, this.#table, keys);
    const rows = await this.#pool.use(async (client) => await rowsOf(client, statement));
    return new Map(rows.map(([key, value]) => [cellName(this.#table, bytesOf(key)), value]));
  }
}
