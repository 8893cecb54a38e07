/**
 * Entries on their way: in the pool, then durable, then promised and published, then with their promise stored. Only after that is
 * an entry found in the store instead of here. The number that is not yet published is bounded: that is the log's back-pressure.
 */
import { encodeHex } from "../../core/formats/encoding.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import type { Candidate } from "../../events/log.ts";
import type { Placed } from "./format.ts";

/** Entries that may be on their way at once, and their bytes. */
const maxEntries = 4096;
const maxBytes = 64 * 1024 * 1024;
/** How long before the asker stops waiting it is told why. */
const marginMs = 250;
const sweepMs = 100;

/** An entry on its way. */
export interface Pending {
  /** Its identity, in hex. */
  readonly name: string;
  readonly identity: Uint8Array;
  readonly candidate: Candidate | null;
  readonly sizeBytes: number;
  /** From the moment it has an index. */
  placed: Placed | null;
  leafHash: Uint8Array | null;
  promise: Uint8Array | null;
  published: boolean;
  readonly waiters: Waiter[];
}

/** Someone who waits for a published entry. */
interface Waiter {
  readonly resolve: () => void;
  readonly reject: (failure: Failure) => void;
  readonly untilMs: number;
}

/** Where a sequencer takes entries from, and where everybody finds those on their way. */
export class PendingEntries {
  readonly #byIdentity = new Map<string, Pending>();
  #pool: Pending[] = [];
  #unpublished = 0;
  #bytes = 0;
  readonly #waiting = new Set<Pending>();
  #sweeper: NodeJS.Timeout | null = null;
  /** Why entries do not get published, for those who run out of time. */
  blockedBy: FailureCode = "log-unavailable";

  find(identity: Uint8Array): Pending | null {
    return this.#byIdentity.get(encodeHex(identity)) ?? null;
  }

  /** Puts an entry in the pool. @throws {Failure} overloaded */
  add(identity: Uint8Array, candidate: Candidate): Pending {
    const sizeBytes = sizeOf(candidate);
    if (this.#unpublished >= maxEntries || this.#bytes + sizeBytes > maxBytes) {
      throw new Failure("overloaded", "the log has as many entries on their way as it takes");
    }
    const pending = this.#enter({ identity, candidate, sizeBytes, placed: null, leafHash: null });
    this.#pool.push(pending);
    return pending;
  }

  /** Takes up an entry that a former process made durable and did not promise. */
  adopt(identity: Uint8Array, leafHash: Uint8Array, placed: Placed): Pending {
    const sizeBytes = placed.entry.length + placed.extraData.length;
    return this.#enter({ identity, candidate: null, sizeBytes, placed, leafHash });
  }

  /** The oldest of the pool, within bounds but at least one. */
  take(maxCount: number, maxBatchBytes: number): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const { sizeBytes } of this.#pool) {
      bytes += sizeBytes;
      if (count > 0 && (count === maxCount || bytes > maxBatchBytes)) break;
      count++;
    }
    return this.#pool.splice(0, count);
  }

  get poolSize(): number {
    return this.#pool.length;
  }

  /** Entries that somebody is owed: in the pool, or durable and not yet published. */
  get unpublished(): number {
    return this.#unpublished;
  }

  /** Resolves once the entry is published. @throws {Failure} when the time is over */
  async wait(pending: Pending, remainingMs: number): Promise<void> {
    if (pending.published) return;
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs);
    this.#waiting.add(pending);
    await new Promise<void>((resolve, reject) => {
      const untilMs = performance.now() + Math.max(0, remainingMs - marginMs);
      pending.waiters.push({ resolve, reject, untilMs });
    });
  }

  publish(pending: Pending): void {
    pending.published = true;
    this.#unpublished--;
    this.#bytes -= pending.sizeBytes;
    this.#waiting.delete(pending);
    for (const { resolve } of pending.waiters.splice(0)) resolve();
  }

  /** Forgets an entry: the store has all of it now. */
  settle(pending: Pending): void {
    this.#byIdentity.delete(pending.name);
  }

  /** Turns away entries of the pool, which are nowhere yet. */
  refuse(refused: readonly Pending[], failure: Failure): void {
    for (const pending of refused) {
      this.#unpublished--;
      this.#bytes -= pending.sizeBytes;
      this.#waiting.delete(pending);
      this.settle(pending);
      for (const { reject } of pending.waiters.splice(0)) reject(failure);
    }
  }

  /** Ends all waiting for good. */
  abandon(failure: Failure): void {
    for (const pending of this.#waiting) {
      for (const { reject } of pending.waiters.splice(0)) reject(failure);
    }
    this.#waiting.clear();
    this.close();
  }

  close(): void {
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#sweeper = null;
  }

  #enter(fields: Omit<Pending, "name" | "promise" | "published" | "waiters">): Pending {
    const name = encodeHex(fields.identity);
    const pending: Pending = { name, ...fields, promise: null, published: false, waiters: [] };
    this.#byIdentity.set(name, pending);
    this.#unpublished++;
    this.#bytes += fields.sizeBytes;
    return pending;
  }

  #sweep(): void {
    const now = performance.now();
    for (const pending of this.#waiting) {
      const late = pending.waiters.filter(({ untilMs }) => untilMs <= now);
      if (late.length === 0) continue;
      const rest = pending.waiters.filter(({ untilMs }) => untilMs > now);
      pending.waiters.splice(0, pending.waiters.length, ...rest);
      for (const { reject } of late) {
        reject(
          new Failure(this.blockedBy, "the log could not promise the entry in time; ask again"),
        );
      }
      if (rest.length === 0) this.#waiting.delete(pending);
    }
    if (this.#waiting.size === 0) this.close();
  }
}

function sizeOf(candidate: Candidate): number {
  switch (candidate.kind) {
    case "body":
      return candidate.body.length;
    case "certificate":
      return candidate.certificate.length + candidate.extraData.length;
    case "precertificate":
      return candidate.tbs.length + candidate.extraData.length;
  }
}
