import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { inSlicesOf } from "../../plugins/issuer/turns.ts";

test("lets so many go on in a turn, the others later, in their order", async () => {
  const turn = inSlicesOf(2);
  const gone: number[] = [];
  const all = Array.from({ length: 5 }, async (_, at) => {
    await turn();
    gone.push(at);
  });
  await Promise.resolve();
  expect(gone).toEqual([0, 1]);
  await Promise.all(all);
  expect(gone).toEqual([0, 1, 2, 3, 4]);
});

test("lets who comes alone go on at once, also after many", async () => {
  const turn = inSlicesOf(1);
  await Promise.all([turn(), turn(), turn()]);
  for (let turns = 0; turns < 4; turns++) await nextTurn();
  let isGone = false;
  const alone = turn().then(() => (isGone = true));
  await Promise.resolve();
  await Promise.resolve();
  expect(isGone).toBe(true);
  await alone;
});
