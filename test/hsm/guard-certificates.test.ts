/** A verdict, a serial number and a precertificate are good once, and a certificate needs a precertificate that is known to exist. */
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
  guard.admit("ca", { kind: "precertificate", ...claim }, { sequence, atMs: 0 });
};
const final = (sequence: number, core: number, verdict: number, key = "ca") => {
  const claim = { kind: "certificate", core: hashed(core), verdict: hashed(verdict) } as const;
  guard.admit(key, claim, { sequence, atMs: 0 });
};
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

test("a certificate is admitted once, after its precertificate's signature, under its key and verdict", () => {
  pre(1, [1, 1, 1]);
  pre(2, [2, 2, 2]);
  expect(() => final(3, 1, 1)).toThrow(/no known outcome/);
  guard.settle([
    { of: 1, status: "ok", made: 1 },
    { of: 2, status: "failed", made: 0 },
  ]);
  expect(() => final(3, 2, 2)).toThrow(/no known outcome/);
  expect(() => final(3, 1, 2)).toThrow(/no precertificate of this verdict/);
  expect(() => final(3, 1, 1, "other")).toThrow(/no precertificate of this verdict/);
  expect(() => final(3, 9, 9)).toThrow(/no precertificate of this verdict/);
  final(3, 1, 1);
  expect(() => final(4, 1, 1)).toThrow(/signed already/);
});

test("outcomes of neighbours are told together, in whatever order, and no other's with them", () => {
  for (const n of [1, 2, 3, 4, 5, 6]) pre(n, [n, n, n]);
  good(3, 2, 5, 1);
  for (const n of [1, 2, 3, 5]) final(10 + n, n, n);
  for (const n of [4, 6]) expect(() => final(10 + n, n, n)).toThrow(/no known outcome/);
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
  const rows = state.database
    .prepare("SELECT precertificate, final FROM certificates ORDER BY precertificate")
    .all();
  expect(rows).toEqual([
    { precertificate: 3, final: 3 },
    { precertificate: 4, final: null },
  ]);
});
