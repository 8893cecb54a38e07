/** Makes an installation's storage: all of it at genesis, and what a newer release introduces at that release's first start. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { durableWrite } from "../core/durable.ts";
import { configure } from "../core/kernel.ts";
import { startOrder } from "../core/graph.ts";
import { type NamedPartition, partitionsOf } from "../core/stores.ts";
import { openStorage, readConfiguration, readInstance } from "./load.ts";
import { plugins } from "./plugins.ts";

/** Partitions that homes of older releases do not have, each in the release that introduced it. */
export const introducedStores: readonly string[] = ["audit"];

/**
 * Creates every partition that the plugins of the home's `config.yaml` keep.
 *
 * @throws {CompositionError} if the configuration is wrong; and if a partition is already there.
 */
export async function createStorage(home: string): Promise<void> {
  await using storage = openStorage(home);
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
  await using storage = openStorage(home);
  const made: string[] = [];
  for (const { name, shape } of partitions) {
    // A start that was killed before the note was written has left it, empty or in use.
    if (existsSync(join(home, "data", `${name}.db`))) continue;
    await storage.create(name, shape);
    made.push(name);
  }
  const noted = { ...instance, stores: [...stores, ...missing] };
  await durableWrite(join(home, "instance.json"), `${JSON.stringify(noted, null, 2)}\n`, 0o600);
  return made;
}

async function partitionsIn(home: string): Promise<readonly NamedPartition[]> {
  const manifests = startOrder(plugins.map(({ manifest }) => manifest));
  const { sections } = await readConfiguration(home);
  return partitionsOf(manifests, await configure(manifests, sections));
}
