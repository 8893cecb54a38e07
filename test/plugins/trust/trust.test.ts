/** The trust plugin: a client that trusts only the first root gets everything, always fresh, and nothing else is served. */
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { sha256 } from "../../../core/crypto/hash.ts";
import { decodeUtf8, encodeHex } from "../../../core/formats/encoding.ts";
import type { StorageDriver } from "../../../core/storage.ts";
import { Failure } from "../../../events/failure.ts";
import { readTrustFile } from "../../../events/trust.ts";
import plugin from "../../../plugins/trust/plugin.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import { memoryStorage } from "../../support/memory-storage.ts";
import { refresh } from "./client.ts";
import { type FakeVault, fakeVault, targetFiles, testKey, TestHome } from "./genesis.ts";

const daySeconds = 86_400;
let now: Date;
let vault: FakeVault;
let home: TestHome;
let storage: StorageDriver;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  now = new Date("2026-11-21T00:00:00.700Z");
  vault = fakeVault();
  home = new TestHome(online());
  storage = memoryStorage();
});
afterEach(() => {
  vi.useRealTimers();
  home[Symbol.dispose]();
});

const online = () => ({
  snapshot: vault.keys.snapshot.spki,
  timestamp: vault.keys.timestamp.spki,
});
const start = async (driver = storage) =>
  await bootForTest({
    entries: [vault.plugin, plugin],
    storage: driver,
    clock: { now: () => now },
    home: home.path,
  });
const pass = (days: number) => {
  now = new Date(now.getTime() + days * daySeconds * 1_000);
};
/** Lets the timer tick until timestamp `version` is published. */
const tickTo = async (house: TestInstallation, version: number) =>
  await vi.waitFor(async () => {
    vi.advanceTimersByTime(60_000);
    expect((await refresh(house, now)).timestamp.version).toBe(version);
  });

describe("a client", () => {
  test("walks from the first root to every target", async () => {
    await using house = await start();
    const { targets, timestamp, snapshot } = await refresh(house, now);
    expect(targets).toEqual(targetFiles);
    expect(timestamp).toMatchObject({ version: 1, expires: new Date("2026-11-28T00:00:00Z") });
    expect(snapshot).toMatchObject({ version: 1, expires: new Date("2026-12-21T00:00:00Z") });
    expect(house.health()["trust"]).toEqual({ status: "ok" });
  });

  test("may keep all but the timestamp and the newest root for ever", async () => {
    await using house = await start();
    const immutable = async (path: string) => (await house.ask(readTrustFile, { path })).immutable;
    for (const path of ["1.root.json", "1.targets.json", "1.snapshot.json"]) {
      expect(await immutable(path)).toBe(true);
    }
    for (const path of ["timestamp.json", "root.json"]) expect(await immutable(path)).toBe(false);
  });

  test("follows a rotation of the online keys", async () => {
    const first = await start();
    await refresh(first, now);
    await first.dispose();
    const [before, rotated] = [home, fakeVault()];
    vault = rotated;
    before.writeRoot(2, { online: online() });
    await using house = await start();
    const { root, timestamp, snapshot } = await refresh(house, now);
    expect(root.version).toBe(2);
    // The numbers go on, because clients remember them.
    expect([snapshot.version, timestamp.version]).toEqual([2, 2]);
  });

  test("sees new targets once they are there", async () => {
    await (await start()).dispose();
    const files = { ...targetFiles, "ctfe.pub": Uint8Array.of(1) };
    home.writeTargets(2, files);
    await using house = await start();
    const { targets, snapshot } = await refresh(house, now);
    expect(targets).toEqual(files);
    expect(snapshot).toMatchObject({ version: 2, targets: { version: 2 } });
  });
});

describe("paths", () => {
  test.for([
    "",
    "/1.root.json",
    "1.root.json/",
    "./1.root.json",
    "01.root.json",
    "0.root.json",
    "2.root.json",
    "1.ROOT.json",
    "1.root.json\u0000",
    "2.snapshot.json",
    "01.snapshot.json",
    "1.snapshot.json\n",
    "99999999999.snapshot.json",
    "1.timestamp.json",
    "snapshot.json",
    "targets.json",
    "targets",
    "targets/",
    "targets/trusted_root.json",
    "targets/../1.root.json",
    "../../notes.txt",
    "notes.txt",
    "targets/notes.txt",
    "targets%2fnotes.txt",
    "__proto__",
  ])("do not lead to %j", async (path) => {
    writeFileSync(join(home.directory, "notes.txt"), "secret");
    writeFileSync(join(home.directory, "targets", "notes.txt"), "secret");
    await using house = await start();
    const failing = house.ask(readTrustFile, { path });
    await expect(failing).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("renewal", () => {
  test("does not happen while what is published is young, also over restarts", async () => {
    await (await start()).dispose();
    pass(3);
    await using house = await start();
    vi.advanceTimersByTime(600_000);
    const { timestamp, snapshot } = await refresh(house, now);
    expect([timestamp.version, snapshot.version]).toEqual([1, 1]);
    expect(vault.signed).toHaveLength(2);
  });

  test("happens at half-life: the timestamp after 3.5 days, the snapshot after 15", async () => {
    await using house = await start();
    pass(3.49);
    vi.advanceTimersByTime(60_000);
    expect((await refresh(house, now)).timestamp.version).toBe(1);
    pass(0.02);
    await tickTo(house, 2);
    expect((await refresh(house, now)).snapshot.version).toBe(1);
    pass(12);
    await tickTo(house, 3);
    expect((await refresh(house, now)).snapshot.version).toBe(2);
    expect(vault.signed).toHaveLength(5);
    // A client in the middle of its walk still finds the snapshot it was told of.
    const { content } = await house.ask(readTrustFile, { path: "1.snapshot.json" });
    expect(content.length).toBeGreaterThan(100);
  });

  test("happens before readiness when the service was down for long", async () => {
    await (await start()).dispose();
    pass(400);
    await using house = await start();
    expect(await refresh(house, now)).toMatchObject({ timestamp: { version: 2 } });
  });

  test("stops when the service drains", async () => {
    await (await start()).dispose();
    pass(10);
    vi.advanceTimersByTime(600_000);
    expect(vault.signed).toHaveLength(2);
  });
});

describe("renewal that goes wrong", () => {
  test("takes the next number after a crash between signing and storing", async () => {
    const crashing = failingOnce(storage, "timestamp.json");
    await expect(start(crashing)).rejects.toThrow("power cut");
    expect(vault.signed).toHaveLength(2);
    await using house = await start();
    expect(await refresh(house, now)).toMatchObject({
      timestamp: { version: 2 },
      snapshot: { version: 2 },
    });
  });

  test("takes the next number after a crash between reserving and signing", async () => {
    vault.fail(new Failure("key-unavailable", "the token is gone"));
    await expect(start()).rejects.toThrow("the token is gone");
    vault.fail(null);
    await using house = await start();
    expect((await refresh(house, now)).timestamp.version).toBeGreaterThan(0);
  });

  test("is told, is tried again, and serves the old files meanwhile", async () => {
    await using house = await start();
    vault.fail(new Failure("key-unavailable", "the token is gone"));
    pass(4);
    vi.advanceTimersByTime(60_000);
    await vi.waitFor(() => expect(house.health()["trust"]?.status).toBe("degraded"));
    expect(house.health()["trust"]).toMatchObject({
      reason: expect.stringContaining("the token is gone") as string,
      since: now,
    });
    expect((await refresh(house, now)).timestamp.version).toBe(1);
    pass(4);
    expect(house.health()["trust"]).toMatchObject({ status: "failed" });
    vault.fail(null);
    await tickTo(house, 2);
    await vi.waitFor(() => expect(house.health()["trust"]).toEqual({ status: "ok" }));
    await refresh(house, now);
  });

  test("is forgiven while the old files are valid, and not after", async () => {
    await (await start()).dispose();
    vault.fail(new Failure("key-unavailable", "the token is gone"));
    pass(4);
    const degraded = await start();
    expect(degraded.health()["trust"]).toMatchObject({ status: "degraded" });
    await degraded.dispose();
    pass(4);
    await expect(start()).rejects.toThrow("the token is gone");
  });

  test("refuses a vault key that the root does not name", async () => {
    const stranger = fakeVault();
    const entries = [stranger.plugin, plugin];
    const failing = bootForTest({ entries, storage, clock: { now: () => now }, home: home.path });
    await expect(failing).rejects.toThrow(/the root does not name key "tuf-snapshot"/);
    expect(stranger.signed).toEqual([]);
  });
});

describe("genesis material", () => {
  const content = targetFiles["trusted_root.json"] ?? new Uint8Array();
  const first = () => join(home.directory, "targets", targetName(content));

  test.for([
    ["no root", () => rmSync(join(home.directory, "1.root.json")), /1\.root\.json is missing/],
    ["no directory", () => rmSync(home.directory, { recursive: true }), /1\.root\.json is missing/],
    ["a gap between roots", () => home.writeRoot(3), /2\.root\.json is missing/],
    ["no targets", () => rmSync(join(home.directory, "1.targets.json")), /no targets metadata/],
    ["a target missing", () => rmSync(first()), /is missing/],
    ["a target cut short", () => truncateSync(first(), 3), /is not what the targets metadata say/],
    [
      "a target changed",
      () =>
        writeFileSync(
          first(),
          content.map((byte) => byte ^ 1),
        ),
      /is not what the targets metadata say/,
    ],
    ["targets signed by another key", () => home.writeTargets(1, {}, [testKey()]), /0 of the 1/],
    [
      "a root signed by another key",
      () => home.writeRoot(2, { signers: [testKey()] }),
      /0 of the 1/,
    ],
    [
      "a target that is a path",
      () => home.writeTargets(2, { "..x": content }),
      /not a plain file name/,
    ],
    [
      "a root that is not JSON",
      () => writeFileSync(join(home.directory, "1.root.json"), "{"),
      /1\.root\.json: json/,
    ],
  ] as const)("with %s is judged before anything is signed", async ([, damage, message]) => {
    damage();
    await expect(start()).rejects.toThrow(message);
    expect(vault.signed).toEqual([]);
  });

  test("near its end asks for a ceremony, and after it the service has failed", async () => {
    home.writeRoot(1, { expires: new Date(now.getTime() + 31 * daySeconds * 1_000) });
    await using house = await start();
    expect(house.health()["trust"]).toEqual({ status: "ok" });
    pass(2);
    expect(house.health()["trust"]).toMatchObject({
      status: "degraded",
      reason: expect.stringMatching(/the root metadata expire on .*hold a ceremony/) as string,
    });
  });
});

function targetName(bytes: Uint8Array): string {
  return `${encodeHex(sha256(bytes))}.trusted_root.json`;
}

/** A driver whose first commit of `file` is cut off: nothing is stored, and the partition refuses everything after. */
function failingOnce(driver: StorageDriver, file: string): StorageDriver {
  return {
    create: async (name, shape) => await driver.create(name, shape),
    openReader: async (name) => await driver.openReader(name),
    async open(name, shape) {
      const partition = await driver.open(name, shape);
      return {
        get: async (from, key) => await partition.get(from, key),
        scan: async (from, range) => await partition.scan(from, range),
        read: async (stream, after, limit) => await partition.read(stream, after, limit),
        async commit(commit) {
          if (commit.writes?.some(({ key }) => decodeUtf8(key) === file)) {
            throw new Error("power cut");
          }
          return await partition.commit(commit);
        },
        [Symbol.asyncDispose]: async () => await partition[Symbol.asyncDispose](),
      };
    },
    [Symbol.asyncDispose]: async () => await driver[Symbol.asyncDispose](),
  };
}
