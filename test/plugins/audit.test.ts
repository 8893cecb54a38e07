import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { encodeHex, encodeUtf8 } from "../../core/formats/encoding.ts";
import { audit } from "../../plugins/audit/manifest.ts";
import { type CountedRefusal, readRefusals } from "../../plugins/audit/refusals.ts";
import { readDecisions } from "../../plugins/audit/decisions.ts";
import { formatRecord, parseRecord } from "../../plugins/audit/record.ts";
import { headKey, recordStream } from "../../plugins/audit/rows.ts";
import { plain, showCounted, showDeeds, showDossier } from "../../plugins/audit/show.ts";
import { memoryStorage } from "../support/memory-storage.ts";
import {
  type AuditHouse,
  at,
  bootAudit,
  certify,
  ctLeaf,
  fsck,
  hashedRekord,
  hashedRekordV2,
  trailOf,
} from "./audit-house.ts";

const digest = new Uint8Array(32).fill(7);
const span = { sinceMs: at.getTime(), untilMs: at.getTime() + 1 };
const treeIds = new Map([["rekor", "255"]]);

/** alice signs one artifact. */
async function signOnce(house: AuditHouse, artifact = digest) {
  const leaf = certify("alice@example.com");
  await house.append("ct", ctLeaf(leaf));
  await house.issued(leaf);
  await house.append("rekor", hashedRekord(leaf.der, artifact));
  return leaf;
}

test("says who is behind an artifact, by whom it was decided, and where it is logged", async () => {
  await using house = await bootAudit();
  const leaf = await signOnce(house);
  await house.append("rekor", hashedRekordV2(leaf.der, digest));
  const trail = await trailOf(house.storage, 4);
  const [dossier, ...others] = await trail.byDigest(encodeHex(digest));
  expect(others).toEqual([]);
  expect(dossier).toMatchObject({
    serial: encodeHex(leaf.serial),
    gaps: [],
    issued: {
      san: "alice@example.com",
      oidcIssuer: "https://idp.example",
      requestId: "b".repeat(32),
      provenance: { provider: "email", decision: { rule: "default" }, assurance: { acr: "high" } },
    },
    certificateEntries: [{ log: "ct", index: "0", of: "precertificate" }],
    signatureEntries: [
      { log: "rekor", index: "0", type: "hashedrekord 0.0.1" },
      { log: "rekor", index: "1", type: "hashedrekord 0.0.2" },
    ],
  });
  expect(await trail.bySerial(encodeHex(leaf.serial))).toEqual([dossier]);
  expect(await trail.byFingerprint(dossier?.fingerprint ?? "")).toEqual([dossier]);
  if (!dossier) throw new Error("there is one");
  const text = showDossier(dossier, { treeIds }).join("\n");
  expect(text).toContain("alice@example.com");
  expect(text).toContain("rule default of policy 1");
  expect(text).toContain("ct #0");
  expect(text).toContain(`uuid 00000000000000ff${dossier.signatureEntries[0]?.leafHash}`);
  expect((await fsck(house.storage)).findings).toEqual([]);
});

test("says what somebody did, refusals too, within a time", async () => {
  await using house = await bootAudit();
  await signOnce(house);
  await house.refused();
  await house.counted({
    refusals: [
      { code: "malformed", reason: "r", network: "203.0.113.0/24", secondMs: 0n, count: 900 },
    ],
  });
  await house.signedIn({
    tokenDigest: new Uint8Array(32).fill(9),
    oidcIssuer: "https://idp.example",
    subject: "subject-1",
    email: "alice@example.com",
    audience: "sigstore",
    by: "upstream",
    upstream: "https://login.example",
    issuedAtMs: BigInt(at.getTime()),
  });
  const trail = await trailOf(house.storage, 6);
  const deeds = await trail.byName("alice@example.com", span);
  expect(deeds.certificates).toHaveLength(1);
  expect(deeds.signIns).toMatchObject([{ tokenSha256: "09".repeat(32), by: "upstream" }]);
  expect(showDeeds(deeds, { treeIds }).join("\n")).toContain(
    "by the word of another provider, https://login.example",
  );
  expect((await fsck(house.storage)).findings).toEqual([]);
  expect(deeds.refusals).toMatchObject([
    { code: "policy-refused", reason: "not-me: not this one" },
  ]);
  expect(showDeeds(deeds, { treeIds }).join("\n")).toContain("refused");
  expect(await trail.byName("subject-1", span)).toMatchObject(deeds);
  for (const other of [
    { sinceMs: span.untilMs, untilMs: Infinity },
    { sinceMs: 0, untilMs: span.sinceMs },
    { ...span, oidcIssuer: "https://another.example" },
  ]) {
    const none = await trail.byName("alice@example.com", other);
    expect(none).toEqual({ certificates: [], refusals: [], signIns: [], signInRefusals: [] });
  }
});

test("says which sign-ins were refused: by name where there is an account, and all of them by the second", async () => {
  await using house = await bootAudit();
  const wrong = {
    code: "access-denied",
    reason: "wrong password",
    oidcIssuer: "https://idp.example",
    network: "203.0.113.0/24",
    secondMs: BigInt(at.getTime()),
  };
  await house.signInsRefused({
    refusals: [
      { ...wrong, account: "alice@example.com", count: 7 },
      { ...wrong, account: "bob@example.com", count: 1 },
      { ...wrong, reason: "no such account", count: 900 },
    ],
  });
  const trail = await trailOf(house.storage, 1);
  await house.counted({
    refusals: [
      { code: "malformed", reason: "r", network: "203.0.113.0/24", secondMs: 0n, count: 900 },
    ],
  });
  await trailOf(house.storage, 2);
  const deeds = await trail.byName("alice@example.com", span);
  expect(deeds.signInRefusals).toMatchObject([{ account: "alice@example.com", count: 7 }]);
  expect(showDeeds(deeds, { treeIds })).toEqual([
    "alice@example.com: sign-in refused, 7 times",
    expect.stringContaining("access-denied: wrong password"),
    expect.stringContaining("https://idp.example"),
    expect.stringContaining("203.0.113.0/24"),
  ]);
  const later = { sinceMs: span.untilMs, untilMs: Infinity };
  expect((await trail.byName("alice@example.com", later)).signInRefusals).toEqual([]);
  expect((await fsck(house.storage)).findings).toEqual([]);

  const reader = await house.storage.openReader("audit");
  const all: CountedRefusal[] = [];
  for await (const one of readRefusals(reader, { ...span, sinceMs: 0 })) all.push(one);
  const from = "from 203.0.113.0/24, https://idp.example";
  const day = "2026-11-21 12:00:00Z";
  expect(all.map(showCounted)).toEqual([
    `${day}  7 x sign-in  access-denied: wrong password, account alice@example.com, ${from}`,
    `${day}  1 x sign-in  access-denied: wrong password, account bob@example.com, ${from}`,
    `${day}  900 x sign-in  access-denied: no such account, ${from}`,
    "1970-01-01 00:00:00Z  900 x certificate  malformed: r, from 203.0.113.0/24",
  ]);
  const some: CountedRefusal[] = [];
  for await (const one of readRefusals(reader, span)) some.push(one);
  expect(some).toEqual(all.slice(0, 3));
});

test("shows an entry without an issuance, a certificate without an entry, and a bare key", async () => {
  await using house = await bootAudit();
  const stranger = certify("mallory@example.com");
  await house.append("rekor", hashedRekord(stranger.der, digest));
  const unlogged = certify("bob@example.com");
  await house.issued(unlogged);
  const smuggled = certify("eve@example.com");
  await house.append("ct", ctLeaf(smuggled));
  const other = digest.with(0, 1);
  await house.append("rekor", hashedRekord(certify("x@y.z").publicKey, other, "PUBLIC KEY"));
  const trail = await trailOf(house.storage, 4);
  const gaps = async (found: Promise<readonly { gaps: readonly string[] }[]>) =>
    (await found).flatMap((one) => one.gaps);
  expect(await gaps(trail.byDigest(encodeHex(digest)))).toEqual([
    expect.stringContaining("no record that this instance issued it"),
  ]);
  expect(await gaps(trail.bySerial(encodeHex(unlogged.serial)))).toEqual([
    expect.stringContaining("no certificate transparency log has it"),
  ]);
  expect(await gaps(trail.bySerial(encodeHex(smuggled.serial)))).toEqual([
    expect.stringContaining("no record of its issuance"),
  ]);
  expect(await gaps(trail.byDigest(encodeHex(other)))).toEqual([
    expect.stringContaining("bare key"),
  ]);
  const deeds = await trail.byName("mallory@example.com", span);
  expect(deeds.certificates).toMatchObject([{ issued: null }]);
  expect(showDeeds(deeds, { treeIds }).join("\n")).toContain("claims to be mallory@example.com");
  const texts = (await fsck(house.storage)).findings.map(({ text }) => text);
  expect(texts).toEqual([
    expect.stringContaining("in no certificate transparency log"),
    expect.stringContaining("never issued here"),
  ]);
});

test("entries that nobody can read do not stop the trail", async () => {
  await using house = await bootAudit();
  await house.append("ct", Uint8Array.of(0, 0, 1));
  const broken = [`{"kind":"x"}`, "{", `{"apiVersion":"9","kind":"x","spec":{}}`].map(encodeUtf8);
  const certificate = hashedRekord(Uint8Array.of(1, 2, 3), digest);
  await house.append("rekor", ...broken, certificate);
  const trail = await trailOf(house.storage, 5);
  expect(await trail.byDigest(encodeHex(digest))).toMatchObject([{ issued: null, serial: null }]);
  expect((await fsck(house.storage)).findings).toEqual([]);
});

test("catches up after it was away, and takes nothing twice", async () => {
  const storage = memoryStorage();
  {
    await using house = await bootAudit(storage);
    for (let at = 0; at < 10; at++) await signOnce(house, new Uint8Array(randomBytes(32)));
    await trailOf(storage, 30);
  }
  // As a kill between the records' commit and the cursor's leaves it.
  await rewrite(storage, "cursors", (value) => value.fill(0));
  await using house = await bootAudit(storage);
  await signOnce(house);
  const trail = await trailOf(storage, 33);
  expect(await trail.byDigest(encodeHex(digest))).toHaveLength(1);
  expect(await fsck(storage)).toEqual({ findings: [], records: 33 });
  expect(house.journalled.filter(({ event }) => event === "audit-head")).not.toEqual([]);
});

test("fsck finds a record that was changed, and what older backups leave behind", async () => {
  const storage = memoryStorage();
  {
    await using house = await bootAudit(storage);
    await signOnce(house);
    await house.refused();
    await trailOf(storage, 4);
  }
  const reader = await storage.openReader("audit");
  const [, second] = await reader.read(recordStream, 0n, 2);
  const record = parseRecord(second?.value ?? new Uint8Array());
  expect(formatRecord(record)).toEqual(second?.value);
  await rewrite(storage, "state", (row) => {
    const text = new TextDecoder().decode(row).replace(/"hash":"./, `"hash":"g`);
    return encodeUtf8(text);
  });
  expect((await fsck(storage)).findings).toMatchObject([
    { severity: "error", text: expect.stringContaining("chain ends with record 4") as string },
  ]);
});

test("past decisions are requests that a policy can decide again", async () => {
  await using house = await bootAudit();
  await signOnce(house);
  await house.refused({ extensions: [{ arc: 12, value: "https://git.example/a" }] });
  await house.refused({ code: "possession-unproven" });
  await trailOf(house.storage, 5);
  const past = [];
  for await (const one of readDecisions(await house.storage.openReader("audit"))) past.push(one);
  const byKind = past.map(({ allowed, principal: { san, extensions } }) => ({
    allowed,
    san: san.value,
    extensions,
  }));
  expect(byKind).toContainEqual({
    allowed: false,
    san: "alice@example.com",
    extensions: [{ arc: 12, value: "https://git.example/a" }],
  });
  expect(byKind.filter(({ allowed }) => allowed)).toHaveLength(2);
});

test("nothing that somebody chose can move the cursor of a terminal", () => {
  expect(plain("a\u001b[31mb\u202ec\nd")).toBe("a\\u{1b}[31mb\\u{202e}c\\u{a}d");
});

/** Changes rows of the room's partition behind its back. */
async function rewrite(
  storage: ReturnType<typeof memoryStorage>,
  table: string,
  change: (value: Uint8Array) => Uint8Array,
): Promise<void> {
  const { tables = [], streams = [] } = audit.manifest.keeps ?? {};
  const shape = { tables: [...tables, "cursors"], streams: [...streams, "facts"] };
  await using partition = await storage.open("audit", shape);
  const rows = await partition.scan(table, { limit: 100 });
  expect(rows.length).toBeGreaterThan(0);
  expect(headKey.length).toBeGreaterThan(0);
  await partition.commit({
    writes: rows.map(({ key, value }) => ({ table, key, value: change(new Uint8Array(value)) })),
  });
}
