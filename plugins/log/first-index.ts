/** Where a log's indices over all shards begin, from what is stored. */
import { MissingPartition, type Reader } from "../../core/storage.ts";
import type { LogConfig } from "./manifest.ts";
import { decodeIntent, frozenKey, tables } from "./rows.ts";

/** Opens the partition of a log. */
type OpenReader = (log: string) => Promise<Reader>;

/**
 * Index of a log's first entry over all shards. Of one that takes over it is where the log before it ended; of one that has not
 * begun, 0.
 */
export async function firstIndexOf(
  { firstIndex = "0", after }: Pick<LogConfig, "firstIndex" | "after">,
  { logs, openReader }: { readonly logs: readonly LogConfig[]; readonly openReader: OpenReader },
): Promise<bigint> {
  const before = logs.find(({ name }) => name === after);
  if (before === undefined) return BigInt(firstIndex);
  const row = await frozenRow(openReader, before.name);
  if (row === null) return 0n;
  return (await firstIndexOf(before, { logs, openReader })) + decodeIntent(row).size;
}

/** Null also for a storage that is not there, which is found where that log itself is looked at. */
async function frozenRow(openReader: OpenReader, log: string): Promise<Uint8Array | null> {
  try {
    await using reader = await openReader(log);
    return await reader.get(tables.state, frozenKey);
  } catch (thrown) {
    if (thrown instanceof MissingPartition) return null;
    throw thrown;
  }
}
