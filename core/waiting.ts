/** Waits that end. */
import type { Ask } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import { askKey } from "./bus.ts";

/** The failure of an ask whose deadline has passed. */
export function tooLate(ask: Ask): Failure {
  return new Failure("deadline-exceeded", `no answer from ${askKey(ask)} in time`);
}

/** Resolves after `ms`, or as soon as `signal` aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish, { once: true });
  });
}

/** Counts work that has begun and not ended. */
export class InFlight {
  #size = 0;
  readonly #whenIdle = new Set<() => void>();

  get size(): number {
    return this.#size;
  }

  /** Work begins; whoever says so says also, with {@link leave}, that it has ended. */
  enter(): void {
    this.#size++;
  }

  /** Work has ended. */
  leave(): void {
    this.#size--;
    if (this.#size === 0) for (const wake of this.#whenIdle) wake();
  }

  /** Resolves when nothing is in flight, or after `withinMs`. */
  async settled(withinMs: number): Promise<void> {
    if (this.#size === 0) return;
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#whenIdle.delete(finish);
        resolve();
      };
      const timer = setTimeout(finish, withinMs);
      this.#whenIdle.add(finish);
    });
  }
}
