/**
 * Every failpoint of a log over the real vault, as Sunlight does it: fails and did not happen, fails and happened all the same; and
 * then a second fault in the recovery from the first. After each, everything that was answered is in the log, and fsck is clean.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { lastSigned } from "../../events/hsm.ts";
import { appendEntry, readEntries } from "../../events/log.ts";
import { fsckLogs } from "../../plugins/log/commands.ts";
import log from "../../plugins/log/plugin.ts";
import { body, precertificate } from "../plugins/log-fixture.ts";
import { bootForTest, type TestInstallation } from "../support/boot.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import { demoKeys, softVault } from "../support/vault.ts";
import { pointedBus, pointedStorage, Points } from "./decorators.ts";

const logs = [
  { name: "ct", format: "rfc6962", key: "ct-log" },
  { name: "rekor", format: "rekor-v1", key: "rekor-v1-log" },
] as const;
type Name = (typeof logs)[number]["name"];

/** Points that lie on the way of an append, by log. */
const onTheWay = [
  { log: "ct", point: "storage.log-ct.commit" },
  { log: "ct", point: "vault.sign.checkpoint" },
  { log: "ct", point: "vault.sign.treeHead" },
  { log: "ct", point: "vault.sign.scts" },
  { log: "rekor", point: "storage.log-rekor.commit" },
  { log: "rekor", point: "vault.sign.checkpoint" },
  { log: "rekor", point: "vault.sign.signedEntryTimestamps" },
] as const;

const vault = await softVault({ keys: demoKeys });
const points = new Points();
const driver = memoryStorage();
const answered: { readonly log: Name; readonly index: bigint; readonly hash: string }[] = [];
let installation: TestInstallation;
let number = 0;

beforeAll(async () => {
  installation = await boot();
});
afterAll(async () => {
  await installation.dispose();
  vault.dispose();
});

async function boot(): Promise<TestInstallation> {
  return await bootForTest({
    entries: [vault.entry, log],
    config: { hsm: vault.config, log: { logs } },
    storage: pointedStorage(driver, points),
    around: (bus) => pointedBus(bus, points),
    home: vault.home,
    pin: vault.pin,
    fatal: () => undefined,
  });
}

/** Appends under a new identity; remembers the answer, if there is one. */
async function append(name: Name): Promise<void> {
  const entry = name === "ct" ? precertificate(++number) : body(++number);
  const asker = name === "ct" ? "ct" : "rekor";
  const answer = await installation.ask(appendEntry, { log: name, entry }, asker);
  answered.push({ log: name, index: answer.index, hash: answer.leafHash.toHex() });
}

/** Whatever became of the first process, the next one starts, is clean, and holds what was answered. */
async function recover(): Promise<void> {
  points.clear();
  await installation.dispose();
  installation = await boot();
  for (const { name } of logs) await append(name);
  await expectKept();
}

async function expectKept(): Promise<void> {
  const heads = new Map<string, { readonly size: bigint; readonly root: Uint8Array }>();
  for (const { name, key } of logs) {
    heads.set(name, await installation.ask(lastSigned, { key }, "log"));
  }
  const findings = await fsckLogs({
    openReader: async (name) => await driver.openReader(`log-${name}`),
    logs: logs.map(({ name, format, key }) => ({
      name,
      format,
      publicKey: vault.keys[key] ?? new Uint8Array(),
      origin: demoKeys.find(({ label }) => label === key)?.origin ?? "",
      noteName: "localhost",
    })),
    lastSigned: async (name) => heads.get(name) ?? null,
  });
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  for (const { log: name, index } of answered.slice(-4)) {
    const page = await installation.ask(readEntries, { log: name, from: index, limit: 1 }, "ct");
    expect(page.entries).toHaveLength(1);
  }
}

test.for(onTheWay.flatMap((it) => (["before", "after"] as const).map((when) => ({ ...it, when }))))(
  "an error $when $point of $log loses nothing that was answered",
  async ({ log: name, point, when }) => {
    const hits = points.hits;
    points.set(`${point}.${when}`, { kind: "error" });
    const asked = append(name).catch(() => undefined);
    while (points.hits === hits) await new Promise((resolve) => setTimeout(resolve, 5));
    await recover();
    await asked;
  },
);

test.for(onTheWay.map(({ log: name, point }) => ({ log: name, point })))(
  "a second error while it recovers from one at $point of $log loses nothing either",
  async ({ log: name, point }) => {
    const hits = points.hits;
    points.set(`${point}.after`, { kind: "error" });
    const asked = append(name).catch(() => undefined);
    while (points.hits === hits) await new Promise((resolve) => setTimeout(resolve, 5));
    await installation.dispose();
    points.set(`${point}.before`, { kind: "error" });
    points.set("vault.lastSigned.after", { kind: "error" });
    await boot().then(
      async (half) => await half.dispose(),
      () => undefined,
    );
    await asked;
    await recover();
  },
);

test("the points that the table names were all reached", () => {
  for (const { point } of onTheWay) {
    expect([...points.reached]).toContain(`${point}.before`);
    expect([...points.reached]).toContain(`${point}.after`);
  }
});
