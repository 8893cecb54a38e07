/** Makes an installation's storage: once, at genesis, and what may be added later when the configuration asks for it. */
import { configure } from "../core/kernel.ts";
import { startOrder } from "../core/graph.ts";
import { MissingPartition } from "../core/storage.ts";
import { partitionsOf } from "../core/stores.ts";
import { identity } from "../plugins/identity/manifest.ts";
import { openStorage, readConfiguration } from "./load.ts";
import { plugins } from "./plugins.ts";

/**
 * Creates every partition that the plugins of the home's `config.yaml` keep.
 *
 * @throws {CompositionError} if the configuration is wrong; and if a partition is already there.
 */
export async function createStorage(home: string): Promise<void> {
  const manifests = startOrder(plugins.map(({ manifest }) => manifest));
  const { sections } = await readConfiguration(home);
  await using storage = openStorage(home);
  for (const { name, shape } of partitionsOf(manifests, await configure(manifests, sections))) {
    // One after the other: genesis is not in a hurry, and a failure names its partition.
    await storage.create(name, shape);
  }
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
  await using storage = openStorage(home);
  for (const { name, shape } of partitionsOf([identity.manifest], configured)) {
    try {
      await using _reader = await storage.openReader(name);
    } catch (thrown) {
      if (!(thrown instanceof MissingPartition)) throw thrown;
      await storage.create(name, shape);
    }
  }
}
