/**
 * The sequencer: takes what is in the pool, gives indices and a time, and makes entries, tiles, indices, the intent to sign and
 * the fact durable in one commit. The next batch starts when the previous is durable and published, or does not get published in a
 * moment: what comes while the vault signs is one batch, which costs disk and vault as much as one entry. Heads and promises ride with
 * the next entries; if none come, they go alone after a moment. If we crash before the commit nothing has happened; after it, the
 * entries are in the log and a restart signs the intent.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { emit } from "../../core/plugin.ts";
import { leafHash } from "../../core/formats/merkle.ts";
import type { Write } from "../../core/storage.ts";
import { Failure } from "../../events/failure.ts";
import { entriesAppended } from "../../events/log.ts";
import type { Pending } from "./pending.ts";
import {
  encodeHeadRow,
  encodeIntent,
  encodePromises,
  intentKey,
  layout,
  layoutKey,
  numberKey,
  tables,
} from "./rows.ts";
import { patienceMs } from "./life.ts";
import {
  isNothing,
  nothingUnsaved,
  type LogState,
  type LogSurroundings,
  type Unsaved,
} from "./state.ts";

const maxBatchEntries = 512;
/** Promises of about 72 bytes that make a row of 2 KiB: a page of 16 KiB takes seven of these, but not two of 8 KiB. */
const promisesInRow = 27;
const maxBatchBytes = 4 * 1024 * 1024;

const patienceStepMs = 20;
/**
 * How long what was signed waits for entries to ride with: a commit of its own would keep those that come meanwhile waiting. Promises
 * also wait for the head that follows them.
 */
const lingerMs = 30;
/** Longest that entries gather while those before them are signed for. */
const gatherMs = 20;

/** Runs until `stop`, or until a commit fails: what is true then is only known after a restart. */
export async function sequence(
  state: LogState,
  surroundings: LogSurroundings,
  stop: AbortSignal,
): Promise<void> {
  // One commit at a time: each expects the intent that the one before it wrote.
  for (let lingerUntilMs: number | null = null; state.broken === null;) {
    if (state.pending.poolSize > 0) {
      lingerUntilMs = null;
      await gather(state);
      await commitBatch(state, surroundings);
    } else if (isNothing(state.unsaved)) {
      if (stop.aborted) return;
      await state.sequencerWake.wait();
    } else {
      const now = performance.now();
      const leftMs = (lingerUntilMs ??= now + lingerMs + state.format.headDelayMs) - now;
      if (leftMs > 0 && !stop.aborted) {
        await state.sequencerWake.wait(leftMs);
        continue;
      }
      lingerUntilMs = null;
      await commitBatch(state, surroundings);
    }
  }
}

async function gather(state: LogState): Promise<void> {
  const untilMs = performance.now() + gatherMs;
  while (state.unpublished.length > 0 && state.broken === null) {
    const leftMs = untilMs - performance.now();
    if (leftMs <= 0) return;
    await state.releasedWake.wait(leftMs);
  }
}

async function commitBatch(state: LogState, surroundings: LogSurroundings): Promise<void> {
  const batch = state.pending.take(maxBatchEntries, maxBatchBytes);
  const atMs =
    batch.length === 0 ? state.durable.integratedAtMs : await timeFor(state, surroundings);
  if (atMs === null) {
    const sentence =
      "the clock was set, or stands before the newest entry's time; the log waits for it";
    surroundings.journal.error("log.clock-in-doubt", { log: state.name });
    state.pending.refuse(batch, new Failure("log-unavailable", sentence));
    return;
  }
  const unsaved = state.unsaved;
  state.unsaved = nothingUnsaved();
  state.saving = unsaved;
  const from = state.tree.size;
  for (const pending of batch) place(state, pending, atMs);
  const writes = [
    ...state.newestRun.takeWrites(),
    ...state.tree.takeWrites(),
    ...state.antispam.takeWrites(),
    ...unsavedWrites(unsaved),
  ];
  if (state.intentRow === null) {
    writes.push({ table: tables.state, key: layoutKey, value: layout });
  }
  const to = state.tree.size;
  const intent = { size: to, root: await state.tree.root(), integratedAtMs: atMs };
  const intentRow = encodeIntent(intent);
  try {
    await surroundings.store.commit({
      writes: [...writes, { table: tables.state, key: intentKey, value: intentRow }],
      expect: [{ table: tables.state, key: intentKey, value: state.intentRow }],
      facts: to > from ? [emit(entriesAppended, { log: state.name, from, to })] : [],
    });
  } catch (thrown) {
    // Also a conflict: then somebody else writes this log.
    breakDown(state, surroundings, thrown);
    return;
  }
  state.intentRow = intentRow;
  state.durable = intent;
  state.saving = nothingUnsaved();
  for (const pending of unsaved.settled) state.pending.settle(pending);
  state.unpublished.push(...batch);
  if (batch.length > 0) state.publisherWake.ring();
}

/** The time of the next batch; null if the clock is too far back, or was set while we ran. */
async function timeFor(
  { format, durable }: LogState,
  { steady }: LogSurroundings,
): Promise<bigint | null> {
  for (let waitedMs = 0n; waitedMs <= patienceMs; waitedMs += BigInt(patienceStepMs)) {
    const now = steady.now();
    if (now === null) return null;
    const nowMs = format.timeOf(BigInt(now.getTime()));
    if (nowMs >= durable.integratedAtMs) return nowMs;
    if (durable.integratedAtMs - nowMs > patienceMs) return null;
    await sleep(patienceStepMs);
  }
  return null;
}

/** Puts an entry into the tree and everything that has rows of its own to write. */
function place(state: LogState, pending: Pending, integratedAtMs: bigint): void {
  const { tree, format, antispam, newestRun } = state;
  if (pending.candidate === null) throw new TypeError("an entry of the pool has no candidate");
  const index = tree.size;
  const placed = { index, integratedAtMs, ...format.form(pending.candidate, integratedAtMs) };
  const leaf = format.identityIsLeafHash ? pending.identity : leafHash(placed.entry);
  tree.append(leaf);
  newestRun.append(placed);
  antispam.add(index, { leaf, identity: pending.identity });
  pending.placed = placed;
  pending.leafHash = leaf;
}

function unsavedWrites({ heads, promises }: Unsaved): Write[] {
  return [
    ...heads.map((head) => ({
      table: tables.heads,
      key: numberKey(head.size),
      value: encodeHeadRow(head),
    })),
    ...promises.flatMap(promiseRows),
  ];
}

/** Rows small enough that several fit a page of the storage. */
function promiseRows({ from, promises }: Unsaved["promises"][number]): Write[] {
  const rows: Write[] = [];
  for (let at = 0; at < promises.length; at += promisesInRow) {
    const value = encodePromises(promises.slice(at, at + promisesInRow));
    rows.push({ table: tables.promises, key: numberKey(from + BigInt(at)), value });
  }
  return rows;
}

function breakDown(state: LogState, { journal }: LogSurroundings, thrown: unknown): void {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  state.broken = `a commit failed (${reason}); restart to find out what is durable`;
  journal.error("log.broken", { log: state.name, reason });
  state.pending.abandon(
    new Failure("log-unavailable", "the log cannot write; it must be restarted"),
  );
  state.pace.abandon();
  state.publisherWake.ring();
  state.pace.wake.ring();
}
