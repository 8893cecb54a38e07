/** What the kernel is given by the process it runs in. */
import type { Bus } from "./bus.ts";
import type { Clock } from "./clock.ts";
import type { OutboundFetch } from "./fetch.ts";
import type { Journal } from "./journal.ts";
import type { Manifest, Seals } from "./plugin.ts";
import type { StorageDriver } from "./storage.ts";
import type { Tracing } from "./trace.ts";
import type { Turn } from "./turn.ts";

/** Everything an installation touches. */
export interface Surroundings {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly journal: (plugin: string) => Journal;
  readonly storage: StorageDriver;
  readonly seals: (plugin: string) => Seals;
  readonly fetch: OutboundFetch;
  /** Absolute path of `CHANCERY_HOME`. */
  readonly home: string;
  /** Reads the token's PIN; only the vault's process has one. */
  readonly pin?: () => Promise<string>;
  /** Told when the process must end, because a commit's outcome is unknown. By default it is journalled and health fails. */
  readonly fatal?: (reason: string, cause: unknown) => void;
  /** Where several processes take turns with the rooms that must run once; absent where all rooms of this process run here. */
  readonly turn?: Turn;
  /** How often followers look for facts without being woken. */
  readonly pollMs?: number;
  /** How long a start waits for a needed plugin of another process; 0 does not wait. */
  readonly needWithinMs?: number;
  /** How long draining waits for what was accepted. */
  readonly drainMs?: number;
}

/** What all plugins of this process share. */
export interface House {
  readonly manifests: readonly Manifest[];
  readonly sections: ReadonlyMap<string, unknown>;
  readonly surroundings: Surroundings;
  readonly tracing: Tracing;
  /** True for the plugins that answer in this process. */
  readonly here: (name: string) => boolean;
}
