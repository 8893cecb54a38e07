/** Certificates that are made in the vault, of precertificates and SCTs that it has signed: on a token. */
import { randomBytes, verify } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { sha256 } from "../../core/crypto/hash.ts";
import { unpoison } from "../../core/formats/leaf-profile.ts";
import { parseDigitallySigned, parseSctList, sctSignatureInput } from "../../core/formats/sct.ts";
import { keyObject } from "../../hsm/public-key.ts";
import { announcedIn, issuingVault, outcomeOf, rowsOf } from "./issuing-vault.ts";
import { startedAt } from "./leaf.ts";

type House = Awaited<ReturnType<typeof issuingVault>>;
type Leaf = Parameters<House["certify"]>[0];

/** The certificate is the precertificate with one SCT, which a log's key of this vault has signed over it. */
function expectGood(
  { keyOf }: House,
  { pre, entry }: Leaf,
  { signature, scts }: Awaited<ReturnType<House["complete"]>>,
  { issuer = "issuing-ca", log = "ct-log" } = {},
): void {
  const tbs = unpoison(pre).listing(scts);
  expect(verify("sha256", tbs, keyObject(keyOf(issuer)), signature)).toBe(true);
  const [sct, ...more] = parseSctList(scts);
  expect(more).toEqual([]);
  expect(sct?.logId).toEqual(sha256(keyOf(log)));
  expect(sct?.timestampMs).toBe(entry.timestampMs);
  const { signature: promise } = parseDigitallySigned(sct?.signature ?? new Uint8Array());
  expect(verify("sha256", sctSignatureInput(entry), keyObject(keyOf(log)), promise)).toBe(true);
}

test("a certificate is held until its SCT is signed, and made of that SCT", async () => {
  await using house = await issuingVault();
  const leaves = Array.from({ length: 70 }, () => house.leaf());
  await Promise.all(leaves.map(async (leaf) => await house.certify(leaf)));
  const answered: unknown[] = [];
  const completed = leaves.map(async (leaf) => {
    const answer = await house.complete(leaf);
    answered.push(leaf);
    return answer;
  });
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  expect(answered).toEqual([]);
  const before = rowsOf(house.vault.home).length;
  const [signature] = await house.promise(leaves);
  for (const [at, leaf] of leaves.entries()) {
    expectGood(house, leaf, (await completed[at]) ?? expect.fail("no answer"));
  }
  const [first] = parseSctList((await completed[0])?.scts ?? new Uint8Array());
  expect(parseDigitallySigned(first?.signature ?? new Uint8Array()).signature).toEqual(signature);
  const rows = rowsOf(house.vault.home).slice(before);
  const intents = rows.filter(({ type }) => type === "intent");
  // One for all SCTs: the certificates' rows were written with those of their precertificates.
  expect(intents.map(({ purpose }) => purpose)).toEqual(["scts"]);
  await house.stop();
  const all = rowsOf(house.vault.home);
  const leaf = leaves.at(-1) ?? expect.fail("no leaf");
  const { verdict, precertificate } = leaf.completion;
  const ofLeaf = all.flatMap((row, index) => {
    const binding = row["binding"] as { kind?: string; verdict?: string } | undefined;
    return binding?.verdict === verdict.toHex() ? [{ ...row, sequence: index + 1 }] : [];
  });
  expect(ofLeaf).toMatchObject([
    { binding: { kind: "precertificate" }, key: "issuing-ca" },
    {
      asker: "issuer",
      key: "issuing-ca",
      purpose: "certificate",
      binding: { kind: "certificate" },
      hash: precertificate.toHex(),
      named: "core",
    },
  ]);
  const tbs = unpoison(leaf.pre).listing((await completed.at(-1))?.scts ?? new Uint8Array());
  expect(outcomeOf(house.vault.home, ofLeaf[1]?.sequence)).toMatchObject({
    status: "ok",
    made: 1,
    hash: sha256(sha256(tbs)).toHex(),
  });
});

test("the SCT may come first, of any log that is named; several CAs have certificates under way", async () => {
  await using house = await issuingVault();
  const [first, second] = [house.leaf(), house.leaf("next-ca")];
  await Promise.all([house.certify(first), house.certify(second, "next-ca")]);
  await house.promise([first, second], "ct-shard");
  const logs = ["ct-log", "ct-shard"];
  const answer = await house.complete(first, { logs });
  expectGood(house, first, answer, { log: "ct-shard" });
  const other = await house.complete(second, { key: "next-ca", logs });
  expectGood(house, second, other, { issuer: "next-ca", log: "ct-shard" });
});

test("a log that is not named does not do, nor does an SCT for another issuer", async () => {
  await using house = await issuingVault();
  const leaf = house.leaf();
  await house.certify(leaf);
  const completed = house.complete(leaf);
  let isAnswered = false;
  void completed.then(() => (isAnswered = true));
  await house.promise([leaf], "ct-shard");
  const stranger = { ...leaf, entry: { ...leaf.entry, issuerKeyHash: randomBytes(32) } };
  await house.promise([stranger]);
  // A whole trip later.
  await house.certify(house.leaf());
  expect(isAnswered).toBe(false);
  await house.promise([leaf]);
  expectGood(house, leaf, await completed);
});

test.each([
  ["whoever is not the key's asker", {}, "log", "purpose-refused"],
  ["another verdict", { verdict: randomBytes(32) }, "issuer", "guard-refused"],
  [
    "what was never a precertificate",
    { precertificate: randomBytes(32) },
    "issuer",
    "guard-refused",
  ],
  ["another key than the precertificate's", { key: "next-ca" }, "issuer", "guard-refused"],
  ["a key that signs no certificates", { key: "ct-log" }, "issuer", "purpose-refused"],
  ["logs that are none", { logs: ["issuing-ca", "absent"] }, "issuer", "key-unavailable"],
])("refuses %s, on record, and holds what is right", async (_, change, asker, code) => {
  await using house = await issuingVault();
  const leaf = house.leaf();
  await house.certify(leaf);
  await expect(house.complete(leaf, change, asker)).rejects.toMatchObject({ code });
  const refusal = rowsOf(house.vault.home).at(-1);
  expect(refusal).toMatchObject({ type: "refusal", asker, purpose: "certificate", code });
  const completed = house.complete(leaf);
  await house.promise([leaf]);
  expectGood(house, leaf, await completed);
});

test("a precertificate has one certificate, asked for once", async () => {
  await using house = await issuingVault();
  const leaf = house.leaf();
  await house.certify(leaf);
  const completed = house.complete(leaf);
  await expect(house.complete(leaf)).rejects.toMatchObject({ code: "guard-refused" });
  await house.promise([leaf]);
  expectGood(house, leaf, await completed);
  await house.promise([leaf]);
  await expect(house.complete(leaf)).rejects.toMatchObject({ code: "guard-refused" });
});

test("a verdict that has grown old since the precertificate is refused", async () => {
  await using house = await issuingVault();
  const leaf = house.leaf();
  await house.certify(leaf);
  await house.promise([leaf]);
  house.setClock(new Date(startedAt.getTime() + 61_000));
  await expect(house.complete(leaf)).rejects.toMatchObject({ code: "purpose-refused" });
  await house.stop();
  const { home } = house.vault;
  expect(rowsOf(home).filter(({ type }) => type === "refusal")).toMatchObject([
    { asker: "issuer", code: "purpose-refused", why: "the verdict is not fresh" },
  ]);
  expect(announcedIn(home).map((row) => outcomeOf(home, row))).toMatchObject([
    { status: "failed", made: 0, reason: "the verdict is not fresh" },
  ]);
});

test("a key that signs on other threads completes as well", async () => {
  await using house = await issuingVault({ signing: "async" });
  const leaves = Array.from({ length: 5 }, () => house.leaf());
  await Promise.all(leaves.map(async (leaf) => await house.certify(leaf)));
  const completed = leaves.map(async (leaf) => await house.complete(leaf));
  await house.promise(leaves);
  for (const [at, leaf] of leaves.entries()) {
    expectGood(house, leaf, (await completed[at]) ?? expect.fail("no answer"));
  }
});

test("what an older release left between precertificate and certificate opens, and is not completed", async () => {
  await using house = await issuingVault();
  const leaf = house.leaf();
  await house.certify(leaf);
  await house.stop();
  const path = join(house.vault.home, "vault", "vault.db");
  {
    using database = new DatabaseSync(path);
    database.exec("UPDATE certificates SET final = NULL");
  }
  await house.restart();
  await expect(house.certify(leaf)).rejects.toMatchObject({ code: "guard-refused" });
  await house.promise([leaf]);
  await expect(house.complete(leaf)).rejects.toMatchObject({ code: "guard-refused" });
});

test("what is held when the vault ends is refused on record, and what it remembered is forgotten", async () => {
  await using house = await issuingVault();
  const [leaf, other] = [house.leaf(), house.leaf()];
  await house.certify(leaf);
  await house.certify(other);
  const held = expect(house.complete(leaf)).rejects.toMatchObject({ code: "key-unavailable" });
  await house.stop();
  await held;
  const refusal = rowsOf(house.vault.home).find(({ type }) => type === "refusal");
  expect(refusal).toMatchObject({ asker: "issuer", key: "issuing-ca", code: "key-unavailable" });
  const { home } = house.vault;
  const ends = { status: "failed", made: 0, reason: "the vault ends" };
  expect(announcedIn(home).map((row) => outcomeOf(home, row))).toMatchObject([ends, ends]);
  await house.restart();
  await house.promise([leaf, other]);
  for (const forgotten of [leaf, other]) {
    await expect(house.complete(forgotten)).rejects.toMatchObject({ code: "guard-refused" });
  }
});
