/**
 * When the next head of a log is due, and who waits for it. A promise of RFC 6962 stands for itself: a head has to follow it within the
 * maximum merge delay (§3), and costs as much however many entries it covers. So such a log signs one a moment after the first promise
 * that none covers, and at once only for whoever asks for it. A quiet log's head is complete after that moment.
 */
import { Signal } from "./signal.ts";

/** Someone who waits for a head that covers so many entries. */
interface Waiter {
  readonly size: bigint;
  readonly resolve: (isThere: boolean) => void;
}

/** The pace of one log's heads. */
export class HeadPace {
  readonly #delayMs: number;
  /** Since when entries have been promised that no head covers. */
  #behindSinceMs: number | null = null;
  #isWanted = false;
  readonly #waiters = new Set<Waiter>();
  /** Rung when a head may have become due earlier. */
  readonly wake = new Signal();

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  /** Entries have been promised that no head covers. */
  fallBehind(): void {
    if (this.#behindSinceMs !== null) return;
    this.#behindSinceMs = performance.now();
    this.wake.ring();
  }

  /** Milliseconds until a head is due; null if every promised entry is under one. */
  dueInMs(): number | null {
    if (this.#isWanted) return 0;
    if (this.#behindSinceMs === null) return null;
    return Math.max(0, this.#behindSinceMs + this.#delayMs - performance.now());
  }

  /** The next head is due now. */
  hasten(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.wake.ring();
  }

  /** Hastens a head of `size` entries and waits for it; false if it does not come in time. */
  async cover(size: bigint, patienceMs: number): Promise<boolean> {
    return await new Promise<boolean>((resolve) => {
      const waiter: Waiter = {
        size,
        resolve: (isThere) => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          resolve(isThere);
        },
      };
      const timer = setTimeout(() => waiter.resolve(false), patienceMs);
      this.#waiters.add(waiter);
      this.hasten();
    });
  }

  /** A head of `size` entries is shown, of `promised` that there are. */
  shown(size: bigint, promised: bigint): void {
    this.#behindSinceMs = size < promised ? performance.now() : null;
    for (const waiter of this.#waiters) if (waiter.size <= size) waiter.resolve(true);
    this.#isWanted = this.#waiters.size > 0;
  }

  /** No head comes any more. */
  abandon(): void {
    for (const waiter of this.#waiters) waiter.resolve(false);
  }
}
