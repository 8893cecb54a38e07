/** The short form of `npm run fuzz`: at least two thousand requests to the routes of a real installation. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { seed } from "../support/fixed-draws.ts";
import { fuzz } from "./campaign.ts";
import { type House, openHouse } from "./house.ts";

let house: House;

beforeAll(async () => {
  house = await openHouse();
});

afterAll(async () => await house?.[Symbol.asyncDispose]());

test("no mutated request gets more than a quiet refusal, or what a good one gets", async () => {
  process.stdout.write(`fuzz: seed ${seed}\n`);
  const tally = await fuzz(house, { seed, cases: 2_100, atOnce: 64 });
  const counts = [...tally.values()].flatMap((statuses) => [...statuses.values()]);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(2_000);
  // Both doors of the oracle were used: most is refused, some is not.
  expect([...tally.values()].some((statuses) => statuses.has(200))).toBe(true);
  expect([...tally.values()].some((statuses) => statuses.has(400))).toBe(true);
});
