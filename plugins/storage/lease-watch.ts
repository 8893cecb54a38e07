/** When a lease that is another's may be taken. Only what the waiter saw itself counts, on its own steady clock. */

/** A holder whose connection was cut needs a moment to come back with another. */
export const sessionGoneMs = 1_000;
/** A holder that is connected and does nothing: it was paused, or its machine is out of reach. */
export const silentMs = 5_000;

/** A lease as it was seen. */
export interface SeenLease {
  /** Grows when the lease changes hands. */
  readonly term: string;
  /** Grows while the holder is alive. */
  readonly beat: string;
  /** True if the holder gave it back, or there was none yet. */
  readonly isFree: boolean;
  /** True if the server knows the holder's connection. */
  readonly isConnected: boolean;
}

/** What a waiter has seen of a lease's holder, and since when. */
export class LeaseWatch {
  #last: SeenLease | null = null;
  #sinceMs = 0;
  #goneSinceMs: number | null = null;

  /** True if the lease may be taken as it is seen at `nowMs`. */
  isDue(seen: SeenLease, nowMs: number): boolean {
    const isSame = this.#last?.term === seen.term && this.#last.beat === seen.beat;
    this.#last = seen;
    if (!isSame) {
      this.#sinceMs = nowMs;
      this.#goneSinceMs = null;
    }
    if (seen.isFree) return true;
    if (seen.isConnected) this.#goneSinceMs = null;
    else this.#goneSinceMs ??= nowMs;
    const isGone = this.#goneSinceMs !== null && nowMs - this.#goneSinceMs >= sessionGoneMs;
    return isGone || nowMs - this.#sinceMs >= silentMs;
  }

  /** Begins anew: what was seen before the server was out of reach says nothing about the time since. */
  forget(): void {
    this.#last = null;
    this.#goneSinceMs = null;
  }
}
