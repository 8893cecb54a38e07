/** Makes an installation's storage, once, at genesis. */
import { configure } from "../core/kernel.ts";
import { startOrder } from "../core/graph.ts";
import { partitionsOf } from "../core/stores.ts";
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
