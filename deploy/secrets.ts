/** The secrets of a new home, except the PINs, which the ceremony makes. Each is a file of mode 0600. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { durableWrite } from "../core/durable.ts";
import { createNkey, type Nkey } from "./nats.ts";

const ownerOnly = 0o600;

/** Writes one nkey seed a plugin and returns the public halves by plugin. */
export async function writeNkeys(
  home: string,
  plugins: readonly string[],
): Promise<ReadonlyMap<string, Nkey["publicKey"]>> {
  const publicKeys = new Map<string, string>();
  for (const plugin of plugins) {
    const { seed, publicKey } = createNkey();
    await writeSecret(join(home, "secrets", "nkeys", `${plugin}.nk`), seed);
    publicKeys.set(plugin, publicKey);
  }
  return publicKeys;
}

/** Writes one 256-bit MAC key a pair of rooms that talk or vouch to each other. */
export async function writePairKeys(
  home: string,
  pairs: readonly (readonly [asker: string, answerer: string])[],
): Promise<void> {
  for (const [asker, answerer] of pairs) {
    await writeSecret(
      join(home, "secrets", "pairs", `${asker}--${answerer}.key`),
      randomBytes(32).toString("hex"),
    );
  }
}

/** Writes the secret that `chancery token` shows to the demo's identity provider. */
export async function writeAdminSecret(home: string): Promise<void> {
  await writeSecret(join(home, "secrets", "admin"), randomBytes(32).toString("hex"));
}

async function writeSecret(path: string, secret: string): Promise<void> {
  await durableWrite(path, new TextEncoder().encode(`${secret}\n`), ownerOnly);
}
