/** Every plugin in a process of its own: how a home is told, and what its processes are called. */
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { plugins } from "../../config/plugins.ts";

/** The plugins' processes when nothing is co-located: each is called as its plugin, the vault as ever. */
export const processesApart: readonly string[] = plugins.map(({ manifest, process }) =>
  process === "vault" ? process : manifest.name,
);

/** Tells a home that has no `placement` yet to give each plugin a process of its own. */
export async function placeApart(home: string): Promise<void> {
  const lines = processesApart
    .filter((name) => name !== "vault")
    .map((name) => `  ${name}: ${name}`);
  await appendFile(join(home, "config.yaml"), `placement:\n${lines.join("\n")}\n`);
}
