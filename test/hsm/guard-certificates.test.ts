/** A verdict, a serial number and a precertificate are good once, and a precertificate is admitted with the row of its certificate. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { uintBytes } from "../../core/formats/encoding.ts";
import { createState, type HeldState, holdState } from "../../hsm/database.ts";
import { Guard } from "../../hsm/guard.ts";
import { runsOf } from "../../hsm/runs.ts";

let directory: string;
let state: HeldState;
let guard: Guard;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "guard-certificates-"));
  createState(directory, "1");
  state = holdState(directory, "1");
  guard = new Guard(state.database);
});
afterEach(() => {
  state[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

const hashed = (n: number) => uintBytes(n, 32);
const pre = (sequence: number, names: readonly [core: number, serial: number, verdict: number]) => {
  const [core, serial, verdict] = names;
  const claim = { core: hashed(core), serial: uintBytes(serial, 20), verdict: hashed(verdict) };
  guard.admit(
    "ca",
    { kind: "precertificate", ...claim },
    { sequence, atMs: 0, final: sequence + 100 },
  );
};
const rows = () =>
  state.database
    .prepare("SELECT precertificate, signed, final FROM certificates ORDER BY precertificate")
    .all()
    .map((row) => Object.values(row));
const good = (...sequences: readonly number[]) =>
  guard.settle(sequences.map((of) => ({ of, status: "ok", made: 1 })));

test.each([
  ["verdict", [4, 5, 3], /this verdict/],
  ["serial number", [4, 2, 6], /this serial number/],
  ["precertificate", [1, 5, 6], /this serial number/],
] as const)("a %s is used once", (_, names, message) => {
  pre(1, [1, 2, 3]);
  expect(() => pre(2, names)).toThrow(message);
  pre(2, [4, 5, 6]);
});

test("a precertificate has its certificate from the beginning, whatever becomes of either", () => {
  pre(1, [1, 1, 1]);
  pre(2, [2, 2, 2]);
  guard.settle([
    { of: 1, status: "ok", made: 1 },
    { of: 2, status: "failed", made: 0 },
  ]);
  expect(rows()).toEqual([
    [1, 1, 101],
    [2, 0, 102],
  ]);
  for (const n of [1, 2]) expect(() => pre(3, [n, n, n])).toThrow(/used/);
  const claim = { core: hashed(1), serial: uintBytes(9, 20), verdict: hashed(1) };
  const bare = { kind: "bareCertificate", ...claim } as const;
  expect(() => guard.admit("ca", bare, { sequence: 3, atMs: 0 })).toThrow(/this verdict/);
});

test("a precertificate is not admitted without the row of its certificate", () => {
  const claim = { core: hashed(1), serial: uintBytes(1, 20), verdict: hashed(1) };
  const alone = { kind: "precertificate", ...claim } as const;
  expect(() => guard.admit("ca", alone, { sequence: 1, atMs: 0 })).toThrow(TypeError);
});

test("outcomes of neighbours are told together, in whatever order, and no other's with them", () => {
  for (const n of [1, 2, 3, 4, 5, 6]) pre(n, [n, n, n]);
  good(3, 2, 5, 1);
  expect(rows().map(([, signed]) => signed)).toEqual([1, 1, 1, 0, 1, 0]);
  expect(runsOf([3, 2, 5, 1])).toEqual([
    [1, 3],
    [5, 5],
  ]);
});

test("a certificate that never was a precertificate stays both in one attempt when it is tried again", () => {
  const claim = { core: hashed(1), serial: uintBytes(1, 20), verdict: hashed(1) };
  guard.admit("ca", { kind: "bareCertificate", ...claim }, { sequence: 1, atMs: 0 });
  pre(2, [2, 2, 2]);
  guard.follow(1, 3);
  guard.follow(2, 4);
  expect(rows()).toEqual([
    [3, 0, 3],
    [4, 0, 102],
  ]);
});
