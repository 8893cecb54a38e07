/**
 * Who may say what on the bus of a home: an nkey a plugin and one for the operator, a MAC key a pair that talks, and the server's
 * allow-lists. What is there is kept; what a newer release needs is added, so that a home made by an older one goes on.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pairs, permissions } from "../core/acl.ts";
import { durableWrite } from "../core/durable.ts";
import type { Instance } from "../config/schema.ts";
import { parties } from "../config/operator.ts";
import { formatNatsConfiguration } from "./nats.ts";
import { writeNkeys, writePairKeys } from "./secrets.ts";

/** Writes nkeys and pair keys that are not there yet, and the server's configuration, which follows from the manifests alone. */
export async function writeAccess(home: string, { natsPort }: Instance): Promise<void> {
  const names = parties.map(({ name }) => name);
  const publicKeys = await writeNkeys(home, names);
  await writePairKeys(home, pairs(parties));
  const users = [...permissions(parties)].map(([name, allowed]) => ({
    name,
    publicKey: publicKeys.get(name) ?? "",
    permissions: allowed,
  }));
  const path = join(home, "nats", "nats.conf");
  const text = formatNatsConfiguration(natsPort, users);
  const written = await readFile(path, "utf8").catch(() => null);
  if (written !== text) await durableWrite(path, text, 0o600);
}
