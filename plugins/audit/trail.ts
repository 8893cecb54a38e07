/**
 * The trail's end, where records are added. What handlers take is kept in memory until {@link Trail.settle}, which writes everything
 * there is in one commit: records, index, and how far each stream is handled. A fact that comes again after a crash is known by that.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Journal } from "../../core/journal.ts";
import type { Store } from "../../core/plugin.ts";
import type { Append, Write } from "../../core/storage.ts";
import { type Body, formatRecord, genesisHash, hashRecord } from "./record.ts";
import {
  formatHead,
  type Head,
  headKey,
  indexedBy,
  indexKey,
  parseHead,
  recordStream,
  tables,
} from "./rows.ts";

/** The end of the trail. */
export interface Trail {
  readonly head: () => Head;
  /** True if the fact has been taken before. */
  knows(source: { readonly stream: string; readonly sequence: number }): boolean;
  /** Takes the records of one fact; durable after `settle`. */
  take(
    source: { readonly stream: string; readonly sequence: number },
    bodies: readonly Body[],
  ): void;
  /** @throws what kept the records from being written; nothing is taken after that. */
  settle(): Promise<void>;
}

/** Facts that are waited for so that they share a commit, and how long. */
const worthACommit = 128;
const lingerMs = 250;

/** Opens the trail in `store`. */
export async function openTrail(
  store: Store,
  draining: AbortSignal,
  journal: Journal,
): Promise<Trail> {
  const row = await store.get(tables.state, headKey);
  let head: Head = row === null ? { sequence: 0, hash: genesisHash, handled: {} } : parseHead(row);
  let written = row;
  const taken = new Map<string, number>(Object.entries(head.handled));
  let pending: Body[] = [];
  let writing: Promise<void> = Promise.resolve();
  journal.info("audit-head", { sequence: head.sequence, hash: head.hash });

  const write = async (): Promise<void> => {
    const bodies = pending;
    const handled = Object.fromEntries(taken);
    pending = [];
    const next = chain(head, bodies);
    const after = { ...next.head, handled };
    const value = formatHead(after);
    await store.commit({
      appends: next.appends,
      writes: [...next.writes, { table: tables.state, key: headKey, value }],
      expect: [{ table: tables.state, key: headKey, value: written }],
    });
    [head, written] = [after, value];
  };

  return {
    head: () => head,
    knows: ({ stream, sequence }) => sequence <= (taken.get(stream) ?? 0),
    take({ stream, sequence }, bodies) {
      taken.set(stream, sequence);
      pending.push(...bodies);
    },
    async settle() {
      if (pending.length < worthACommit && !draining.aborted) {
        await sleep(lingerMs, undefined, { signal: draining }).catch(() => undefined);
      }
      // One after the other; a failure stays, because what was taken is not in the store.
      writing = writing.then(write);
      await writing;
    },
  };
}

function chain(head: Head, bodies: readonly Body[]) {
  let { sequence, hash } = head;
  const appends: Append[] = [];
  const writes: Write[] = [];
  for (const body of bodies) {
    sequence += 1;
    const value = formatRecord({ sequence, previous: hash, body });
    hash = hashRecord(value);
    appends.push({ stream: recordStream, value });
    for (const [tag, name] of indexedBy(body)) {
      writes.push({ table: tables.index, key: indexKey(tag, name, sequence), value: nothing });
    }
  }
  return { head: { sequence, hash }, appends, writes };
}

const nothing = new Uint8Array();
