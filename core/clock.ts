/** Time as a dependency, so that tests can hold it still. */
export interface Clock {
  /** The wall clock. */
  now(): Date;
  /** Milliseconds that only ever grow, at the speed of time, whoever sets the wall clock; absent where time is held still. */
  readonly steadyMs?: () => number;
}

/** The machine's clock. */
export const systemClock: Clock = { now: () => new Date(), steadyMs: () => performance.now() };
