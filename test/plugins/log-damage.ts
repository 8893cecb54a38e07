/** Filled logs, the places of what they have stored, and changes to it behind their backs. */
import { afterEach } from "vitest";
import type { Partition, Reader } from "../../core/storage.ts";
import { tables } from "../../plugins/log/rows.ts";
import { body, LogBench, precertificate } from "./log-fixture.ts";

const shape = { tables: [...Object.values(tables), "cursors"], streams: ["facts"] };

/** Formats with one index and with two. */
export const formats = ["rekor-v2", "rfc6962"] as const;

/** Stopped after each test. */
export const benches: LogBench[] = [];
afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

/** A log with so many entries, which runs; it is stopped after the test. */
export async function filled(format: (typeof formats)[number], size: number): Promise<LogBench> {
  const bench = new LogBench(format);
  benches.push(bench);
  await bench.start();
  const make = format === "rfc6962" ? precertificate : body;
  await Promise.all(Array.from({ length: size }, async (_, n) => await bench.append(make(n))));
  return bench;
}

/** Works on a stopped log's partition. */
export async function opened<T>(
  bench: LogBench,
  work: (partition: Partition) => Promise<T>,
): Promise<T> {
  await using partition = await bench.driver.open("log-one", shape);
  return await work(partition);
}

/** A row. */
export interface Place {
  readonly table: string;
  readonly key: (rows: Reader) => Promise<Uint8Array>;
}

/** The row with a key. */
export const at = (table: string, key: Uint8Array): Place => ({ table, key: async () => key });
/** Changes a row of a stopped log; null removes it. */
export async function damage(
  bench: LogBench,
  { table, key }: Place,
  change: (value: Uint8Array) => Uint8Array | null,
): Promise<void> {
  await opened(bench, async (partition) => {
    const found = await key(partition);
    const value = await partition.get(table, found);
    const changed = change(value ?? new Uint8Array());
    await partition.commit({ writes: [{ table, key: found, value: changed }] });
  });
}
