/**
 * The newest published entries, for those who follow the log: they want each batch soon after it is published, and would have the store
 * look for what has just been in memory, and it be hashed again to be sure of it.
 */
import type { Placed } from "./format.ts";
import type { Pending } from "./pending.ts";

/** Entries kept, and their bytes. */
const maxEntries = 1_024;
const maxBytes = 1024 * 1024;

/** An entry and what was promised for it; null if its log promises nothing. */
type RecentEntry = Placed & { readonly promise: Uint8Array | null };

/** Consecutive entries up to the newest that is published. */
export class RecentEntries {
  #entries: RecentEntry[] = [];
  #bytes = 0;

  /** Takes an entry that has just been published, after all before it. */
  add({ placed, promise }: Pending): void {
    if (placed === null) return;
    const last = this.#entries.at(-1);
    if (last !== undefined && placed.index !== last.index + 1n) this.#drop(this.#entries.length);
    this.#entries.push({ ...placed, promise });
    this.#bytes += sizeOf(placed);
    // Half at a time, because each time moves the rest.
    if (this.#entries.length > maxEntries || this.#bytes > maxBytes) {
      this.#drop(Math.ceil(this.#entries.length / 2));
    }
  }

  /** Exactly `count` entries from `from` on, or null if not all of them are here. */
  slice(from: bigint, count: number): readonly RecentEntry[] | null {
    const [first] = this.#entries;
    if (first === undefined || from < first.index) return null;
    const at = Number(from - first.index);
    return at + count > this.#entries.length ? null : this.#entries.slice(at, at + count);
  }

  #drop(count: number): void {
    for (const dropped of this.#entries.splice(0, count)) this.#bytes -= sizeOf(dropped);
  }
}

/** The entry as `readEntries` answers it. */
export function shown({ index, entry, extraData, integratedAtMs, promise }: RecentEntry) {
  return { index, entry, extraData, integratedAtMs, ...(promise && { promise }) };
}

function sizeOf({ entry, extraData }: Placed): number {
  return entry.length + extraData.length;
}
