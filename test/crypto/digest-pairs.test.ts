/** Addon and fallback against node:crypto, on pairs; `npm run bench -- --only digests --pairs 1000000` does the same at length. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { agreeOn } from "../bench/digests.ts";
import { seed } from "../support/fixed-draws.ts";

const pairs = 20_000;
/** The fallback takes milliseconds for a signature of an elliptic curve: one in so many of them. */
const thin = 40;

test(`${pairs} right signatures are accepted and as many wrong ones refused, by addon and fallback`, () => {
  let drawn = 0;
  const draw = (): number =>
    createHash("sha256").update(`${seed} ${drawn++}`).digest().readUInt32BE();
  expect(agreeOn(pairs, { draw, thin })).toEqual({ pairs, disagreements: 0 });
}, 120_000);
