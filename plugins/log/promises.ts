/** What was promised for entries, wherever it is just then: stored, on its way into the store, or newer than that. */
import { uintFrom } from "../../core/formats/encoding.ts";
import type { Store } from "../../core/plugin.ts";
import type { Row } from "../../core/storage.ts";
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
  const stored = first === undefined ? null : runOf(first);
  const storedEnd = stored === null ? 0n : stored.from + BigInt(stored.promises.length);
  const after = { from: numberKey(from + 1n), to: numberKey(end), limit: count };
  const more = storedEnd >= end || count === 1 ? [] : await store.scan(tables.promises, after);
  const runs = [
    ...(stored === null ? [] : [stored]),
    ...more.map(runOf),
    ...state.saving.promises,
    ...state.unsaved.promises,
  ];
  const promises: Uint8Array[] = [];
  for (let index = from; index < end; index++) {
    const run = runs.find((one) => one.from <= index && index - one.from < one.promises.length);
    const promise = run?.promises[Number(index - run.from)];
    if (promise === undefined) break;
    promises.push(promise);
  }
  return promises;
}

function runOf({ key, value }: Row) {
  return { from: uintFrom(key), promises: decodePromises(value) };
}
