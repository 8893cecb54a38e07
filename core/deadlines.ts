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
    const timer = setTimeout(
      () => {
        slots.delete(at);
        for (const wait of slot.waits) {
          slot.waits.delete(wait);
          wait.end();
        }
      },
      at * stepMs - now,
    );
    const slot: Slot = {
      waits: new Set(),
      // A process that waits for nothing any more may end.
      close() {
        clearTimeout(timer);
        if (slots.get(at) === slot) slots.delete(at);
      },
    };
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

/** Waits that end together. */
interface Slot {
  readonly waits: Set<Wait>;
  readonly close: () => void;
}

class Wait implements Deadline {
  readonly #slot: Slot;
  readonly end: () => void;

  constructor(slot: Slot, end: () => void) {
    this.#slot = slot;
    this.end = end;
    slot.waits.add(this);
  }

  cancel(): void {
    const { waits, close } = this.#slot;
    if (waits.delete(this) && waits.size === 0) close();
  }
}
