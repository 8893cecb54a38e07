/** Random octets (node:crypto's), drawn from the generator for many at once: each call into it costs more than the octets. */
import { randomFillSync } from "node:crypto";

const poolBytes = 4_096;

/** Gives `count` octets that nobody is given again; at most {@link poolBytes}. */
export type DrawRandom = (count: number) => Uint8Array;

/** Makes a {@link DrawRandom} with a pool of its own. What has been given is wiped from it. */
export function randomPool(fill: (pool: Uint8Array) => unknown = randomFillSync): DrawRandom {
  const pool = new Uint8Array(poolBytes);
  let next = poolBytes;
  return (count) => {
    if (count > poolBytes) throw new RangeError(`at most ${poolBytes} random octets at once`);
    if (next + count > poolBytes) {
      fill(pool);
      next = 0;
    }
    const drawn = pool.slice(next, next + count);
    pool.fill(0, next, next + count);
    next += count;
    return drawn;
  };
}
