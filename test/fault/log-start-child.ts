/**
 * Starts a log whose store is in a folder, and is killed by itself (SIGKILL) at a read of its own choice while that start goes on.
 * `node log-start-child.ts FOLDER VAULT READ`: VAULT is JSON of the key (PEM), and size and root of what it signed last; READ the number
 * of the read that is the last. A start that gets by says how many reads there were, and ends.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";
import type { StorageDriver } from "../../core/storage.ts";
import log from "../../plugins/log/plugin.ts";
import { sqliteDriver } from "../../plugins/storage/sqlite.ts";
import { TestVault, vaultPlugin } from "../plugins/log-vault.ts";
import { bootForTest } from "../support/boot.ts";

const [directory = "", kept = "", last = ""] = process.argv.slice(2);
const { key, size, root } = JSON.parse(kept) as { readonly [name: string]: string };
const privateKey = createPrivateKey(key ?? "");
const vault = new TestVault("localhost", { privateKey, publicKey: createPublicKey(privateKey) });
vault.last = { size: BigInt(size ?? ""), root: Uint8Array.fromHex(root ?? "") };

let reads = 0;
const count = (): void => {
  if (++reads === Number(last)) process.kill(process.pid, "SIGKILL");
};

const driver = sqliteDriver({ directory });
const storage: StorageDriver = {
  create: async (...given) => await driver.create(...given),
  openReader: async (name) => await driver.openReader(name),
  async open(name, shape) {
    const inner = await driver.open(name, shape);
    return {
      get: async (...given) => (count(), await inner.get(...given)),
      scan: async (...given) => (count(), await inner.scan(...given)),
      read: async (...given) => (count(), await inner.read(...given)),
      commit: async (commit) => await inner.commit(commit),
      [Symbol.asyncDispose]: async () => await inner[Symbol.asyncDispose](),
    };
  },
  [Symbol.asyncDispose]: async () => await driver[Symbol.asyncDispose](),
};

await using _installation = await bootForTest({
  entries: [vaultPlugin({ key: vault }), log],
  config: { hsm: {}, log: { logs: [{ name: "one", format: "rekor-v2", key: "key" }] } },
  storage,
});
process.stdout.write(`${reads}\n`);
