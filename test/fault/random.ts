/** Numbers from a seed, so that a schedule of faults can be run again. */

/** See {@link seeded}. */
export interface Random {
  /** At least 0, below 1. */
  next(): number;
  /** A whole number from `from` up to, not including, `to`. */
  whole(from: number, to: number): number;
  pick<T>(choices: readonly T[]): T;
}

/** Mulberry32. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const whole = (from: number, to: number): number => from + Math.floor(next() * (to - from));
  return {
    next,
    whole,
    pick(choices) {
      const chosen = choices[whole(0, choices.length)];
      if (chosen === undefined) throw new Error("nothing to choose from");
      return chosen;
    },
  };
}
