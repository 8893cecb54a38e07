/** What the catalogue is made of. */
import type { Verdict } from "./checker.ts";
import type { Ground } from "./ground.ts";
import type { Random } from "./random.ts";

/** A kind of fault. */
export interface FaultKind {
  /** The row of reliability.md §4.4, with a letter behind it where one row is injected in several ways. */
  readonly id: string;
  readonly what: string;
  /** How often it is chosen, against the others. */
  readonly weight: number;
  /**
   * What it works with, if it may fall together with others (§4.6): two kinds that need the same instrument never do. Absent for
   * what stops the instance, or leaves it to the fault to judge how it comes back.
   */
  readonly instrument?: "signals" | "calls" | "disk" | "clock" | "bus" | "token" | "inside";
  /** Injects and undoes a group of faults; answers how many. Afterwards the instance must recover by itself. `look` is the judge. */
  inject(ground: Ground, random: Random, look: () => Verdict): Promise<number>;
}
