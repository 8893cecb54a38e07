/**
 * Certificates that are announced: their rows were written with those of their precertificates, and what is durable has promised them
 * their one attempt. Each is begun once, or given up with an outcome that says why; until then it is open, and after a crash the next
 * start calls it unknown-signed like every other attempt without an outcome.
 */
import type { Outcome } from "./ledger-rows.ts";

/** Announced certificates of one vault, by the sequence number of their rows. */
export class Announced {
  readonly #note: (outcome: Outcome) => void;
  readonly #open = new Set<number>();

  constructor(note: (outcome: Outcome) => void) {
    this.#note = note;
  }

  /** Takes note of a row that is durable. */
  add(sequence: number): void {
    this.#open.add(sequence);
  }

  /** Its attempt begins now; false if it has begun before, or was given up. */
  begin(sequence: number): boolean {
    return this.#open.delete(sequence);
  }

  /** There will be no attempt; nothing if there has been one. */
  giveUp(sequence: number, reason: string): void {
    if (!this.#open.delete(sequence)) return;
    this.#note({ of: sequence, status: "failed", made: 0, reason });
  }
}
