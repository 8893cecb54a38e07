/** The next root of a running repository: taken only as the root before it and it itself demand, by operators alone, and followed by clients. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeUtf8 } from "../../../core/formats/encoding.ts";
import * as tuf from "../../../core/formats/tuf.ts";
import type { StorageDriver } from "../../../core/storage.ts";
import { publishRoot } from "../../../events/trust.ts";
import plugin from "../../../plugins/trust/plugin.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import "../../support/matchers.ts";
import { memoryStorage } from "../../support/memory-storage.ts";
import { refresh } from "./client.ts";
import { type FakeVault, fakeVault, type TestKey, testKey, TestHome } from "./genesis.ts";

const now = new Date("2026-11-21T00:00:00Z");
const later = new Date("2030-01-01T00:00:00Z");
const members = [testKey(), testKey(), testKey()] as const;
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

interface Wanted {
  readonly version?: number;
  readonly keys?: readonly TestKey[];
  readonly threshold?: number;
  readonly signers?: readonly TestKey[];
  readonly expires?: Date;
  readonly targets?: TestKey;
  readonly snapshot?: Uint8Array;
}

/** A root of any two of three new keys, which the old key and two of them have signed, but for what is said otherwise. */
function root(wanted: Wanted = {}): Uint8Array {
  const { version = 2, keys = members, threshold = 2, expires = later } = wanted;
  const { signers = [home.rootKey, members[0], members[1]], targets = home.targetsKey } = wanted;
  const online = {
    snapshot: tuf.tufKey(wanted.snapshot ?? vault.keys.snapshot.spki),
    timestamp: vault.keys.timestamp.tufKey,
  };
  const one = ({ keyid }: tuf.TufKey) => ({ keyids: [keyid], threshold: 1 });
  const signed = tuf.rootRole({
    version,
    expires,
    keys: [...keys.map(({ tufKey }) => tufKey), targets.tufKey, ...Object.values(online)],
    roles: {
      root: { keyids: keys.map(({ tufKey }) => tufKey.keyid), threshold },
      targets: one(targets.tufKey),
      snapshot: one(online.snapshot),
      timestamp: one(online.timestamp),
    },
  });
  const signatures = signers.map((signer) => signer.sign(signed));
  return encodeUtf8(tuf.formatSignedRole(signed, signatures));
}

const publish = async (file: Uint8Array, asker = "operator") =>
  await house.ask(publishRoot, { root: file }, asker);
const versionNow = async () => (await refresh(house, now)).root.version;

test("clients follow to the new root at once, and after a restart", async () => {
  const before = await refresh(house, now);
  const file = root();
  expect(await publish(file)).toEqual({ root: 2, snapshot: 1, timestamp: 1 });
  const after = await refresh(house, now);
  expect(after.root).toMatchObject({ version: 2, roles: { root: { threshold: 2 } } });
  expect(after.targets).toEqual(before.targets);
  expect(readFileSync(join(home.directory, "2.root.json"))).toEqual(Buffer.from(file));
  await house.dispose();
  house = await start();
  expect(await versionNow()).toBe(2);
});

test("what was taken may come again, as after a kill; another in its place may not", async () => {
  const file = root();
  for (const _again of [false, true]) expect(await publish(file)).toMatchObject({ root: 2 });
  await expect(publish(root({ expires: new Date("2031-01-01T00:00:00Z") }))).toFailWith(
    "operation-refused",
  );
  // A process that is killed after its one write finds the root there at its start.
  await house.dispose();
  house = await start();
  expect(await publish(file)).toMatchObject({ root: 2 });
});

test("two of the three go on from there; one of them, or the key before them, does not", async () => {
  await publish(root());
  const [first, second, third] = members;
  const next = (signers: readonly TestKey[]) => root({ version: 3, signers });
  for (const signers of [[first], [third], [home.rootKey], [home.rootKey, first]]) {
    await expect(publish(next(signers))).toFailWith("operation-refused");
  }
  expect(await versionNow()).toBe(2);
  expect(await publish(next([second, third]))).toMatchObject({ root: 3 });
  expect(await versionNow()).toBe(3);
  // No rollback, to any root that ever was.
  await expect(publish(root())).toFailWith("operation-refused");
  await expect(publish(encodeUtf8(home.read("1.root.json")))).toFailWith("operation-refused");
  expect(await versionNow()).toBe(3);
});

test("a root that has expired is followed by the next", async () => {
  await house.dispose();
  home.writeRoot(1, { expires: now });
  home.writeTargets(1);
  // It was the first from the beginning.
  storage = memoryStorage();
  vault.signed.splice(0);
  house = await start();
  expect(house.health()["trust"]?.status).toBe("failed");
  await publish(root());
  expect(house.health()["trust"]).toEqual({ status: "ok" });
  expect(await versionNow()).toBe(2);
});

describe("nothing changes if", () => {
  const cases: readonly (readonly [string, () => Uint8Array, RegExp])[] = [
    [
      "the threshold before it is missing",
      () => root({ signers: members }),
      /as the root before it demands: .*0 of the 1/,
    ],
    [
      "its own threshold is missing by one",
      () => root({ signers: [home.rootKey, members[2]] }),
      /as itself demands: .*1 of the 2/,
    ],
    ["a version is left out", () => root({ version: 3 }), /version 3, the next one is 2/],
    ["it is of the version in force", () => root({ version: 1 }), /the next one is 2/],
    ["it has expired", () => root({ expires: now }), /expired/],
    ["it names another key for targets", () => root({ targets: testKey() }), /targets: 0 of the 1/],
    [
      "it names another key for snapshots",
      () => root({ snapshot: testKey().spki }),
      /could not sign the snapshot/,
    ],
    ["it is none", () => encodeUtf8("{}"), /missing/],
    ["a byte of it was changed", () => flipped(root()), /./],
  ];
  test.for(cases)("%s", async ([, file, why]) => {
    const before = await refresh(house, now);
    await expect(publish(file())).rejects.toThrow(why);
    await expect(publish(file())).toFailWith("operation-refused");
    expect(await refresh(house, now)).toEqual(before);
    expect(existsSync(join(home.directory, "2.root.json"))).toBe(false);
    expect(house.health()["trust"]).toEqual({ status: "ok" });
  });
});

test("a root just within the size that clients take is looked at, one beyond is not", async () => {
  await expect(publish(new Uint8Array(512_000))).toFailWith("operation-refused");
  await expect(publish(new Uint8Array(512_001))).toFailWith("malformed");
});

test.for(["http", "issuer", "test"])("no root is published for %s", async (asker) => {
  await expect(publish(root(), asker)).toFailWith("access-denied");
  expect(await versionNow()).toBe(1);
});

test("a root that somebody put on the disk by hand is not started with", async () => {
  await house.dispose();
  writeFileSync(join(home.directory, "2.root.json"), root({ signers: members }));
  await expect(start()).rejects.toThrow(/0 of the 1 signatures/);
});

function flipped(file: Uint8Array): Uint8Array {
  const text = new TextDecoder().decode(file);
  return encodeUtf8(text.replace("2030-01-01", "2030-01-02"));
}
