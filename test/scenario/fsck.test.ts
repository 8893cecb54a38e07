/** What `fsck` holds against what: in a copy of a whole home one thing is changed behind everybody's back, and it is named. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run as runFsck } from "../../config/fsck-command.ts";
import { run as runRepair } from "../../config/log-repair-command.ts";
import { encode } from "../../core/wire.ts";
import type { Terminal } from "../../plugins/client/commands.ts";
import { chancery, freshPlace, type Place, startInstance } from "../support/instance.ts";

let place: Place & { readonly remove: () => Promise<void> };

beforeAll(async () => {
  place = await freshPlace();
  await using instance = await startInstance(place);
  for (const hash of ["41", "42"]) {
    const asked = { artifactHash: Buffer.from(hash.repeat(32), "hex").toString("base64") };
    const stamped = await fetch(`${instance.origin}/api/v1/timestamp`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...asked, hashAlgorithm: "sha256" }),
    });
    expect(stamped.status).toBe(200);
  }
  expect(await chancery(place.home, "fsck")).toMatchObject({ code: 0 });
});
afterAll(async () => await place?.remove());

interface Shown {
  readonly clean: boolean;
  readonly findings: readonly { severity: string; room: string; text: string }[];
}

/** Of a home, in this process. */
async function fsck(home: string): Promise<Shown> {
  const { terminal, said } = terminalOf(home);
  await runFsck(["--json", "--deep"], terminal);
  return JSON.parse(said()) as Shown;
}

function terminalOf(home: string) {
  let said = "";
  const terminal: Terminal = {
    environment: { CHANCERY_HOME: home },
    folder: "/",
    print: (line) => void (said += line),
    complain: () => undefined,
    readInput: async () => new Uint8Array(),
  };
  return { terminal, said: () => said };
}

type Damage = (home: string) => void;

const sql =
  (file: string, statement: string, ...values: (Uint8Array | string)[]): Damage =>
  (home) => {
    using database = new DatabaseSync(join(home, file));
    database.function("flip", (value) => flipped(value, -1));
    database.function("flipAt", (value, at) => flipped(value, Number(at)));
    expect(database.prepare(statement).run(...values).changes, statement).toBeGreaterThan(0);
  };

function flipped(value: unknown, at: number): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError("not a blob");
  const changed = Uint8Array.from(value);
  const index = at < 0 ? changed.length + at : at;
  changed[index] = (changed[index] ?? 0) ^ 1;
  return changed;
}

const change =
  (path: string, from: RegExp, to: string): Damage =>
  (home) => {
    const text = readFileSync(join(home, path), "utf8");
    expect(text).toMatch(from);
    writeFileSync(join(home, path), text.replace(from, to));
  };

/** Targets are called after their hash. */
const changeTarget: Damage = (home) => {
  const folder = "trust/tuf/targets";
  const names = readdirSync(join(home, folder));
  const name = names.find((one) => one.endsWith(".trusted_root.json")) ?? "";
  change(`${folder}/${name}`, /"mediaType"/, '"mediatype"')(home);
};

const vault = "vault/vault.db";
const ct = "data/log-ct.db";
const trust = "data/trust.db";
const fact = (log: string, from: bigint, to: bigint) =>
  encode({ name: "entriesAppended", body: encode({ log, from, to }) });

const cases: readonly (readonly [string, Damage, RegExp])[] = [
  [
    "a stamp's time set back",
    sql(vault, "UPDATE stamps SET genTimeMs = genTimeMs - 1"),
    /newest timestamp of timestamp is not the last/,
  ],
  [
    "a stamp's serial number",
    sql(vault, "UPDATE stamps SET serial = flip(serial)"),
    /newest timestamp of timestamp/,
  ],
  ["a stamp that is gone", sql(vault, "DELETE FROM stamps"), /newest timestamp of timestamp/],
  [
    "a certificate's serial number",
    sql(vault, "UPDATE certificates SET serial = flip(serial)"),
    /row of serial number [0-9a-f]{40} of issuing-ca is not what row \d+ of the ledger attempted/,
  ],
  [
    "a certificate's verdict",
    sql(vault, "UPDATE certificates SET verdict = flip(verdict)"),
    /is not what row \d+ of the ledger attempted/,
  ],
  [
    "whose certificate it is",
    sql(vault, "UPDATE certificates SET key = 'timestamp'"),
    /of timestamp is not what row/,
  ],
  [
    "an outcome that is denied",
    sql(vault, "UPDATE certificates SET signed = 0"),
    /the outcome of row \d+ do not agree/,
  ],
  [
    "a final certificate that is another row",
    sql(vault, "UPDATE certificates SET final = precertificate"),
    /which is not its certificate's/,
  ],
  [
    "a tree's row of the ledger",
    sql(vault, "UPDATE heads SET sequence = 1 WHERE key = 'ct-log'"),
    /tree of ct-log is not of the row of the ledger it names/,
  ],
  [
    "a role's hash",
    sql(vault, "UPDATE roles SET hash = flip(hash) WHERE type = 'timestamp'"),
    /guard's timestamp of tuf-timestamp is not what the ledger attempted/,
  ],
  [
    "an attempt listed as unfinished",
    sql(vault, "INSERT INTO unfinished VALUES (2)"),
    /row 2 is listed as unfinished/,
  ],
  [
    "an operation nobody announced",
    sql(vault, "INSERT INTO announced VALUES ('ct-log', x'00', '00')"),
    /an operation on ct-log is announced/,
  ],
  [
    "another token's state",
    sql(vault, "UPDATE meta SET value = 'ffff' WHERE name = 'tokenSerial'"),
    /of another token than its keyring/,
  ],
  [
    "a chain's last byte",
    sql(ct, 'UPDATE "table_entries" SET "value" = flip("value")'),
    /the chain beside entry 0/,
  ],
  [
    "a chain that is cut",
    sql(ct, 'UPDATE "table_entries" SET "value" = substr("value", 1, length("value") - 9)'),
    /cannot be checked: run: cut short/,
  ],
  [
    "a fact that is none",
    sql(ct, 'UPDATE "stream_facts" SET "value" = flip("value")'),
    /fact 1 (?:is malformed|does not tell)/,
  ],
  [
    "a fact of another log",
    sql(ct, 'UPDATE "stream_facts" SET "value" = ?', fact("rekor", 0n, 1n)),
    /fact 1 does not tell of the entries from 0 on/,
  ],
  [
    "a fact of no entries",
    sql(ct, 'UPDATE "stream_facts" SET "value" = ?', fact("ct", 0n, 0n)),
    /fact 1 does not tell/,
  ],
  [
    "facts that are gone",
    sql(ct, 'DELETE FROM "stream_facts"'),
    /no fact tells of the entries from 0 on/,
  ],
  [
    "a timestamp role that nobody signed",
    sql(
      trust,
      `UPDATE "table_files" SET "value" = CAST(replace(CAST("value" AS TEXT), '"expires": "2', '"expires": "3') AS BLOB) WHERE "key" = CAST('timestamp.json' AS BLOB)`,
    ),
    /ledger does not tell of this timestamp of version 1/,
  ],
  [
    "a snapshot that is gone",
    sql(trust, `DELETE FROM "table_files" WHERE "key" = CAST('1.snapshot.json' AS BLOB)`),
    /1.snapshot.json is missing/,
  ],
  [
    "versions that may be used again",
    sql(trust, 'DELETE FROM "table_versions"'),
    /version 1 of (?:timestamp|snapshot) was signed, but is not reserved/,
  ],
  [
    "a root's signature",
    change("trust/tuf/1.root.json", /"sig": "30/, '"sig": "31'),
    /root: 0 of the 1 signatures/,
  ],
  [
    "targets with another end",
    change("trust/tuf/1.targets.json", /"expires": "2/, '"expires": "3'),
    /targets: 0 of the 1 signatures/,
  ],
  ["a target", changeTarget, /is not what the targets metadata say/],
  [
    "the root that clients are given",
    change("trust/1.root.json", /"version": 1/, '"version": 2'),
    /1.root.json is not the first root/,
  ],
];

function copyOfHome(): string {
  const copy = join(place.home, "..", "copy");
  rmSync(copy, { recursive: true, force: true });
  cpSync(place.home, copy, {
    recursive: true,
    filter: (path) => !/\/(?:journal|tokens|run|nats|ceremony)$/.test(path),
  });
  return copy;
}

test("tiles and indices are repaired from the entries, and a damaged entry is not", async () => {
  const copy = copyOfHome();
  // As an earlier release left a log: with a row for each leaf, and nothing that says how it is laid out.
  sql(ct, `DELETE FROM "table_state" WHERE "key" = CAST('layout' AS BLOB)`)(copy);
  sql(ct, `INSERT INTO "table_leaves" VALUES (zeroblob(32), zeroblob(8))`)(copy);
  sql(ct, `INSERT INTO "table_tiles" VALUES (zeroblob(9), zeroblob(32))`)(copy);
  expect(await fsck(copy)).toMatchObject({ clean: false });
  const repair = async () => await runRepair(["ct", "--json"], terminalOf(copy).terminal);
  expect(await repair()).toBe(0);
  expect(await fsck(copy)).toMatchObject({ clean: true });
  sql(ct, 'UPDATE "table_entries" SET "value" = flipAt("value", 30)')(copy);
  await expect(repair()).rejects.toThrow(/do not give the tree of 1.*nothing was changed/);
});

test.for(cases)("%s is noticed", async ([, damage, text]) => {
  const copy = copyOfHome();
  damage(copy);
  const { clean, findings } = await fsck(copy);
  expect(clean).toBe(false);
  const errors = findings.filter(({ severity }) => severity === "error");
  expect(errors.map((one) => `${one.room}: ${one.text}`).join("\n")).toMatch(text);
});

test("an undamaged home is clean, and what was checked is said", async () => {
  expect(await fsck(place.home)).toEqual({
    clean: true,
    checked: [
      expect.stringMatching(/^vault \(\d+ ledger rows\)$/),
      "log ct (1 entries signed)",
      "log rekor (1 entries signed)",
      "log rekor-v2 (0 entries signed)",
      "trust (root version 1)",
      expect.stringMatching(/^audit \(\d+ records\)$/),
      // How far it was when the instance was stopped.
      expect.stringMatching(/^search \(/),
    ],
    findings: [],
  });
});
