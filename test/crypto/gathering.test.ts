import { expect, test } from "vitest";
import { gathering } from "../../core/crypto/gathering.ts";

const isEven = (claim: number): boolean => claim % 2 === 0;

/** Decides whether numbers are even, and notes which were decided together elsewhere. */
function setUp(elsewhere: (claims: readonly number[]) => readonly boolean[]) {
  const together: (readonly number[])[] = [];
  const decide = gathering<number>({
    here: (claim) => {
      if (claim < 0) throw new RangeError("below zero");
      return isEven(claim);
    },
    elsewhere: async (claims) => {
      together.push(claims);
      return await Promise.resolve(elsewhere(claims));
    },
  });
  return { decide, together };
}

test("three are decided here, four elsewhere, and more in groups of sixteen", async () => {
  const { decide, together } = setUp((claims) => claims.map(isEven));
  for (const count of [1, 3, 4, 37]) {
    const claims = Array.from({ length: count }, (_, at) => at);
    expect(await Promise.all(claims.map(decide))).toEqual(claims.map(isEven));
  }
  expect(together.map(({ length }) => length)).toEqual([4, 16, 16, 5]);
});

test("an answer that did not come is no", async () => {
  const { decide } = setUp(() => [true]);
  expect(await Promise.all([0, 2, 4, 6].map(decide))).toEqual([true, false, false, false]);
});

test("what the other thread could not do is done here", async () => {
  const { decide } = setUp(() => {
    throw new Error("cancelled");
  });
  expect(await Promise.all([0, 1, 2, 3].map(decide))).toEqual([true, false, true, false]);
});

test("whoever cannot be decided about is told so, and nobody else", async () => {
  const { decide } = setUp(() => []);
  const [bad, good] = await Promise.allSettled([decide(-1), decide(2)]);
  expect(bad?.status).toBe("rejected");
  expect(good).toEqual({ status: "fulfilled", value: true });
});
