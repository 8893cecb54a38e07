import { expect, test } from "vitest";
import { seed } from "../support/fixed-draws.ts";
import { fuzzTokens } from "./tokens.ts";

test("no mutated token is believed, and none ends in anything but a refusal", async () => {
  const { refused, believed } = await fuzzTokens(seed, 3_000);
  // The odd claims are well signed: those that are harmless still mean somebody.
  expect(refused).toBeGreaterThan(2_000);
  expect(believed).toBeGreaterThan(10);
});
