import { expect, test } from "vitest";
import { randomPool } from "../../core/crypto/random.ts";

test("no octet of a filling is given twice, and none of the one before", () => {
  let fillings = 0;
  const draw = randomPool((pool) => {
    fillings++;
    for (let at = 0; at < pool.length; at += 2) pool.set([fillings, (at / 2) % 251], at);
  });
  const drawn = Array.from({ length: 300 }, () => draw(14));
  // 292 times 14 octets fit in 4,096.
  expect(fillings).toBe(2);
  expect(drawn.slice(0, 292).every((octets) => octets[0] === 1)).toBe(true);
  expect(drawn.slice(292).every((octets) => octets[0] === 2)).toBe(true);
  expect(drawn[0]).toEqual(Uint8Array.of(1, 0, 1, 1, 1, 2, 1, 3, 1, 4, 1, 5, 1, 6));
  expect(drawn[1]).toEqual(Uint8Array.of(1, 7, 1, 8, 1, 9, 1, 10, 1, 11, 1, 12, 1, 13));
});

test("what was drawn is the caller's own", () => {
  const draw = randomPool();
  const [one, other] = [draw(32), draw(32)];
  expect(one).not.toEqual(other);
  const copy = Uint8Array.from(other);
  one.fill(0);
  expect(other).toEqual(copy);
});

test("gives as many as it has room for, and not one more", () => {
  const draw = randomPool();
  expect(draw(4_096)).toHaveLength(4_096);
  expect(() => draw(4_097)).toThrow(RangeError);
});
