/** Timestamps of one transaction are one row of the guard, and are held against each other as if each were a row. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createState, type HeldState, holdState } from "../../hsm/database.ts";
import { type Claim, Guard } from "../../hsm/guard.ts";

let directory: string;
let state: HeldState;
let database: DatabaseSync;
let guard: Guard;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "guard-stamps-"));
  createState(directory, "1");
  state = holdState(directory, "1");
  ({ database } = state);
  guard = new Guard(database);
});
afterEach(() => {
  state[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const stamp = (genTimeMs: number, serial: number): Claim => ({
  kind: "stamp",
  genTimeMs: BigInt(genTimeMs),
  serial: Uint8Array.of(serial),
});

const rows = () =>
  database.prepare("SELECT key, genTimeMs, serial, sequence FROM stamps ORDER BY key").all();

function admit(sequence: number, claim: Claim, key = "tsa"): void {
  guard.admit(key, claim, { sequence, atMs: 0 });
}

function admitAll(admitting: () => void): void {
  guard.admitAll([admitting], (each) => each());
}

test("of each key the newest is written, when all are admitted", () => {
  admitAll(() => {
    admit(1, stamp(1_000, 1));
    admit(2, stamp(1_000, 2), "other");
    admit(3, stamp(1_000, 3));
    admit(4, stamp(1_001, 4));
    expect(rows()).toEqual([]);
  });
  expect(rows()).toEqual([
    { key: "other", genTimeMs: 1_000, serial: Uint8Array.of(2), sequence: 2 },
    { key: "tsa", genTimeMs: 1_001, serial: Uint8Array.of(4), sequence: 4 },
  ]);
});

test("an earlier time and the serial number before are refused, in the transaction and after it", () => {
  admitAll(() => {
    admit(1, stamp(1_000, 1));
    expect(() => admit(2, stamp(999, 2))).toThrow(/later time/);
    expect(() => admit(2, stamp(1_000, 1))).toThrow(/used already/);
    admit(2, stamp(1_000, 2));
  });
  admitAll(() => {
    expect(() => admit(3, stamp(999, 3))).toThrow(/later time/);
    expect(() => admit(3, stamp(1_000, 2))).toThrow(/used already/);
  });
  expect(rows()).toMatchObject([{ genTimeMs: 1_000, serial: Uint8Array.of(2), sequence: 2 }]);
});

test("what was not committed was not admitted", () => {
  database.exec("BEGIN");
  admitAll(() => admit(1, stamp(2_000, 1)));
  database.exec("ROLLBACK");
  expect(() =>
    admitAll(() => {
      admit(1, stamp(3_000, 1));
      throw new Error("the disk is full");
    }),
  ).toThrow("the disk is full");
  expect(rows()).toEqual([]);
  admitAll(() => admit(1, stamp(1_000, 1)));
  expect(rows()).toMatchObject([{ genTimeMs: 1_000 }]);
});

test("a timestamp is admitted with its transaction only", () => {
  expect(() => admit(1, stamp(1_000, 1))).toThrow(TypeError);
});
