/** The Rekor service over the real log and a real vault on SoftHSM: what a client gets verifies with the log's key alone. */
import { createPublicKey, verify } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256 } from "../../../core/crypto/hash.ts";
import { decodeBase64, encodeUtf8 } from "../../../core/formats/encoding.ts";
import { leafHash, verifyConsistency, verifyInclusion } from "../../../core/formats/merkle.ts";
import { formatSetPayload } from "../../../core/formats/rekor-entry.ts";
import {
  createEntry,
  describeLog,
  getEntry,
  type LogEntry,
  proveLog,
} from "../../../events/rekor.ts";
import log from "../../../plugins/log/plugin.ts";
import plugin from "../../../plugins/rekor/plugin.ts";
import { bootForTest, type TestInstallation } from "../../support/boot.ts";
import { demoKeys, type SoftVault, softVault } from "../../support/vault.ts";
import { bytesOf, dsse, envelope, hashedRekord, signer } from "./proposals.ts";

const treeId = "1193050959916656506";
const alice = signer("P-256");
let vault: SoftVault;
let house: TestInstallation;

beforeAll(async () => {
  vault = await softVault({ keys: demoKeys.filter(({ label }) => label === "rekor-v1-log") });
  house = await bootForTest({
    entries: [vault.entry, log, plugin],
    config: {
      hsm: vault.config,
      log: { logs: [{ name: "rekor", format: "rekor-v1", key: "rekor-v1-log", treeId }] },
      rekor: { treeId },
    },
    home: vault.home,
    pin: vault.pin,
  });
});
afterAll(async () => {
  await house.dispose();
  vault.dispose();
});

/** SET, checkpoint and inclusion proof, with nothing but the key. */
function check(entry: LogEntry): void {
  const spki = vault.keys["rekor-v1-log"] ?? new Uint8Array();
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  expect(entry.logId).toEqual(sha256(spki));
  expect(verify("sha256", formatSetPayload(entry), key, entry.signedEntryTimestamp)).toBe(true);
  const { checkpoint, index, size, root, hashes: proof } = entry.inclusionProof;
  const [text = "", line = ""] = checkpoint.split("\n\n");
  const signature = decodeBase64(line.split(" ")[2]?.trimEnd() ?? "").subarray(4);
  expect(verify("sha256", encodeUtf8(`${text}\n`), key, signature)).toBe(true);
  expect(text).toBe(`localhost - ${treeId}\n${size}\n${Buffer.from(root).toString("base64")}`);
  expect(verifyInclusion({ index, size, leafHash: leafHash(entry.body), root, proof })).toBe(true);
}

test("entries verify when created, when they come again and when they are read", async () => {
  const record = bytesOf(hashedRekord(alice, encodeUtf8("one")));
  const attestation = bytesOf(dsse(envelope([alice], "text/plain", encodeUtf8("two")), [alice]));
  const first = await house.ask(createEntry, { proposed: record });
  const second = await house.ask(createEntry, { proposed: attestation });
  const again = await house.ask(createEntry, { proposed: record });
  expect([first.known, second.known, again.known]).toEqual([false, false, true]);
  expect(again.entry.signedEntryTimestamp).toEqual(first.entry.signedEntryTimestamp);
  expect(again.entry.entryId).toBe(first.entry.entryId);
  const byIndex = await house.ask(getEntry, { by: { kind: "index", index: 1n } });
  const byId = await house.ask(getEntry, { by: { kind: "id", id: second.entry.entryId } });
  const proposed = await house.ask(getEntry, { by: { kind: "proposed", proposed: attestation } });
  for (const { entry } of [first, second, again]) check(entry);
  for (const entry of [byIndex, byId, proposed]) {
    check(entry);
    expect(entry.signedEntryTimestamp).toEqual(second.entry.signedEntryTimestamp);
  }
});

test("the log grows consistently", async () => {
  const before = await house.ask(describeLog, {});
  const many = Array.from({ length: 20 }, (_, at) => hashedRekord(alice, encodeUtf8(`many ${at}`)));
  const entries = await Promise.all(
    many.map(async (value) => await house.ask(createEntry, { proposed: bytesOf(value) })),
  );
  for (const { entry } of entries) check(entry);
  const after = await house.ask(describeLog, {});
  expect(after.size).toBe(before.size + 20n);
  expect(after.publicKey).toEqual(vault.keys["rekor-v1-log"]);
  const range = { first: before.size, last: after.size };
  const { root, hashes: proof } = await house.ask(proveLog, range);
  expect(root).toEqual(after.root);
  const claim = { first: range.first, second: range.last, proof };
  expect(verifyConsistency({ ...claim, firstRoot: before.root, secondRoot: root })).toBe(true);
});
