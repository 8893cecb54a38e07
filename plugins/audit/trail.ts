/**
 * The trail's end, where records are added. What handlers take is kept in memory until {@link Trail.settle}, which writes everything
 * there is in one commit: records, index, and how far each stream is handled. A fact that comes again after a crash is known by that.
 */
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

/** Opens the trail in `store`. */
export async function openTrail(store: Store, journal: Journal): Promise<Trail> {
  const row = await store.get(tables.state, headKey);
  let head: Head = row === null ? { sequence: 0, hash: genesisHash, handled: {} } : parseHead(row);
  let written = row;
  const taken = new Map<string, number>(Object.entries(head.handled));
  let pending: Body[] = [];
  let writing: Promise<void> = Promise.resolve();
  /** The write that has not begun, which takes whatever is there when it does. */
  let next: Promise<void> | null = null;
  journal.info("audit-head", { sequence: head.sequence, hash: head.hash });

  const write = async (): Promise<void> => {
    const bodies = pending;
    const handled = Object.fromEntries(taken);
    pending = [];
    const chained = chain(head, bodies);
    const after = { ...chained.head, handled };
    const value = formatHead(after);
    await store.commit({
      appends: chained.appends,
      writes: [...chained.writes, { table: tables.state, key: headKey, value }],
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
      // One after the other; a failure stays, because what was taken is not in the store.
      next ??= writing.then(async () => {
        next = null;
        await write();
      });
      writing = next;
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
