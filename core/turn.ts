/**
 * Several processes with the same plugins. Rooms that keep nothing run in all of them. A room that keeps state, or whose answers must
 * come from one place, runs in one of them at a time: a lease of the storage says in which, and in the others it is away and is reached
 * over the bus. A process that gets its turn starts those rooms as at any start, from what is durable, so nothing that a room holds in
 * memory can be out of date. A process that loses its turn ends and starts again, to wait.
 */
import type { Manifest } from "./plugin.ts";
import type { Lease, StorageDriver } from "./storage.ts";
import { streamsOf } from "./stores.ts";

/** This process's part in taking turns. */
export class Turn {
  readonly lease: Lease;
  readonly #single: ReadonlySet<string>;
  readonly #away: Set<string>;

  /** @param placed All rooms of this process. @param single Those that run in one process at a time. */
  constructor(lease: Lease, placed: readonly string[], single: readonly string[]) {
    this.lease = lease;
    this.#single = new Set(single);
    this.#away = new Set(placed);
  }

  /** True for rooms that run in one process at a time. */
  isSingle(room: string): boolean {
    return this.#single.has(room);
  }

  /** True for rooms of this process that do not answer here, or not yet. */
  isAway(room: string): boolean {
    return this.#away.has(room);
  }

  /** From now on the room answers here. */
  arrived(room: string): void {
    this.#away.delete(room);
  }
}

/**
 * Joins the others that run the same process, if the storage can be reached by others and a room of this one must run once.
 *
 * @param sections Validated configurations by plugin.
 */
export async function joinTurn(
  storage: StorageDriver,
  process: string,
  placed: readonly Manifest[],
  sections: ReadonlyMap<string, unknown>,
): Promise<Turn | null> {
  const single = placed.filter((manifest) => isSingle(manifest, sections.get(manifest.name)));
  if (storage.lease === undefined || single.length === 0) return null;
  const names = (manifests: readonly Manifest[]): string[] => manifests.map(({ name }) => name);
  return new Turn(await storage.lease(process), names(placed), names(single));
}

function isSingle(manifest: Manifest, config: unknown): boolean {
  return manifest.single === true || streamsOf(manifest, config).length > 0;
}
