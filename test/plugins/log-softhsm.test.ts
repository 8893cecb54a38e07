/** The log against the real vault: guard, ledger and SoftHSM. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parseNote } from "../../core/formats/note.ts";
import { lastSigned } from "../../events/hsm.ts";
import { appendEntry, latestHead } from "../../events/log.ts";
import { fsckLogs } from "../../plugins/log/commands.ts";
import log from "../../plugins/log/plugin.ts";
import { tables } from "../../plugins/log/rows.ts";
import { sqliteDriver } from "../../plugins/storage/sqlite.ts";
import { bootForTest } from "../support/boot.ts";
import { demoKeys, softVault } from "../support/vault.ts";
import { body, precertificate } from "./log-fixture.ts";

const directory = mkdtempSync(join(tmpdir(), "chancery-log-"));
const vault = await softVault({ keys: demoKeys });
afterAll(() => {
  vault.dispose();
  rmSync(directory, { recursive: true });
});

const logs = [
  { name: "ct", format: "rfc6962", key: "ct-log" },
  { name: "rekor", format: "rekor-v1", key: "rekor-v1-log" },
] as const;

async function boot() {
  return await bootForTest({
    entries: [vault.entry, log],
    config: { hsm: vault.config, log: { logs } },
    storage: sqliteDriver({ directory }),
    home: vault.home,
    pin: vault.pin,
  });
}

test("two logs append under load, restart, and are clean", async () => {
  const first = await boot();
  const count = 300;
  await Promise.all(
    Array.from({ length: count }, async (_, n) => {
      await first.ask(appendEntry, { log: "rekor", entry: body(n) }, "rekor");
      await first.ask(appendEntry, { log: "ct", entry: precertificate(n) }, "ct");
    }),
  );
  await first.dispose();
  await first.storage[Symbol.asyncDispose]();

  const second = await boot();
  const signed = new Map<string, { readonly size: bigint; readonly root: Uint8Array }>();
  for (const { name, key } of logs) {
    const { head } = await second.ask(latestHead, { log: name });
    expect(head.size).toBe(BigInt(count));
    expect(parseNote(head.checkpoint).signatures.length).toBe(1);
    // Many entries share a head, or it would be the disk's speed that counts.
    await using reader = await second.storage.openReader(`log-${name}`);
    expect((await reader.scan(tables.heads, { limit: count })).length).toBeLessThan(count / 2);
    signed.set(name, await second.ask(lastSigned, { key }, "log"));
    expect(signed.get(name)?.size).toBe(BigInt(count));
  }
  const again = await second.ask(appendEntry, { log: "ct", entry: precertificate(7) }, "ct");
  expect(again.known).toBe(true);
  await second.dispose();
  const findings = await fsckLogs({
    openReader: async (name) => await second.storage.openReader(`log-${name}`),
    logs: logs.map(({ name, format, key }) => ({
      name,
      format,
      publicKey: vault.keys[key] ?? new Uint8Array(),
      origin: demoKeys.find(({ label }) => label === key)?.origin ?? "",
      noteName: "localhost",
    })),
    lastSigned: async (name) => signed.get(name) ?? null,
  });
  expect(findings).toEqual([]);
  await second.storage[Symbol.asyncDispose]();
});
