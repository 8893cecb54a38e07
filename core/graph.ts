/** Decides, from manifests alone, whether a set of plugins can run and in which order they start. */
import type { Ask, Fact } from "../events/contract.ts";
import { askKey } from "./bus.ts";
import type { Manifest } from "./plugin.ts";

/** Raised before any plugin code runs. The message says which plugin to fix, and how. */
export class CompositionError extends Error {
  override readonly name = "CompositionError";
}

/** The events the kernel itself answers in a room's name; no manifest may offer them. */
const kernelAsks = ["factsAfter", "reportHealth", "reportMetrics"] as const;

/**
 * Returns the manifests so that each comes after every plugin it needs.
 *
 * @throws {CompositionError} if a name repeats or is no room's name, an ask is offered twice, by the wrong room or never, a followed
 * fact is emitted by nobody, a plugin without state emits or follows, a named room does not exist, or the needs form a cycle.
 */
export function startOrder(manifests: readonly Manifest[]): Manifest[] {
  refuseNames(manifests);
  const offeredBy = offers(manifests);
  refuseFacts(manifests);
  refuseUnknownRooms(manifests);
  for (const { name, needs } of manifests) {
    const unmet = needs.find((ask) => !offeredBy.has(askKey(ask)));
    if (unmet) {
      throw new CompositionError(
        `"${name}" needs ${unmet.name}, which nobody offers: install the plugin "${unmet.room}" or drop the need`,
      );
    }
  }
  return sortByNeed(manifests, offeredBy);
}

/** A fact's key in tables. */
export const factKey = (fact: Fact): string => `${fact.room}.${fact.name}`;

function refuseNames(manifests: readonly Manifest[]): void {
  const names = new Set<string>();
  for (const { name } of manifests) {
    if (!/^[a-z]{1,32}$/.test(name)) {
      throw new CompositionError(`"${name}" is no plugin name: one lower-case word`);
    }
    if (names.has(name)) throw new CompositionError(`"${name}" is listed twice: remove one`);
    names.add(name);
  }
}

function offers(manifests: readonly Manifest[]): ReadonlyMap<string, Manifest> {
  const offeredBy = new Map<string, Manifest>();
  for (const manifest of manifests) {
    for (const ask of manifest.offers) refuseOffer(manifest, ask, offeredBy);
    for (const ask of manifest.offers) offeredBy.set(askKey(ask), manifest);
  }
  return offeredBy;
}

function refuseOffer({ name }: Manifest, ask: Ask, offeredBy: ReadonlyMap<string, Manifest>): void {
  const other = offeredBy.get(askKey(ask));
  if (other) {
    throw new CompositionError(
      `"${other.name}" and "${name}" both offer ${ask.name}: install only one of them`,
    );
  }
  if (ask.room !== name) {
    throw new CompositionError(
      `"${name}" offers ${ask.name}, which is declared for "${ask.room}": only that plugin may`,
    );
  }
  if (kernelAsks.some((reserved) => reserved === ask.name)) {
    throw new CompositionError(`"${name}" offers ${ask.name}, which the kernel answers: drop it`);
  }
}

function refuseFacts(manifests: readonly Manifest[]): void {
  const emitted = new Set(manifests.flatMap(({ emits }) => emits.map(factKey)));
  for (const manifest of manifests) {
    const { name, emits, follows, keeps } = manifest;
    if (!keeps && emits.length + follows.length > 0) {
      const does = emits.length > 0 ? "emits" : "follows";
      throw new CompositionError(`"${name}" ${does} facts but keeps no state: add "keeps"`);
    }
    if ((keeps?.partitioned ?? false) !== (manifest.partitions !== undefined)) {
      throw new CompositionError(
        `"${name}" must state both "keeps: { partitioned: true }" and "partitions", or neither`,
      );
    }
    const foreign = emits.find((fact) => fact.room !== name);
    if (foreign) {
      throw new CompositionError(
        `"${name}" emits ${foreign.name}, which is declared for "${foreign.room}": only that plugin may`,
      );
    }
    const silent = follows.find((fact) => !emitted.has(factKey(fact)));
    if (silent) {
      throw new CompositionError(
        `"${name}" follows ${silent.name}, which nobody emits: install the plugin "${silent.room}"`,
      );
    }
  }
}

function refuseUnknownRooms(manifests: readonly Manifest[]): void {
  const rooms = new Map(manifests.map((manifest) => [manifest.name, manifest]));
  for (const { name, reads = [], vouchesTo = [] } of manifests) {
    for (const room of reads) {
      if (!rooms.get(room)?.keeps) {
        throw new CompositionError(
          `"${name}" reads "${room}", which is no plugin that keeps state: install it or drop it from "reads"`,
        );
      }
    }
    const nobody = vouchesTo.find((room) => !rooms.has(room));
    if (nobody !== undefined) {
      throw new CompositionError(
        `"${name}" vouches to "${nobody}", which is not installed: install it or drop it from "vouchesTo"`,
      );
    }
  }
}

function sortByNeed(
  manifests: readonly Manifest[],
  offeredBy: ReadonlyMap<string, Manifest>,
): Manifest[] {
  const ordered = new Set<Manifest>();
  const place = (manifest: Manifest, path: readonly string[]): void => {
    if (ordered.has(manifest)) return;
    const here = [...path, manifest.name];
    if (path.includes(manifest.name)) {
      throw new CompositionError(
        `needs form a cycle: ${here.join(" → ")}: one of them must follow a fact instead`,
      );
    }
    for (const ask of manifest.needs) {
      const provider = offeredBy.get(askKey(ask));
      if (provider) place(provider, here);
    }
    ordered.add(manifest);
  };
  for (const manifest of manifests) place(manifest, []);
  return [...ordered];
}
