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

test("writes outcomes with the next commit, and calls what is left unknown-signed at the next start", async () => {
  const first = await ledger.transaction(() => ledger.intend(intent));
  const second = await ledger.transaction(() => ledger.intend(intent));
  ledger.note({ of: first, status: "ok", made: 1 });
  expect(settled).toEqual([]);
  await ledger.flush();
  expect(settled.map(({ of }) => of)).toEqual([first]);
  reopen();
  expect(await ledger.begin("serial")).toEqual([second]);
  expect(settled).toMatchObject([{ of: second, status: "unknown-signed" }]);
  reopen();
  expect(await ledger.begin("serial")).toEqual([]);
});

test("changes nothing when the work throws, and keeps its outcomes for the next commit", async () => {
  const first = await ledger.transaction(() => ledger.intend(intent));
  ledger.note({ of: first, status: "ok", made: 1 });
  const { next } = ledger;
  await expect(
    ledger.transaction(() => {
      ledger.intend(intent);
      throw new RangeError("on purpose");
    }),
  ).rejects.toThrow(RangeError);
  expect(ledger.next).toBe(next);
  expect(rows()).toBe(1);
  await ledger.flush();
  reopen();
  expect(await ledger.begin("serial")).toEqual([]);
});

test("refuses while the disk is full, and goes on when it is not", async () => {
  const [row] = state.database.prepare("PRAGMA page_count").all();
  state.database.exec(`PRAGMA max_page_count = ${Number(row?.["page_count"]) + 1}`);
  const fill = async () =>
    await ledger.transaction(() => ledger.intend({ ...intent, trace: "x".repeat(9_000) }));
  await fillUntilRefused(fill);
  const before = rows();
  await expect(fill()).rejects.toThrow(StateUnavailable);
  expect(ledger.broken).toBe(false);
  expect(rows()).toBe(before);
  state.database.exec("PRAGMA max_page_count = 100000");
  expect(await fill()).toBe(before + 1);
  reopen();
});

test("resolves when a commit is durable, and is broken for good when it could not be made so", async () => {
  let fails = false;
  let syncs = 0;
  const sync = async (): Promise<void> => {
    syncs += 1;
    if (fails) throw new Error("EIO");
    await state.sync();
  };
  const watched = new Ledger({ ...state, sync }, systemClock, () => undefined);
  const first = await watched.transaction(() => watched.intend(intent));
  expect(syncs).toBe(1);
  fails = true;
  await expect(watched.transaction(() => watched.intend(intent))).rejects.toThrow(StateUnavailable);
  expect(watched.broken).toBe(true);
  fails = false;
  await expect(watched.transaction(() => watched.intend(intent))).rejects.toThrow(StateUnavailable);
  expect(syncs).toBe(2);
  expect(rows()).toBe(first + 1);
});

test("commits in the order of its calls, before it says that they are durable", async () => {
  const both = [1, 2].map(async () => await ledger.transaction(() => ledger.intend(intent)));
  expect(rows()).toBe(2);
  expect(await Promise.all(both)).toEqual([1, 2]);
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

async function fillUntilRefused(fill: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      await fill();
    } catch {
      return;
    }
  }
}

function open(): void {
  settled = [];
  state = holdState(directory, "serial");
  ledger = new Ledger(state, systemClock, (outcomes) => settled.push(...outcomes));
}

function reopen(): void {
  state[Symbol.dispose]();
  open();
}

function rows(): number {
  return Number(state.database.prepare("SELECT count(*) AS n FROM ledger").get()?.["n"]);
}
