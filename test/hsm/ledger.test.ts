import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { createState, type HeldState, holdState } from "../../hsm/database.ts";
import { Ledger, StateUnavailable } from "../../hsm/ledger.ts";
import type { Outcome } from "../../hsm/ledger-rows.ts";

let directory: string;
let state: HeldState;
let ledger: Ledger;
let settled: Outcome[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "chancery-ledger-"));
  createState(directory, "serial");
  open();
});

afterEach(() => {
  state[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

test("makes a state once only", () => {
  expect(() => createState(directory, "serial")).toThrow(/never made twice/);
});

test("writes outcomes with the next commit, and calls what is left unknown-signed at the next start", () => {
  const first = ledger.transaction(() => ledger.intend(intent));
  const second = ledger.transaction(() => ledger.intend(intent));
  ledger.note({ of: first, status: "ok", made: 1 });
  expect(settled).toEqual([]);
  ledger.flush();
  expect(settled.map(({ of }) => of)).toEqual([first]);
  reopen();
  expect(ledger.begin("serial")).toEqual([second]);
  expect(settled).toMatchObject([{ of: second, status: "unknown-signed" }]);
  reopen();
  expect(ledger.begin("serial")).toEqual([]);
});

test("changes nothing when the work throws, and keeps its outcomes for the next commit", () => {
  const first = ledger.transaction(() => ledger.intend(intent));
  ledger.note({ of: first, status: "ok", made: 1 });
  const { next } = ledger;
  expect(() =>
    ledger.transaction(() => {
      ledger.intend(intent);
      throw new RangeError("on purpose");
    }),
  ).toThrow(RangeError);
  expect(ledger.next).toBe(next);
  expect(rows()).toBe(1);
  ledger.flush();
  reopen();
  expect(ledger.begin("serial")).toEqual([]);
});

test("refuses while the disk is full, and goes on when it is not", () => {
  const [row] = state.database.prepare("PRAGMA page_count").all();
  state.database.exec(`PRAGMA max_page_count = ${Number(row?.["page_count"]) + 1}`);
  const fill = () =>
    ledger.transaction(() => ledger.intend({ ...intent, trace: "x".repeat(9_000) }));
  fillUntilRefused(fill);
  const before = rows();
  expect(fill).toThrow(StateUnavailable);
  expect(ledger.broken).toBe(false);
  expect(rows()).toBe(before);
  state.database.exec("PRAGMA max_page_count = 100000");
  expect(fill()).toBe(before + 1);
  reopen();
});

const intent = {
  asker: "log",
  key: "ct-log",
  purpose: "scts" as const,
  count: 1,
  hash: "",
  binding: { kind: "none" as const },
  trace: "",
};

function fillUntilRefused(fill: () => unknown): void {
  for (let tries = 0; tries < 100; tries++) {
    try {
      fill();
    } catch {
      return;
    }
  }
}

function open(): void {
  settled = [];
  state = holdState(directory, "serial");
  ledger = new Ledger(state.database, systemClock, (outcome) => settled.push(outcome));
}

function reopen(): void {
  state[Symbol.dispose]();
  open();
}

function rows(): number {
  return Number(state.database.prepare("SELECT count(*) AS n FROM ledger").get()?.["n"]);
}
