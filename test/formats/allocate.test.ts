import { expect, test } from "vitest";
import { allocate, allocateFor, largestCut } from "../../core/formats/allocate.ts";

test.for([0, 1, 64, 65, largestCut, largestCut + 1, 100_000])(
  "gives an array of %i octets",
  (length) => {
    expect(allocate(length)).toHaveLength(length);
  },
);

test("gives no octet twice, whatever lies between", () => {
  const arrays = Array.from({ length: 600 }, (_, at) => {
    const made =
      at % 3 === 0 ? allocateFor(200, (into) => into.fill(0).length - 90) : allocate(70 + at);
    return made.fill(at % 256);
  });
  for (const [at, array] of arrays.entries()) {
    expect(array.every((octet) => octet === at % 256)).toBe(true);
  }
});

test.for([100, largestCut])("cuts off what was not used of %i octets", (atMost) => {
  const made = allocateFor(atMost, (into) => {
    expect(into).toHaveLength(atMost);
    into.set([1, 2, 3]);
    return 3;
  });
  expect([...made]).toEqual([1, 2, 3]);
});

test("goes on after a writer that failed", () => {
  const before = allocate(100).fill(7);
  const failing = (): never => {
    throw new Error("no");
  };
  expect(() => allocateFor(100, failing)).toThrow("no");
  expect(allocate(100).fill(8)).toHaveLength(100);
  expect(before.every((octet) => octet === 7)).toBe(true);
});
