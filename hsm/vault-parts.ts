/** What a vault works with. */
import type { Clock } from "../core/clock.ts";
import type { Journal } from "../core/journal.ts";
import type { Guard } from "./guard.ts";
import type { Keyring } from "./keyring.ts";
import type { Ledger } from "./ledger.ts";
import type { Pool } from "./pool.ts";
import type { Limits } from "./signable.ts";

/** What a vault is made of. */
export interface VaultParts {
  readonly keyring: Keyring;
  readonly pool: Pool;
  readonly ledger: Ledger;
  readonly guard: Guard;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly limits: Omit<Limits, "nowMs">;
  readonly signing: "auto" | "sync" | "async";
  /** Told when nobody knows any more what is on the disk; only a fresh start may read it back. */
  readonly onBroken: (error: Error) => void;
}
