/**
 * Waits of which nearly all end before their time: every ask has one. A timer of Node for each costs more
 * than most of what is waited for, so those that end within the same tenth of a second share one.
 */

/** A wait. */
export interface Deadline {
  /** Ends the wait before its time; after it, nothing happens. */
  cancel(): void;
}

/** Calls back when times have passed. */
export interface Deadlines {
  /** Calls `end` after `ms`, up to a tenth of a second early if that is a second or more. */
  readonly after: (ms: number, end: () => void) => Deadline;
}

const stepMs = 100;
/** Shorter waits are on time. */
const longMs = 1_000;
/** What a timer of Node can express. */
const longestMs = 2 ** 31 - 1 - stepMs;

/** No waits yet; `nowMs` must not run backwards. */
export function createDeadlines(nowMs: () => number = () => performance.now()): Deadlines {
  const slots = new Map<number, Slot>();
  const open = (at: number, now: number): Slot => {
    const slot: Slot = new Slot(at * stepMs - now, () => {
      if (slots.get(at) === slot) slots.delete(at);
    });
    slots.set(at, slot);
    return slot;
  };
  return {
    after(ms, end) {
      if (ms < longMs) {
        const timer = setTimeout(end, ms);
        return { cancel: () => clearTimeout(timer) };
      }
      const now = nowMs();
      const at = Math.floor((now + Math.min(ms, longestMs)) / stepMs);
      return new Wait(slots.get(at) ?? open(at, now), end);
    },
  };
}

/** One of a ring. Out of the middle of it in no time, and without a table: nearly all leave before their time, in any order. */
class Link {
  before: Link = this;
  behind: Link = this;
  readonly end: () => void;

  constructor(end: () => void) {
    this.end = end;
  }

  get isAlone(): boolean {
    return this.behind === this;
  }

  /** Goes to the end of the ring that begins behind `other`. */
  enter(other: Link): void {
    this.before = other.before;
    this.behind = other;
    other.before.behind = this;
    other.before = this;
  }

  leave(): void {
    this.before.behind = this.behind;
    this.behind.before = this.before;
    this.before = this;
    this.behind = this;
  }
}

/** Waits that end together, in a ring that begins and ends here. */
class Slot extends Link {
  readonly #timer: NodeJS.Timeout;

  /** `end` is called when nobody waits here any more. */
  constructor(ms: number, end: () => void) {
    super(end);
    this.#timer = setTimeout(() => {
      this.end();
      while (!this.isAlone) {
        const { behind } = this;
        behind.leave();
        behind.end();
      }
    }, ms);
  }

  /** A process that waits for nothing any more may end. */
  close(): void {
    clearTimeout(this.#timer);
    this.end();
  }
}

class Wait extends Link implements Deadline {
  readonly #slot: Slot;

  constructor(slot: Slot, end: () => void) {
    super(end);
    this.#slot = slot;
    this.enter(slot);
  }

  cancel(): void {
    if (this.isAlone) return;
    this.leave();
    if (this.#slot.isAlone) this.#slot.close();
  }
}
