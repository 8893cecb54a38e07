/** What the guard knows of certificates against the ledger, for what no single change to a small home can show. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { decodeHex } from "../../core/formats/encoding.ts";
import { createState } from "../../hsm/database.ts";
import { CertificateCheck } from "../../hsm/fsck-guard.ts";
import type { IntentRow } from "../../hsm/ledger-rows.ts";

const beganAtMs = 1_800_000_000_000;
const hexOf = (n: number, bytes: number) => n.toString(16).padStart(bytes * 2, "0");
let folder: string;
let database: DatabaseSync;
let broken: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "chancery-guard-"));
  createState(folder, "serial");
  database = new DatabaseSync(join(folder, "vault.db"));
  broken = [];
});
afterEach(() => {
  database.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The attempt number `n`, in its own second. */
const attempt = (n: number, change: Partial<IntentRow> = {}): IntentRow => ({
  type: "intent",
  atMs: beganAtMs + n * 2_000,
  asker: "issuer",
  key: "ca",
  purpose: "certificate",
  count: 1,
  hash: "",
  binding: {
    kind: "precertificate",
    serial: hexOf(n, 20),
    verdict: hexOf(n, 32),
    tokenDigest: "",
    publicKeyHash: "",
  },
  trace: "",
  ...change,
});

/** The guard's row of it. */
function know(n: number, sequence = n, final: number | null = null): void {
  database
    .prepare("INSERT INTO certificates VALUES (?, 'ca', ?, ?, ?, ?, 1, ?)")
    .run(
      decodeHex(hexOf(n, 32)),
      decodeHex(hexOf(n, 20)),
      decodeHex(hexOf(n, 32)),
      beganAtMs + n * 2_000,
      sequence,
      final,
    );
}

/** Walks a ledger of these attempts, which all went well. */
function walk(...rows: readonly (readonly [number, IntentRow])[]): readonly string[] {
  const check = new CertificateCheck(database, (message) => broken.push(message));
  for (const [sequence, row] of rows) {
    check.intend(sequence, row);
    check.succeed(sequence);
  }
  check.finish();
  return broken;
}

test("what was forgotten because it is old is no finding", () => {
  know(3);
  know(4);
  const rows = [1, 2, 3, 4].map((n) => [n, attempt(n)] as const);
  expect(walk(...rows)).toEqual([]);
});

test("what is newer than something that is known is known, too", () => {
  know(2);
  know(4);
  const rows = [1, 2, 3, 4].map((n) => [n, attempt(n)] as const);
  expect(walk(...rows)).toEqual([
    `the guard does not know of serial number ${hexOf(3, 20)} of ca (row 3)`,
  ]);
});

test("no serial number is signed twice, however long ago, unless an attempt is repeated", () => {
  know(2, 4);
  const rows = [
    [1, attempt(1)],
    [2, attempt(2)],
    [3, attempt(1)],
    [4, attempt(2, { retryOf: 2 })],
  ] as const;
  expect(walk(...rows)).toEqual([`row 3: ca was to sign serial number ${hexOf(1, 20)} twice`]);
});

test.each([
  ["its core", 1, []],
  [
    "another one's core",
    2,
    [
      `the guard's row of serial number ${hexOf(1, 20)} of ca names row 2 of the ledger, which is not its certificate's`,
    ],
  ],
])("a certificate that is announced by %s", (_, core, findings) => {
  know(1, 1, 2);
  const { binding } = attempt(1);
  const announced = {
    hash: hexOf(core, 32),
    named: "core" as const,
    binding: { ...binding, kind: "certificate" } as IntentRow["binding"],
  };
  expect(walk([1, attempt(1)], [2, attempt(1, announced)])).toEqual(findings);
});
