/** A wall clock held against a steady one: when it is believed, and by whose word it is believed again. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { clockOf, confirmationPath, SteadyClock } from "../../core/clock.ts";
import { durableWrite } from "../../core/durable.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";

const settleMs = 10_000;

function watched() {
  const at = { wallMs: 1_000_000, steadyMs: 0, said: null as string | null };
  const clock = { now: () => new Date(at.wallMs), confirmation: () => at.said };
  const steadyMs = () => at.steadyMs;
  const steady = new SteadyClock({ clock, steadyMs, maxStepMs: 1_000, settleMs });
  /** Time passes, and then the wall clock is set by this much. */
  const pass = (ms: number, setMs = 0) => {
    at.steadyMs += ms;
    at.wallMs += ms + setMs;
  };
  return { at, steady, pass };
}

test("a clock that was set is believed once it has been back for as long as was said, and not before", () => {
  const { steady, pass, at } = watched();
  pass(5_000, 1_000);
  expect(steady.now()?.getTime()).toBe(at.wallMs);
  pass(0, 1);
  expect(steady.now()).toBeNull();
  pass(60_000);
  expect(steady.now()).toBeNull();
  pass(0, -1_001);
  expect(steady.now()).toBeNull();
  pass(settleMs - 1);
  expect(steady.now()).toBeNull();
  expect(steady.doubtedSince).not.toBeNull();
  pass(1);
  expect(steady.now()?.getTime()).toBe(at.wallMs);
  expect(steady.doubtedSince).toBeNull();
});

test("an operator's word is about the doubt that it was given in", () => {
  const { steady, pass, at } = watched();
  at.said = "before";
  pass(1_000, 3_600_000);
  expect(steady.now()).toBeNull();
  at.said = null;
  expect(steady.now()).toBeNull();
  at.said = "now";
  expect(steady.now()?.getTime()).toBe(at.wallMs);
  pass(1_000);
  expect(steady.now()?.getTime()).toBe(at.wallMs);
  pass(1_000, -3_600_000);
  expect(steady.now()).toBeNull();
  at.said = "again";
  expect(steady.now()?.getTime()).toBe(at.wallMs);
});

test("a word is a file of the home, another one each time", async () => {
  const home = await mkdtemp(join(tmpdir(), "chancery-clock-"));
  await mkdir(join(home, "run"));
  const { confirmation } = clockOf(home);
  const words = [confirmation?.()];
  for (let time = 0; time < 2; time++) {
    await durableWrite(join(home, confirmationPath), encodeUtf8("confirmed\n"), 0o600);
    words.push(confirmation?.());
    expect(confirmation?.()).toBe(words.at(-1));
  }
  expect(words[0]).toBeNull();
  expect(new Set(words).size).toBe(3);
  await rm(home, { recursive: true });
});
