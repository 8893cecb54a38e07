/** The secrets of a home, except the PINs, which the ceremony makes. Each is a file of mode 0600. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { durableWrite } from "../core/durable.ts";
import { createNkey, type Nkey, publicNkey } from "./nats.ts";

const ownerOnly = 0o600;

/** Writes one nkey seed a plugin that has none, and returns the public halves by plugin. */
export async function writeNkeys(
  home: string,
  plugins: readonly string[],
): Promise<ReadonlyMap<string, Nkey["publicKey"]>> {
  const publicKeys = new Map<string, string>();
  for (const plugin of plugins) {
    const path = join(home, "secrets", "nkeys", `${plugin}.nk`);
    const kept = await existing(path);
    if (kept !== null) {
      publicKeys.set(plugin, publicNkey(kept));
      continue;
    }
    const { seed, publicKey } = createNkey();
    await writeSecret(path, seed);
    publicKeys.set(plugin, publicKey);
  }
  return publicKeys;
}

/** Writes one 256-bit MAC key a pair of rooms that talk or vouch to each other and have none. */
export async function writePairKeys(
  home: string,
  pairs: readonly (readonly [asker: string, answerer: string])[],
): Promise<void> {
  for (const [asker, answerer] of pairs) {
    const path = join(home, "secrets", "pairs", `${asker}--${answerer}.key`);
    if ((await existing(path)) !== null) continue;
    await writeSecret(path, randomBytes(32).toString("hex"));
  }
}

/** Writes the secret that `chancery token` shows to the demo's identity provider. */
export async function writeAdminSecret(home: string): Promise<void> {
  await writeSecret(join(home, "secrets", "admin"), randomBytes(32).toString("hex"));
}

async function existing(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

async function writeSecret(path: string, secret: string): Promise<void> {
  await durableWrite(path, new TextEncoder().encode(`${secret}\n`), ownerOnly);
}
