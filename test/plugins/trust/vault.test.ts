/** The trust plugin with a real vault on SoftHSM. */
import { afterAll, beforeAll, expect, test } from "vitest";
import plugin from "../../../plugins/trust/plugin.ts";
import { bootForTest } from "../../support/boot.ts";
import { memoryStorage } from "../../support/memory-storage.ts";
import { demoKeys, type SoftVault, softVault } from "../../support/vault.ts";
import { refresh } from "./client.ts";
import { TestHome } from "./genesis.ts";

let vault: SoftVault;
let now = new Date();

beforeAll(async () => {
  vault = await softVault({ keys: demoKeys.filter(({ label }) => label.startsWith("tuf-")) });
  const { "tuf-snapshot": snapshot, "tuf-timestamp": timestamp } = vault.keys;
  if (snapshot === undefined || timestamp === undefined) throw new Error("keys are missing");
  // The vault's home also holds the repository, and goes with it.
  void new TestHome({ snapshot, timestamp }, vault.home);
});
afterAll(() => vault.dispose());

test("a client verifies what the vault signed, before and after half-life", async () => {
  const storage = memoryStorage();
  const start = async () =>
    await bootForTest({
      entries: [vault.entry, plugin],
      config: { hsm: vault.config },
      storage,
      clock: { now: () => now },
      home: vault.home,
      pin: vault.pin,
    });
  const first = await start();
  expect((await refresh(first, now)).timestamp.version).toBe(1);
  await first.dispose();
  now = new Date(now.getTime() + 4 * 86_400_000);
  await using second = await start();
  const { timestamp, snapshot } = await refresh(second, now);
  expect([timestamp.version, snapshot.version]).toEqual([2, 1]);
});
