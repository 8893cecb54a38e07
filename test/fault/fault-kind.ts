/** What the catalogue is made of. */
import type { Ground } from "./ground.ts";
import type { Random } from "./random.ts";

/** A kind of fault. */
export interface FaultKind {
  readonly id: string;
  readonly what: string;
  /** How often it is chosen, against the others. */
  readonly weight: number;
  /** Injects and undoes a group of faults; answers how many. Afterwards the instance must recover by itself. */
  inject(ground: Ground, random: Random): Promise<number>;
}
