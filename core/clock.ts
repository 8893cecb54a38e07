/**
 * Time as a dependency, so that tests can hold it still; and a wall clock that is told to be wrong by the machine's steady one: when
 * somebody sets the clock, or a virtual machine is moved, wall and steady time part. From then on no time is told until the wall clock
 * has been back for a while, or an operator has confirmed it.
 */

import { statSync } from "node:fs";
import { join } from "node:path";

/** A wall clock. */
export interface Clock {
  /** The wall clock. */
  now(): Date;
  /** Milliseconds that only ever grow, at the speed of time, whoever sets the wall clock; absent where time is held still. */
  readonly steadyMs?: () => number;
  /** What an operator last said of it, that it is right as it is: another text each time, null if nothing. */
  readonly confirmation?: () => string | null;
}

/** Where an operator's word that the clock is right is left, below the home. */
export const confirmationPath = join("run", "confirm-clock");

/** The machine's clock, of which operators of the home say whether it is right. */
export function clockOf(home: string): Clock {
  return { ...systemClock, confirmation: confirmationIn(home) };
}

/** Reads {@link Clock.confirmation} from the home: only whether the file is another one counts. */
export function confirmationIn(home: string): () => string | null {
  const path = join(home, confirmationPath);
  return () => {
    const seen = statSync(path, { bigint: true, throwIfNoEntry: false });
    return seen === undefined ? null : `${seen.ino}-${seen.mtimeNs}-${seen.ctimeNs}`;
  };
}

/** The machine's clock. */
export const systemClock: Clock = { now: () => new Date(), steadyMs: () => performance.now() };

/** What is watched, and how strictly. */
export interface SteadyOptions {
  readonly clock: Clock;
  /** Milliseconds that only ever grow, at the speed of time. */
  readonly steadyMs: () => number;
  readonly maxStepMs: number;
  readonly settleMs: number;
}

/** What a certificate's or an entry's time may be off by (reliability.md L6), and how long a clock that is back must have been so. */
const promises = { maxStepMs: 1_000, settleMs: 0 } as const;

/** A reading takes no longer than this, or it is taken again: what lies between the two clocks' readings counts as a step. */
const slowReadingMs = 10;
const readings = 8;

/** A wall clock under watch. */
export class SteadyClock {
  readonly #options: SteadyOptions;
  /** Wall minus steady time that is believed. */
  #believedMs: number;
  /** Steady time of the last reading that was off; null once it is forgiven. */
  #lastOffMs: number | null = null;
  #since: Date | null = null;
  /** What the operator had said when the doubt began: it is not about this doubt. */
  #heard: string | null = null;

  constructor(options: SteadyOptions) {
    this.#options = options;
    this.#believedMs = this.#read().offsetMs;
  }

  /** The time, or null while it is in doubt. To be called often also when nobody asks: a step must not hide between two calls. */
  now(): Date | null {
    const { maxStepMs, settleMs } = this.#options;
    const { wall, steadyMs, offsetMs } = this.#read();
    if (Math.abs(offsetMs - this.#believedMs) > maxStepMs) {
      const said = this.#options.clock.confirmation?.() ?? null;
      if (this.#since === null) this.#heard = said;
      if (said !== null && said !== this.#heard) {
        this.#confirm();
        return this.#read().wall;
      }
      this.#lastOffMs = steadyMs;
      this.#since ??= wall;
      return null;
    }
    if (this.#lastOffMs !== null) {
      if (steadyMs - this.#lastOffMs < settleMs) return null;
      this.#forgive();
    }
    return wall;
  }

  /** When the clock was first seen to be off, by itself; null while it is believed. */
  get doubtedSince(): Date | null {
    return this.#since;
  }

  /** Believes the wall clock as it is now: the operator says it is right. */
  #confirm(): void {
    this.#believedMs = this.#read().offsetMs;
    this.#forgive();
  }

  #forgive(): void {
    this.#lastOffMs = null;
    this.#since = null;
  }

  /** Both clocks at one moment. A process that is not run between the two readings sees a step that is none, and looks again. */
  #read(): { readonly wall: Date; readonly steadyMs: number; readonly offsetMs: number } {
    const { clock, steadyMs } = this.#options;
    for (let left = readings; ; left--) {
      const before = steadyMs();
      const wall = clock.now();
      const after = steadyMs();
      if (after - before <= slowReadingMs || left === 1) {
        return { wall, steadyMs: after, offsetMs: wall.getTime() - (before + after) / 2 };
      }
    }
  }
}

/**
 * The watch over the times that promises carry: a log's entries, a certificate's validity. A clock that holds no steady one beside
 * the wall clock, as one that tests hold still, is never in doubt.
 */
export function watchForPromises(clock: Clock): SteadyClock {
  const steadyMs = clock.steadyMs ?? (() => clock.now().getTime());
  return new SteadyClock({ clock, steadyMs, ...promises });
}

const lookEveryMs = 500;

/** Looks at the clock when nobody asks too: a step must not hide between two calls, and must be known before an operator speaks of it. */
export function lookOften(steady: SteadyClock): Disposable {
  const timer = setInterval(() => steady.now(), lookEveryMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
