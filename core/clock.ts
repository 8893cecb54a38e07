/** Time as a dependency, so that tests can hold it still. */
export interface Clock {
  /** The wall clock. */
  now(): Date;
}

/** The machine's clock. */
export const systemClock: Clock = { now: () => new Date() };
