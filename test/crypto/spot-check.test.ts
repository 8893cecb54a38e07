import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { everyOne, firstOfEachTurn } from "../../core/crypto/spot-check.ts";

test("picks the first of each turn of the event loop", async () => {
  const look = firstOfEachTurn();
  expect([look(), look(), look()]).toEqual([true, false, false]);
  await Promise.resolve();
  expect(look()).toBe(false);
  await nextTurn();
  expect([look(), look()]).toEqual([true, false]);
});

test("picks every one of what comes from anybody", () => {
  expect([everyOne(), everyOne()]).toEqual([true, true]);
});
