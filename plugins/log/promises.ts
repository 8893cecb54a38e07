/** What was promised for entries, wherever it is just then: stored, on its way into the store, or newer than that. */
import { uintFrom } from "../../core/formats/encoding.ts";
import type { Store } from "../../core/plugin.ts";
import { decodePromises, numberKey, tables } from "./rows.ts";
import type { LogState } from "./state.ts";

/** The stored and the newest promises of up to `count` consecutive entries. What was signed while the store was read is among them. */
export async function promisesOf(
  state: LogState,
  store: Pick<Store, "scan">,
  { from, count }: { readonly from: bigint; readonly count: number },
): Promise<readonly Uint8Array[]> {
  if (state.format.promise === null) return [];
  const end = from + BigInt(count);
  const before = { to: numberKey(from + 1n), limit: 1, reverse: true };
  const [first] = await store.scan(tables.promises, before);
  const after = { from: numberKey(from + 1n), to: numberKey(end), limit: count };
  const rows = [...(first ? [first] : []), ...(await store.scan(tables.promises, after))];
  const runs = [
    ...rows.map(({ key, value }) => ({ from: uintFrom(key), promises: decodePromises(value) })),
    ...state.saving.promises,
    ...state.unsaved.promises,
  ];
  const found = new Map<bigint, Uint8Array>();
  for (const run of runs) {
    for (const [at, promise] of run.promises.entries()) found.set(run.from + BigInt(at), promise);
  }
  const promises: Uint8Array[] = [];
  for (let index = from; index < end; index++) {
    const promise = found.get(index);
    if (promise === undefined) break;
    promises.push(promise);
  }
  return promises;
}
