/**
 * Makes an installation's storage: all of it at genesis, what a newer release introduces at that release's first start, and what the
 * configuration has come to ask for.
 */
import { join } from "node:path";
import { durableWrite } from "../core/durable.ts";
import { configure } from "../core/kernel.ts";
import { startOrder } from "../core/graph.ts";
import { MissingPartition, type StorageDriver } from "../core/storage.ts";
import { type NamedPartition, partitionsOf } from "../core/stores.ts";
import { identity } from "../plugins/identity/manifest.ts";
import { openStorage, readConfiguration, readInstance } from "./load.ts";
import { plugins } from "./plugins.ts";

/** Partitions that homes of older releases do not have, each in the release that introduced it. */
export const introducedStores: readonly string[] = ["audit", "idp"];

/**
 * Creates every partition that the plugins of the home's `config.yaml` keep.
 *
 * @throws {CompositionError} if the configuration is wrong; and if a partition is already there.
 */
export async function createStorage(home: string): Promise<void> {
  await using storage = await openStorage(home);
  for (const { name, shape } of await partitionsIn(home)) {
    // One after the other: genesis is not in a hurry, and a failure names its partition.
    await storage.create(name, shape);
  }
}

/**
 * Makes the partitions that this release introduced and that the home has never had, and writes that down in `instance.json`: what
 * is written there and missing later is lost, and never made anew. Returns the names of those it made.
 *
 * @throws {CompositionError} if home or configuration are wrong.
 */
export async function introduceStorage(home: string): Promise<readonly string[]> {
  const instance = await readInstance(home);
  const { stores = [] } = instance;
  const missing = introducedStores.filter((name) => !stores.includes(name));
  if (missing.length === 0) return [];
  const partitions = (await partitionsIn(home)).filter(({ name }) => missing.includes(name));
  await using storage = await openStorage(home);
  const made: string[] = [];
  for (const { name, shape } of partitions) {
    // A start that was killed before the note was written has left it, empty or in use.
    if (await isThere(storage, name)) continue;
    await storage.create(name, shape);
    made.push(name);
  }
  const noted = { ...instance, stores: [...stores, ...missing] };
  await durableWrite(join(home, "instance.json"), `${JSON.stringify(noted, null, 2)}\n`, 0o600);
  return made;
}

/**
 * Creates the store of used tokens if the configuration has come to want one. Nothing else is ever made anew: what is missing there
 * was a promise, and this is only what was seen lately.
 *
 * @throws {CompositionError} if the configuration is wrong.
 */
export async function addTokenStorage(home: string): Promise<void> {
  const { sections } = await readConfiguration(home);
  const section = new Map([[identity.manifest.name, sections[identity.manifest.name]]]);
  const configured = await configure([identity.manifest], Object.fromEntries(section));
  await using storage = await openStorage(home);
  for (const { name, shape } of partitionsOf([identity.manifest], configured)) {
    if (!(await isThere(storage, name))) await storage.create(name, shape);
  }
}

/** Asks the storage for something, if it is one that may not be there. @throws as it does if it cannot be used now */
export async function reachStorage(home: string): Promise<void> {
  const { storage: config } = await readConfiguration(home);
  if (config.driver === "sqlite") return;
  await using storage = await openStorage(home);
  await isThere(storage, "issuer");
}

/** Whether the storage has a partition of this name. */
export async function isThere(storage: StorageDriver, name: string): Promise<boolean> {
  try {
    await using _reader = await storage.openReader(name);
    return true;
  } catch (thrown) {
    if (thrown instanceof MissingPartition) return false;
    throw thrown;
  }
}

/** Every partition that the home's plugins keep, as its configuration says. */
export async function partitionsIn(home: string): Promise<readonly NamedPartition[]> {
  const manifests = startOrder(plugins.map(({ manifest }) => manifest));
  const { sections } = await readConfiguration(home);
  return partitionsOf(manifests, await configure(manifests, sections));
}
