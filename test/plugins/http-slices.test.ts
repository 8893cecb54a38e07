import { expect, it } from "vitest";
import { createSlices } from "../../plugins/http/slices.ts";

/** Slices over an event loop of our own: `cost` passes for each request that is begun. */
function house(costMs: number) {
  let now = 0;
  const turns: (() => void)[] = [];
  const begun: number[] = [];
  const slices = createSlices(
    () => now,
    (turn) => turns.push(turn),
  );
  return {
    begun,
    come(name: number) {
      void slices.begin().then(() => {
        begun.push(name);
        now += costMs;
      });
    },
    async settle() {
      // A promise chain of the implementation is some ticks long.
      for (let tick = 0; tick < 10; tick++) await Promise.resolve();
    },
    async turn() {
      turns.shift()?.();
      await this.settle();
    },
    get turns() {
      return turns.length;
    },
  };
}

it("begins what comes alone at once", async () => {
  const loop = house(5);
  loop.come(1);
  await loop.settle();
  expect(loop.begun).toEqual([1]);
});

it("begins some of those that come together, the others turn by turn and in their order", async () => {
  const loop = house(1);
  const all = Array.from({ length: 30 }, (_, at) => at);
  for (const name of all) loop.come(name);
  await loop.settle();
  expect(loop.begun).toEqual(all.slice(0, 8));
  // Who comes later does not overtake.
  await loop.turn();
  loop.come(30);
  await loop.settle();
  expect(loop.begun).toEqual(all.slice(0, 16));
  while (loop.turns > 0) await loop.turn();
  expect(loop.begun).toEqual([...all, 30]);
});

it("begins fewer of what takes long, one at least, and more of what is quick", async () => {
  const sizes = async (costMs: number): Promise<number> => {
    const loop = house(costMs);
    for (let name = 0; name < 1_500; name++) loop.come(name);
    await loop.settle();
    let last = 0;
    while (loop.turns > 0 && loop.begun.length < 1_000) {
      const before = loop.begun.length;
      await loop.turn();
      last = loop.begun.length - before;
    }
    return last;
  };
  expect(await sizes(20)).toBe(1);
  expect(await sizes(2)).toBe(4);
  expect(await sizes(0.24)).toBe(33);
  expect(await sizes(0.01)).toBe(64);
});
