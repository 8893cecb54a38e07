/**
 * A Rekor log is rolled while entries come: none is refused, indices go on, the new log begins with the old one's final checkpoint,
 * and a process that ends at any moment comes back as what is durable says.
 */
import { generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { formatCheckpoint } from "../../core/formats/checkpoint.ts";
import { formatNote, keyHintOf } from "../../core/formats/note.ts";
import { decodeUtf8, encodeBase64, encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { appendEntry, latestHead, readEntries, rollLog } from "../../events/log.ts";
import { createEntry, createEntryV2, describeLog, getEntry } from "../../events/rekor.ts";
import { phaseOf, takeoverBody } from "../../plugins/log/succession.ts";
import "../support/matchers.ts";
import { alice, fsckBoth, started, v1, v2 } from "./log-roll-house.ts";
import { bytesOf, hashedRekord } from "./rekor/proposals.ts";

test("Rekor v1 is rolled under load: nothing is refused, and indices go on", async () => {
  const house = await started();
  await house.makeStorage("rekor-2");
  const before = await Promise.all(
    Array.from({ length: 5 }, async (_, at) => await house.submit(at)),
  );
  expect(before.map(({ logIndex }) => logIndex).toSorted((a, b) => Number(a - b))).toEqual([
    0n,
    1n,
    2n,
    3n,
    4n,
  ]);
  const during = Array.from({ length: 20 }, async (_, at) => await house.submit(100 + at));
  const rolling = house.ask(rollLog, v1.next, "operator");
  const after = Array.from({ length: 20 }, async (_, at) => await house.submit(200 + at));
  const { final, firstIndex, finalLogId, frozenAtMs } = await rolling;
  const entries = await Promise.all([...during, ...after]);
  const later = await house.submit(300);

  expect(final.size).toBe(firstIndex);
  expect(finalLogId).toEqual(house.vaults["key-a"].logId);
  const indices = [...before, ...entries, later].map(({ logIndex }) => logIndex);
  // One index is the final checkpoint's; each of the others is somebody's.
  expect(indices.toSorted((a, b) => Number(a - b))).toEqual(
    Array.from({ length: 47 }, (_, at) => BigInt(at)).filter((at) => at !== firstIndex),
  );
  for (const entry of [...before, ...entries, later]) {
    const tree = entry.logIndex < firstIndex ? "0000000000000007" : "0000000000000009";
    expect(entry.entryId.slice(0, 16)).toBe(tree);
    for (const by of [
      { kind: "index", index: entry.logIndex } as const,
      { kind: "id", id: entry.entryId } as const,
    ]) {
      expect(await house.ask(getEntry, { by })).toMatchObject({ entryId: entry.entryId });
    }
  }
  expect(await house.ask(describeLog, {})).toMatchObject({
    treeId: "9",
    inactive: [{ treeId: "7", size: firstIndex, checkpoint: final.checkpoint }],
  });
  expect(await house.phases()).toContain("rekor: sharded");
  expect(await house.phases()).toContain("rekor-2: active");

  // Asked for again, it is done already.
  expect(await house.ask(rollLog, v1.next, "operator")).toMatchObject({ firstIndex, frozenAtMs });
  await expect
    .poll(() => house.told.findLast((one) => one.log === "rekor-2")?.to)
    .toBe(later.logIndex - firstIndex + 1n);
  await house.stop();
  expect(await fsckBoth(house, firstIndex)).toEqual([]);

  await house.start(v1.next);
  expect((await house.submit(301)).logIndex).toBe(later.logIndex + 1n);
});

test("the new log begins with the final checkpoint, as an entry that its own rules accept", async () => {
  const house = await started();
  await house.makeStorage("rekor-2");
  await house.submit(1);
  const { final, firstIndex } = await house.ask(rollLog, v1.next, "operator");
  const entry = await house.ask(getEntry, { by: { kind: "index", index: firstIndex } });
  const [text = ""] = final.checkpoint.split("\n\n");
  const { kind, spec } = JSON.parse(decodeUtf8(entry.body)) as {
    kind: string;
    spec: { data: { hash: { value: string } } };
  };
  expect([kind, spec.data.hash.value]).toEqual([
    "hashedrekord",
    encodeHex(sha256(encodeUtf8(`${text}\n`))),
  ]);
  expect(entry.inclusionProof.index).toBe(0n);
  // What was logged is what anybody could have proposed: proposed again, it is known.
  const again = await house.ask(createEntry, { proposed: entry.body });
  expect(again).toMatchObject({ known: true, entry: { logIndex: firstIndex } });
});

test("Rekor v2 is rolled, and its readers at the origin see the new log", async () => {
  const house = await started();
  await house.makeStorage("rekor-v2-2");
  const digest = sha256(encodeUtf8("artifact"));
  const { content } = hashedRekord(alice, encodeUtf8("artifact")).spec.signature;
  const rawBytes = alice.pem.replaceAll(/-----[^-]+-----|\n/g, "");
  const verifier = { publicKey: { rawBytes }, keyDetails: "PKIX_ECDSA_P256_SHA_256" };
  const request = bytesOf({
    hashedRekordRequestV002: { digest: encodeBase64(digest), signature: { content, verifier } },
  });
  const before = await house.ask(createEntryV2, { request });
  const { final } = await house.ask(rollLog, v2.next, "operator");
  const after = await house.ask(createEntryV2, { request });
  expect([before.index, after.index]).toEqual([0n, 1n]);
  expect(after.logId).toEqual(house.vaults["key-d"].logId);
  const newest = await house.ask(latestHead, { log: "rekor-v2", newest: true }, "http");
  expect(newest.head.checkpoint).toBe(after.checkpoint);
  expect((await house.ask(latestHead, { log: "rekor-v2" }, "http")).head).toEqual(final);
  const { entries } = await house.ask(readEntries, { log: "rekor-v2-2", from: 0n, limit: 1 });
  const text = `${final.checkpoint.split("\n\n")[0]}\n`;
  expect(decodeUtf8(entries[0]?.entry ?? digest)).toContain(encodeBase64(sha256(encodeUtf8(text))));
  await expect(
    house.ask(appendEntry, { log: "rekor-v2", entry: { kind: "body", body: digest } }, "rekor"),
  ).toFailWith("log-frozen");
});

test("the final checkpoint of an Ed25519 log is logged by what its key has signed: the note", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const text = formatCheckpoint({ origin: "localhost", size: 7n, root: new Uint8Array(32) });
  const signature = new Uint8Array(sign(null, encodeUtf8(text), privateKey));
  const keyHint = keyHintOf("localhost", spki);
  const checkpoint = formatNote(text, [{ name: "localhost", keyHint, signature }]);
  const logged = { checkpoint, publicKey: importPublicKey(spki) };
  const { spec } = JSON.parse(decodeUtf8(takeoverBody("rekor-v2", logged))) as {
    spec: { hashedRekordV002: { data: object; signature: { content: string; verifier: object } } };
  };
  expect(spec.hashedRekordV002).toEqual({
    data: { algorithm: "SHA2_256", digest: encodeBase64(sha256(encodeUtf8(text))) },
    signature: {
      content: encodeBase64(signature),
      verifier: { keyDetails: "PKIX_ED25519", publicKey: { rawBytes: encodeBase64(spki) } },
    },
  });
});

describe("a roll that is interrupted", () => {
  test("before the old log is frozen leaves that one taking entries, also after a restart", async () => {
    const house = await started();
    await house.makeStorage("rekor-2");
    await house.submit(1);
    await house.stop();
    await house.start(v1.next);
    expect(await house.phases()).toContain("rekor-2: created");
    expect((await house.submit(2)).logIndex).toBe(1n);
    const { firstIndex } = await house.ask(rollLog, v1.next, "operator");
    expect((await house.submit(3)).logIndex).toBe(firstIndex + 1n);
  });

  test("after it is ended by the next start", async () => {
    const house = await started();
    await house.makeStorage("rekor-2");
    await house.submit(1);
    house.vaults["key-b"].fault = () => ({ kind: "fail", code: "guard-refused", when: "before" });
    await expect(house.ask(rollLog, v1.next, "operator")).toFailWith("log-unavailable");
    await expect(house.submit(2)).toFailWith("log-unavailable");
    expect(house.health).toMatchObject({
      status: "degraded",
      reason: expect.stringContaining("successor has not begun"),
    });
    expect(await house.phases()).toContain("rekor: frozen");
    house.vaults["key-b"].fault = () => null;
    await house.stop();
    await house.start(v1.next);
    expect((await house.submit(2)).logIndex).toBe(2n);
    expect(house.health).toEqual({ status: "ok" });
  });

  test("and asked for again in the same process is ended there", async () => {
    const house = await started();
    await house.makeStorage("rekor-2");
    house.vaults["key-b"].fault = () => ({ kind: "fail", code: "guard-refused", when: "before" });
    await expect(house.ask(rollLog, v1.next, "operator")).toFailWith("log-unavailable");
    house.vaults["key-b"].fault = () => null;
    const { firstIndex } = await house.ask(rollLog, v1.next, "operator");
    expect([firstIndex, (await house.submit(2)).logIndex]).toEqual([0n, 1n]);
  });
});

test("a first entry that is not the final checkpoint keeps the log down", async () => {
  const house = await started();
  await house.makeStorage("rekor-2");
  await house.submit(1);
  await house.stop();
  // Somebody lets the next log take entries by itself, and calls it a successor later.
  const alone = { name: "rekor-2", format: "rekor-v1", key: "key-b", treeId: "9", firstIndex: "1" };
  await house.start(alone);
  const entry = { kind: "body", body: encodeUtf8("something else") } as const;
  await house.ask(appendEntry, { log: "rekor-2", entry }, "rekor");
  await expect(house.ask(rollLog, v1.next, "operator")).toFailWith("malformed");
  await house.stop();
  await house.start(v1.next);
  await expect(house.ask(rollLog, v1.next, "operator")).rejects.toThrow();
  await house.stop();
  await expect(house.start(v1.next)).rejects.toThrow(/not the final checkpoint/);
});

test.for([
  ["nobody but operators", v1.next, "rekor", "access-denied"],
  ["a log that is not there", { ...v1.next, after: "nowhere" }, "operator", "not-found"],
  ["a log of another format", { ...v2.next, after: "rekor" }, "operator", "malformed"],
  ["a log that is there", { ...v1.next, name: "rekor-v2" }, "operator", "malformed"],
  ["storage that was not made", v1.next, "operator", "not-found"],
  ["a key that was not made", { ...v1.next, key: "key-x" }, "operator", "key-unavailable"],
] as const)("is refused: %s", async ([, successor, asker, code]) => {
  const house = await started();
  await expect(house.ask(rollLog, successor, asker)).toFailWith(code);
  expect((await house.submit(1)).logIndex).toBe(0n);
});

test.for([
  ["created", {}],
  ["active", { hasBegun: true }],
  ["frozen", { hasBegun: true, isFrozen: true }],
  ["sharded", { hasBegun: true, isFrozen: true, isTakenOver: true }],
  ["retired", { hasBegun: true, isFrozen: true, isTakenOver: true, isRetired: true }],
] as const)("a log is %s by what is durable of it", ([phase, progress]) => {
  const nothing = { hasBegun: false, isFrozen: false, isTakenOver: false, isRetired: false };
  expect(phaseOf({ ...nothing, ...progress })).toBe(phase);
});

test.for([
  ["its own name", [{ ...v1.next, name: "rekor-2", after: "rekor-2" }]],
  ["two successors of one log", [v1.next, { ...v1.next, name: "rekor-3", key: "key-c2" }]],
  ["a log of another format", [{ ...v2.next, after: "rekor" }]],
  ["an index of its own", [{ ...v1.next, firstIndex: "3" }]],
])("a configuration is refused with %s", async ([, more]) => {
  await expect(started(...(more as object[]))).rejects.toThrow(/takes over/);
});
