/** The log against the real vault: guard, ledger and SoftHSM. */
import { createHash, createPublicKey, verify } from "node:crypto";
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
import { demoKeys, softVault, type SoftKey } from "../support/vault.ts";
import { body, precertificate } from "./log-fixture.ts";

const directory = mkdtempSync(join(tmpdir(), "chancery-log-"));
const keys = [
  ...demoKeys,
  {
    label: "rekor-v2-ed25519",
    algorithm: "ed25519",
    purposes: ["checkpoint"],
    askers: ["log"],
    origin: "localhost",
    noteName: "localhost",
  },
] as const satisfies readonly SoftKey[];
const vault = await softVault({ keys });
afterAll(() => {
  vault.dispose();
  rmSync(directory, { recursive: true });
});

const logs = [
  { name: "ct", format: "rfc6962", key: "ct-log" },
  { name: "rekor", format: "rekor-v1", key: "rekor-v1-log" },
  { name: "v2", format: "rekor-v2", key: "rekor-v2-ed25519" },
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

test("three logs append under load, restart, and are clean", async () => {
  const first = await boot();
  const count = 300;
  await Promise.all(
    Array.from({ length: count }, async (_, n) => {
      await first.ask(appendEntry, { log: "rekor", entry: body(n) }, "rekor");
      await first.ask(appendEntry, { log: "v2", entry: body(n) }, "rekor");
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
  const { head, logId } = await second.ask(latestHead, { log: "v2" });
  expectEd25519(head.checkpoint, logId, vault.keys["rekor-v2-ed25519"] ?? new Uint8Array());
  const again = await second.ask(appendEntry, { log: "ct", entry: precertificate(7) }, "ct");
  expect(again.known).toBe(true);
  await second.dispose();
  const findings = await fsckLogs({
    openReader: async (name) => await second.storage.openReader(`log-${name}`),
    logs: logs.map(({ name, format, key }) => ({
      name,
      format,
      publicKey: vault.keys[key] ?? new Uint8Array(),
      origin: keys.find(({ label }) => label === key)?.origin ?? "",
      noteName: "localhost",
    })),
    lastSigned: async (name) => signed.get(name) ?? null,
  });
  expect(findings).toEqual([]);
  await second.storage[Symbol.asyncDispose]();
});

/** As c2sp.org/signed-note has it, by node:crypto alone. */
function expectEd25519(checkpoint: string, logId: Uint8Array, spki: Uint8Array): void {
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  expect(key.asymmetricKeyType).toBe("ed25519");
  const id = createHash("sha256").update("localhost\n\u0001").update(spki.subarray(-32)).digest();
  expect(Buffer.from(logId)).toEqual(id);
  const [text = "", line = ""] = checkpoint.split("\n\n");
  const [, name, encoded = ""] = line.trimEnd().split(" ");
  const bytes = Buffer.from(encoded, "base64");
  expect([name, bytes.subarray(0, 4)]).toEqual(["localhost", id.subarray(0, 4)]);
  expect(verify(null, Buffer.from(`${text}\n`), key, bytes.subarray(4))).toBe(true);
}
