/** The repository in the store: what one process published is served by the next one, whose folder is a copy of before. */
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { encodeUtf8 } from "../../../core/formats/encoding.ts";
import * as tuf from "../../../core/formats/tuf.ts";
import type { StorageDriver } from "../../../core/storage.ts";
import { publishTargets } from "../../../events/trust.ts";
import { fsckTrust } from "../../../plugins/trust/commands.ts";
import plugin from "../../../plugins/trust/plugin.ts";
import { readShared, rowsToShare, writeMissing } from "../../../plugins/trust/shared.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import { memoryStorage } from "../../support/memory-storage.ts";
import { refresh } from "./client.ts";
import { type FakeVault, fakeVault, targetFiles, TestHome } from "./genesis.ts";

const now = new Date("2026-11-21T00:00:00Z");
let vault: FakeVault;
let home: TestHome;
let storage: StorageDriver;

beforeEach(() => {
  vault = fakeVault();
  home = new TestHome({
    snapshot: vault.keys.snapshot.spki,
    timestamp: vault.keys.timestamp.spki,
  });
  storage = memoryStorage();
  onTestFinished(() => home[Symbol.dispose]());
});

const start = async (): Promise<TestInstallation> =>
  await bootForTest({
    entries: [vault.plugin, plugin],
    storage,
    clock: { now: () => now },
    home: home.path,
  });

/** Publishes targets of version 2 that name the same files. */
async function publishSecond(house: TestInstallation): Promise<Uint8Array> {
  const before = tuf.parseTargets(
    JSON.parse(readFileSync(join(home.directory, "1.targets.json"), "utf8")).signed,
  );
  const expires = new Date("2031-01-01T00:00:00Z");
  const signed = tuf.targetsRole({ ...before, version: 2, expires });
  const targets = encodeUtf8(tuf.formatSignedRole(signed, [home.targetsKey.sign(signed)]));
  await house.ask(publishTargets, { targets, files: [] }, "operator");
  return targets;
}

test("a folder of before gets what was published elsewhere, and serves it", async () => {
  const copy = `${home.directory}-before`;
  cpSync(home.directory, copy, { recursive: true });
  const first = await start();
  await publishSecond(first);
  await first.dispose();
  // The other machine: the same store, the folder as it was copied there.
  rmSync(home.directory, { recursive: true });
  cpSync(copy, home.directory, { recursive: true });
  const second = await start();
  expect((await refresh(second, now)).targets).toEqual(targetFiles);
  expect(existsSync(join(home.directory, "2.targets.json"))).toBe(true);
  await second.dispose();
});

test("another file of the same name is not started with, and fsck says so", async () => {
  const first = await start();
  await publishSecond(first);
  await first.dispose();
  const file = join(home.directory, "2.targets.json");
  const { signed } = JSON.parse(readFileSync(file, "utf8")) as { signed: { expires: string } };
  const other = { ...signed, expires: "2032-01-01T00:00:00Z" };
  writeFileSync(file, tuf.formatSignedRole(other, [home.targetsKey.sign(other)]));
  await expect(start()).rejects.toThrow("2.targets.json is not the one that was published");
  await using reader = await storage.openReader("trust");
  const firstRoot = join(home.directory, "1.root.json");
  const { findings } = await fsckTrust({ directory: home.directory, firstRoot, reader });
  expect(findings).toContainEqual({
    severity: "error",
    text: "trust: 2.targets.json is not the one that was published: the store has another",
  });
});

test("a file larger than a value of the store comes back whole", async () => {
  const path = `targets/${"ab".repeat(32)}.large`;
  const files = new Map([[path, new Uint8Array(9_000_000).fill(7)]]);
  await storage.create("room", { tables: ["files"], streams: [] });
  await using store = await storage.open("room", { tables: ["files"], streams: [] });
  await store.commit({ writes: rowsToShare(files, new Map()) });
  expect(rowsToShare(files, await readShared(store))).toEqual([]);
  await writeMissing(home.directory, await readShared(store));
  expect(readFileSync(join(home.directory, path)).equals(files.get(path) ?? Buffer.of())).toBe(
    true,
  );
});
