/** The last step of a log's life: taken in its turn alone, for ever, and read after its key is gone. */
import { expect, test } from "vitest";
import {
  appendEntry,
  freezeLog,
  latestHead,
  listLogs,
  readEntries,
  retireLog,
  rollLog,
} from "../../events/log.ts";
import { describeLog, getEntry } from "../../events/rekor.ts";
import { fsckLogs, readRetirement } from "../../plugins/log/commands.ts";
import "../support/matchers.ts";
import { type House, started, v1 } from "./log-roll-house.ts";

const retire = async (house: House, log: string, asker = "operator") =>
  await house.ask(retireLog, { log }, asker);

test("a log is retired in its turn alone", async () => {
  const house = await started();
  await house.makeStorage("rekor-2");
  await house.submit(1);
  await expect(retire(house, "nowhere")).toFailWith("not-found");
  await expect(retire(house, "rekor", "rekor")).toFailWith("access-denied");
  // Active, and with a successor that is only created.
  await expect(retire(house, "rekor")).toFailWith("operation-refused");
  await house.stop();
  await house.start(v1.next);
  await expect(retire(house, "rekor")).toFailWith("operation-refused");
  await expect(retire(house, "rekor-2")).toFailWith("operation-refused");
  // Frozen, and nobody begins with its final checkpoint.
  await house.ask(freezeLog, { log: "rekor-v2" }, "operator");
  await expect(retire(house, "rekor-v2")).toFailWith("operation-refused");
  // Frozen, and its successor cannot begin.
  house.vaults["key-b"].fault = () => ({ kind: "fail", code: "guard-refused", when: "before" });
  await expect(house.ask(rollLog, v1.next, "operator")).toFailWith("log-unavailable");
  await expect(retire(house, "rekor")).toFailWith("operation-refused");
  expect(await house.phases()).toEqual(["rekor: frozen", "rekor-v2: frozen", "rekor-2: created"]);
  house.vaults["key-b"].fault = () => null;
  await house.ask(rollLog, v1.next, "operator");
  const first = await retire(house, "rekor");
  expect(await retire(house, "rekor")).toEqual(first);
  expect(await house.phases()).toContain("rekor: retired");
});

test("a retired log stays retired whatever is asked of it", async () => {
  const house = await started();
  await house.makeStorage("rekor-2");
  await house.submit(1);
  const rolled = await house.ask(rollLog, v1.next, "operator");
  const { retiredAtMs } = await retire(house, "rekor");
  for (const again of [false, true]) {
    if (again) {
      await house.stop();
      await house.start(v1.next);
    }
    const entry = { kind: "body", body: new Uint8Array(8) } as const;
    await expect(house.ask(appendEntry, { log: "rekor", entry }, "rekor")).toFailWith("log-frozen");
    expect(await house.ask(freezeLog, { log: "rekor" }, "operator")).toMatchObject({
      frozenAtMs: rolled.frozenAtMs,
    });
    const other = { ...v1.next, name: "rekor-3", key: "key-c", treeId: "11" };
    await expect(house.ask(rollLog, other, "operator")).toFailWith("malformed");
    expect(await house.ask(rollLog, v1.next, "operator")).toMatchObject({
      firstIndex: rolled.firstIndex,
    });
    expect(await retire(house, "rekor")).toMatchObject({ retiredAtMs });
    expect(await house.phases()).toContain("rekor: retired");
  }
});

test("a retired log is read without its key, and proved by fsck", async () => {
  const house = await started();
  await house.makeStorage("rekor-2");
  const entry = await house.submit(1);
  const { final, finalLogId } = await house.ask(rollLog, v1.next, "operator");
  await retire(house, "rekor");
  await house.stop();
  house.destroyed.add("key-a");
  await house.start(v1.next);
  expect(house.health).toEqual({ status: "ok" });
  const { head, logId, publicKey } = await house.ask(latestHead, { log: "rekor" });
  expect([head, logId]).toEqual([final, finalLogId]);
  expect(publicKey).toEqual(house.vaults["key-a"].publicKey);
  expect(await house.ask(getEntry, { by: { kind: "index", index: 0n } })).toMatchObject({
    entryId: entry.entryId,
    signedEntryTimestamp: entry.signedEntryTimestamp,
  });
  expect((await house.ask(readEntries, { log: "rekor", from: 0n, limit: 9 })).entries).toHaveLength(
    1,
  );
  expect(await house.ask(describeLog, {})).toMatchObject({
    inactive: [{ publicKey, checkpoint: final.checkpoint }],
  });
  expect((await house.submit(2)).logIndex).toBe(2n);
  const { logs } = await house.ask(listLogs, {});
  expect(logs.map(({ phase }) => phase)).toEqual(["retired", "active", "active"]);
  await house.stop();

  await using reader = await house.storage.openReader("log-rekor");
  const kept = await readRetirement(reader);
  expect(kept).toMatchObject({ origin: "localhost - 7", noteName: "localhost", publicKey });
  if (kept === null) return;
  const findings = await fsckLogs({
    openReader: async (name) => await house.storage.openReader(`log-${name}`),
    logs: [{ name: "rekor", format: "rekor-v1", ...kept }],
    lastSigned: async () => null,
  });
  expect(findings).toEqual([]);
});
