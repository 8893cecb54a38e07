/** What the catalogue is made of. */
import type { Verdict } from "./checker.ts";
import type { Ground } from "./ground.ts";
import type { Random } from "./random.ts";

/** Where an instance keeps what it has: SQLite files, or PostgreSQL with a standby and a second service process. */
export type StorageKind = "sqlite" | "postgresql";

/** What has nothing to do with where things are kept. */
const anywhere: readonly FaultKind["instrument"][] = ["signals", "bus", "inside"];

/** Whether a kind of fault can be done to an instance that keeps what it has there. */
export function fallsOn({ storage, instrument }: FaultKind, kept: StorageKind): boolean {
  if (storage !== undefined) return storage === kept;
  return kept === "sqlite" || anywhere.includes(instrument);
}

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
  readonly instrument?:
    "signals" | "calls" | "disk" | "clock" | "bus" | "token" | "inside" | "database";
  /** Where the instance must keep what it has; absent for files, and for what `fallsOn` says may fall on both. */
  readonly storage?: StorageKind;
  /** Injects and undoes a group of faults; answers how many. Afterwards the instance must recover by itself. `look` is the judge. */
  inject(ground: Ground, random: Random, look: () => Verdict): Promise<number>;
}
