/** New targets of a running repository: taken whole and verified or not at all, by operators alone, and served at once and for ever. */
import { createHash } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodeUtf8 } from "../../../core/formats/encoding.ts";
import * as tuf from "../../../core/formats/tuf.ts";
import type { StorageDriver } from "../../../core/storage.ts";
import { publishTargets, readTrustFile } from "../../../events/trust.ts";
import plugin from "../../../plugins/trust/plugin.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import "../../support/matchers.ts";
import { memoryStorage } from "../../support/memory-storage.ts";
import { refresh } from "./client.ts";
import { type FakeVault, fakeVault, targetFiles, testKey, TestHome } from "./genesis.ts";

const now = new Date("2026-11-21T00:00:00Z");
const content = encodeUtf8('{"mediaType":"another"}\n');
const changed = { ...targetFiles, "trusted_root.json": content };
let vault: FakeVault;
let home: TestHome;
let storage: StorageDriver;
let house: TestInstallation;

beforeEach(async () => {
  vault = fakeVault();
  home = new TestHome({
    snapshot: vault.keys.snapshot.spki,
    timestamp: vault.keys.timestamp.spki,
  });
  storage = memoryStorage();
  house = await start();
});
afterEach(async () => {
  await house.dispose();
  home[Symbol.dispose]();
});

const start = async () =>
  await bootForTest({
    entries: [vault.plugin, plugin],
    storage,
    clock: { now: () => now },
    home: home.path,
  });

/** A signed version of the targets. */
function targets(
  version: number,
  files: { readonly [name: string]: Uint8Array } = changed,
  { signer = home.targetsKey, expires = new Date("2030-01-01T00:00:00Z") } = {},
): Uint8Array {
  const named = Object.entries(files).map(([name, file]) => ({
    name,
    length: file.length,
    sha256: new Uint8Array(createHash("sha256").update(file).digest()),
  }));
  const signed = tuf.targetsRole({ version, expires, targets: named });
  return encodeUtf8(tuf.formatSignedRole(signed, [signer.sign(signed)]));
}

const newFiles = [{ name: "trusted_root.json", content }];
const publish = async (file = targets(2), files = newFiles, asker = "operator") =>
  await house.ask(publishTargets, { targets: file, files }, asker);

test("clients get the new targets at once, and after a restart", async () => {
  expect(await publish()).toEqual({ targets: 2, snapshot: 2, timestamp: 2 });
  expect((await refresh(house, now)).targets).toEqual(changed);
  // Whoever has read the snapshot before comes for the targets that it names.
  await house.ask(readTrustFile, { path: "1.targets.json" });
  await house.dispose();
  house = await start();
  expect((await refresh(house, now)).targets).toEqual(changed);
});

test("the version that is current may come again, the one before it may not", async () => {
  const file = targets(2);
  for (const _again of [false, true]) {
    expect(await publish(file)).toEqual({ targets: 2, snapshot: 2, timestamp: 2 });
  }
  await expect(publish(targets(1))).toFailWith("operation-refused");
});

test("a process that was killed before the metadata were written takes them later", async () => {
  await publish();
  await house.dispose();
  // The target file is there, the metadata are not.
  rmSync(join(home.directory, "2.targets.json"));
  storage = memoryStorage();
  vault = Object.assign(vault, { signed: vault.signed.splice(0) });
  house = await start();
  expect((await refresh(house, now)).targets).toEqual(targetFiles);
  await publish();
  expect((await refresh(house, now)).targets).toEqual(changed);
});

test.for([
  ["a version is left out", () => targets(3), newFiles],
  ["another key signed", () => targets(2, changed, { signer: testKey() }), newFiles],
  ["they have expired", () => targets(2, changed, { expires: now }), newFiles],
  ["a file does not come along", () => targets(2), []],
  [
    "a file is another one",
    () => targets(2),
    [{ name: "trusted_root.json", content: encodeUtf8("x") }],
  ],
  [
    "a file comes under another name",
    () => targets(2),
    [{ name: "signing_config.v0.2.json", content }],
  ],
  ["they are none", () => encodeUtf8("{}"), newFiles],
] as const)("nothing changes if %s", async ([, file, files]) => {
  const before = await refresh(house, now);
  await expect(publish(file(), [...files])).toFailWith("operation-refused");
  expect(await refresh(house, now)).toEqual(before);
  expect(existsSync(join(home.directory, "2.targets.json"))).toBe(false);
  expect(house.health()["trust"]).toEqual({ status: "ok" });
});

test.for(["http", "issuer", "test"])("nothing is published for %s", async (asker) => {
  await expect(publish(targets(2), newFiles, asker)).toFailWith("access-denied");
  expect((await refresh(house, now)).targets).toEqual(targetFiles);
});
