/**
 * The corruption matrix (reliability.md §4.7) and the old backup (§4.8), each against one detector alone: the log's own rows without
 * the vault, the vault's without the logs, and the two held against each other. Tiles and indices are rows from 512 entries on: they are
 * damaged in `test/plugins/log-faults.test.ts` and `log-repair.test.ts`.
 */
import { cpSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStorage } from "../../config/load.ts";
import { decodeBase64, decodeHex } from "../../core/formats/encoding.ts";
import { fsckVault } from "../../hsm/commands.ts";
import { fsckLogs } from "../../plugins/log/commands.ts";
import { startInstance } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";
import { demoToken, signOnce } from "../support/signer.ts";

const email = "detect@example.com";
let folder: string;
let home: string;
/** `data/` as it was before the last signings, and `vault/` too. */
let old: string;
let remove: () => Promise<void>;
let copies = 0;

beforeAll(async () => {
  const place = await preparedPlace();
  remove = place.remove;
  folder = await mkdtemp(join(tmpdir(), "chancery-detect-"));
  ({ home } = place);
  old = join(folder, "old");
  for (const round of [1, 2]) {
    await using instance = await startInstance(place);
    const token = await demoToken(instance, email);
    for (let count = 0; count < 3; count++) await signOnce(instance, token, email);
    await instance.stop();
    if (round === 1) cpSync(home, old, { recursive: true });
  }
});

afterAll(async () => {
  await remove?.();
  await rm(folder, { recursive: true, force: true });
});

/** A copy of the home, damaged. */
function damaged(damage: (copy: string) => void): string {
  const copy = join(folder, `copy-${++copies}`);
  cpSync(home, copy, { recursive: true });
  damage(copy);
  return copy;
}

function flipAt(value: unknown, at: number): Uint8Array {
  const bytes = Uint8Array.from(value as Uint8Array);
  const place = at < 0 ? bytes.length + at : at;
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  return bytes;
}

const sql =
  (file: string, ...statements: readonly string[]) =>
  (copy: string) => {
    using database = new DatabaseSync(join(copy, file));
    database.function("flipAt", (value, at) => flipAt(value, Number(at)));
    database.function("flip", (value) => flipAt(value, -1));
    for (const statement of statements) {
      expect(database.prepare(statement).run().changes, statement).toBeGreaterThan(0);
    }
  };

const rekor = "data/log-rekor.db";
const ct = "data/log-ct.db";
const vaultFile = "vault/vault.db";
const oneOf = (table: string) => `"key" = (SELECT min("key") FROM "table_${table}")`;
const last = '"key" = (SELECT max("key") FROM "table_promises")';
const flipped = (table: string) =>
  `UPDATE "table_${table}" SET "value" = flip("value") WHERE ${oneOf(table)}`;
const gone = (table: string) => `DELETE FROM "table_${table}" WHERE ${oneOf(table)}`;

test("an undamaged home has no findings", async () => {
  expect(await storeAlone(home)).toEqual([]);
  expect(await vaultAlone(home)).toEqual([]);
  expect(await together(home)).toEqual([]);
});

test.for([
  ["an entry", sql(rekor, flipped("entries"))],
  // Its last byte belongs to the chain beside it, which is in no tree.
  [
    "an entry of the CT log",
    sql(ct, `UPDATE "table_entries" SET "value" = flipAt("value", 60) WHERE ${oneOf("entries")}`),
  ],
  ["a missing entry", sql(rekor, gone("entries"))],
  ["the layout", sql(rekor, `DELETE FROM "table_state" WHERE "key" = CAST('layout' AS BLOB)`)],
  ["a promise", sql(rekor, flipped("promises"))],
  ["a missing promise", sql(rekor, gone("promises"))],
  [
    "the newest promise, kept for an entry that is not there",
    sql(rekor, `UPDATE "table_promises" SET "key" = X'0000040000000000' WHERE ${last}`),
  ],
  ["a checkpoint", sql(rekor, flipped("heads"))],
  ["a tree head", sql(ct, flipped("heads"))],
  [
    "the intent",
    sql(
      rekor,
      `UPDATE "table_state" SET "value" = flip("value") WHERE "key" = CAST('intent' AS BLOB)`,
    ),
  ],
  ["a gap in the facts", sql(rekor, 'DELETE FROM "stream_facts" WHERE "sequence" = 2')],
] as const)("the stored rows alone show that %s is damaged", async ([, damage]) => {
  expect(await storeAlone(damaged(damage))).not.toEqual([]);
});

const lastRow = "sequence = (SELECT max(sequence) FROM ledger)";
const lastTree = `sequence >= (SELECT max(sequence) FROM ledger WHERE body LIKE '%"kind":"tree"%')`;

test.for([
  ["a ledger row", sql(vaultFile, "UPDATE ledger SET body = body || ' ' WHERE sequence = 3")],
  ["a ledger row's hash", sql(vaultFile, `UPDATE ledger SET hash = flip(hash) WHERE ${lastRow}`)],
  ["a missing ledger row", sql(vaultFile, "DELETE FROM ledger WHERE sequence = 5")],
  ["a ledger that lost its end", sql(vaultFile, `DELETE FROM ledger WHERE ${lastTree}`)],
  ["the guard's size", sql(vaultFile, "UPDATE heads SET size = size - 1 WHERE key = 'ct-log'")],
  ["the guard's root", sql(vaultFile, "UPDATE heads SET root = flip(root)")],
  ["a missing guard row", sql(vaultFile, "DELETE FROM heads WHERE key = 'ct-log'")],
  ["the guard's TUF version", sql(vaultFile, "UPDATE roles SET version = version - 1")],
] as const)("the vault alone shows that %s is damaged", async ([, damage]) => {
  expect(await vaultAlone(damaged(damage))).not.toEqual([]);
});

test("an old data/ under today's vault is seen by comparing the two", async () => {
  const copy = damaged((at) => cpSync(join(old, "data"), join(at, "data"), { recursive: true }));
  expect(await storeAlone(copy)).toEqual([]);
  expect((await together(copy)).join()).toMatch(/older than the vault/);
});

test("one log of an old backup is enough", async () => {
  const copy = damaged((at) => cpSync(join(old, ct), join(at, ct)));
  expect((await together(copy)).join()).toMatch(/older than the vault/);
});

test("the ledger alone shows that the guard's trees were restored from an old backup", async () => {
  const copy = damaged((at) => {
    using database = new DatabaseSync(join(at, vaultFile));
    database.exec(`ATTACH '${join(old, vaultFile)}' AS old`);
    database.exec("DELETE FROM main.heads; INSERT INTO main.heads SELECT * FROM old.heads");
  });
  expect((await vaultAlone(copy)).join()).toMatch(/log/);
});

/** Findings of the log's rows with nothing of the vault but the public keys. */
async function storeAlone(at: string): Promise<readonly string[]> {
  return await logFindings(at, async () => null);
}

async function vaultAlone(at: string): Promise<readonly string[]> {
  const { findings } = await fsckVault({ home: at });
  return findings.filter(({ severity }) => severity === "broken").map(({ message }) => message);
}

async function together(at: string): Promise<readonly string[]> {
  const { heads } = await fsckVault({ home: at });
  return await logFindings(at, async (key) => {
    const head = heads[key];
    return head === undefined ? null : { size: head.size, root: decodeHex(head.root) };
  });
}

async function logFindings(
  at: string,
  lastSigned: (key: string) => Promise<{ size: bigint; root: Uint8Array } | null>,
): Promise<readonly string[]> {
  const { keys } = JSON.parse(readFileSync(join(at, "vault", "keyring.json"), "utf8")) as {
    keys: { label: string; publicKey: string; origin: string; noteName?: string }[];
  };
  const logs = (
    [
      ["ct", "rfc6962", "ct-log"],
      ["rekor", "rekor-v1", "rekor-v1-log"],
    ] as const
  ).map(([name, format, label]) => {
    const key = keys.find((it) => it.label === label);
    if (key === undefined) throw new Error(`no key ${label}`);
    const { publicKey, origin, noteName = origin } = key;
    return { name, format, label, publicKey: decodeBase64(publicKey), origin, noteName };
  });
  await using storage = await openStorage(at);
  const findings = await fsckLogs({
    openReader: async (name) => await storage.openReader(`log-${name}`),
    logs,
    lastSigned: async (name) =>
      await lastSigned(logs.find((log) => log.name === name)?.label ?? ""),
  });
  return findings.filter(({ severity }) => severity === "error").map(({ text }) => text);
}
