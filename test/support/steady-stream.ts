/** Signings without end, retried as a client would, while something happens to the instance. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { type Acknowledged, demoToken, signOnce, type SignerTarget } from "./signer.ts";

const lanes = 3;
const retryMs = 100;

/** A stream of signings. */
export interface SteadyStream {
  /** Waits until so many more are acknowledged. */
  grown(by: number, withinMs: number): Promise<void>;
  /** Ends it and gives everything that was acknowledged. */
  end(): Promise<readonly Acknowledged[]>;
}

/** Signs until it is ended. What is refused or lost is told to nobody: clients try again. */
export function signSteadily(target: SignerTarget, email: string): SteadyStream {
  const acknowledged: Acknowledged[] = [];
  let ending = false;
  const lane = async (): Promise<void> => {
    while (!ending) {
      try {
        acknowledged.push(await signOnce(target, await demoToken(target, email), email));
      } catch {
        await sleep(retryMs);
      }
    }
  };
  const running = Promise.all(Array.from({ length: lanes }, lane));
  return {
    async grown(by, withinMs) {
      const from = acknowledged.length;
      const timing = { timeout: withinMs, interval: 50 };
      await expect.poll(() => acknowledged.length, timing).toBeGreaterThanOrEqual(from + by);
    },
    async end() {
      ending = true;
      await running;
      return acknowledged;
    },
  };
}
