/** Waits that share timers end when they should, and not when they are cancelled. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createDeadlines } from "../../core/deadlines.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp() {
  const startedAt = performance.now();
  const ended: { readonly name: string; readonly ms: number }[] = [];
  const { after } = createDeadlines();
  return {
    ended,
    after: (ms: number, name: string) =>
      after(ms, () => ended.push({ name, ms: performance.now() - startedAt })),
  };
}

test("a short wait ends on time, a long one up to a tenth of a second early", () => {
  const { after, ended } = setUp();
  after(1, "short");
  after(999, "below a second");
  after(1_000, "a second");
  after(20_050, "long");
  vi.advanceTimersByTime(30_000);
  const at = Object.fromEntries(ended.map(({ name, ms }) => [name, ms]));
  expect(at["short"]).toBe(1);
  expect(at["below a second"]).toBe(999);
  for (const [name, ms] of [
    ["a second", 1_000],
    ["long", 20_050],
  ] as const) {
    expect(at[name]).toBeGreaterThan(ms - 102);
    expect(at[name]).toBeLessThanOrEqual(ms + 1);
  }
});

test("many waits share a timer, and none is kept for those that were cancelled", () => {
  const { after, ended } = setUp();
  const waits = Array.from({ length: 1_000 }, (_, at) => after(5_000, String(at)));
  expect(vi.getTimerCount()).toBe(1);
  for (const wait of waits.slice(1)) wait.cancel();
  expect(vi.getTimerCount()).toBe(1);
  waits[0]?.cancel();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(10_000);
  expect(ended).toEqual([]);
});

test("a wait that has ended is cancelled in vain, whoever waits in its place by then", () => {
  const { after, ended } = setUp();
  const first = after(2_000, "first");
  const second = after(2_000, "second");
  second.cancel();
  second.cancel();
  vi.advanceTimersByTime(3_000);
  after(2_000, "third");
  first.cancel();
  vi.advanceTimersByTime(3_000);
  expect(ended.map(({ name }) => name)).toEqual(["first", "third"]);
});

test("what ends one wait may cancel another of the same moment, and begin new ones", () => {
  const ended: string[] = [];
  const { after } = createDeadlines();
  after(2_000, () => {
    other.cancel();
    ended.push("one");
    after(2_000, () => ended.push("new"));
  });
  const other = after(2_000, () => ended.push("other"));
  vi.advanceTimersByTime(2_001);
  expect(ended).toEqual(["one"]);
  vi.advanceTimersByTime(2_001);
  expect(ended).toEqual(["one", "new"]);
});

test("no wait is longer than what a timer can tell", () => {
  const { after, ended } = setUp();
  after(Number.POSITIVE_INFINITY, "never");
  vi.advanceTimersByTime(3_600_000);
  expect(ended).toEqual([]);
});
