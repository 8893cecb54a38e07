import { expect, test } from "vitest";
import type { Commit, PartitionShape } from "../../core/storage.ts";
import { Bell } from "../../plugins/storage/bell.ts";
import { Slate, slateBytes } from "../../plugins/storage/slate.ts";

const shape: PartitionShape = { tables: ["a", "b"], streams: ["s", "t"] };
const bytes = (...numbers: number[]) => Uint8Array.from(numbers);

const commits: readonly Commit[] = [
  {},
  {
    expect: [
      { table: "b", key: bytes(1), value: null },
      { table: "a", key: bytes(2, 3), value: bytes() },
    ],
    writes: [
      { table: "a", key: bytes(4), value: null },
      { table: "b", key: bytes(5), value: bytes(6, 7) },
    ],
    appends: [
      { stream: "t", value: bytes(8) },
      { stream: "s", value: bytes() },
    ],
  },
  { appends: [{ stream: "s", value: bytes(9) }] },
];
const seen = [
  { expect: [], writes: [], appends: [] },
  {
    expect: [
      { table: 1, key: bytes(1), value: null },
      { table: 0, key: bytes(2, 3), value: bytes() },
    ],
    writes: [
      { table: 0, key: bytes(4), value: null },
      { table: 1, key: bytes(5), value: bytes(6, 7) },
    ],
    appends: [
      { stream: 1, value: bytes(8) },
      { stream: 0, value: bytes() },
    ],
  },
  { expect: [], writes: [], appends: [{ stream: 0, value: bytes(9) }] },
];

test("the other side finds the commits that were put, and the first the outcome, again and again", () => {
  const near = Slate.for(100);
  const far = new Slate(near.memory);
  for (let round = 0; round < 3; round++) {
    expect(far.isPut).toBe(false);
    near.put(shape, commits);
    expect(far.isPut).toBe(true);
    expect(near.takeOutcome(commits)).toBeNull();
    expect([...far.commits()]).toEqual(seen);
    const outcomes = [{ sequences: [] }, { sequences: [7 + round, 2 ** 40] }, { conflict: 0 }];
    far.answer({ outcomes, walBytes: 2 ** 33 });
    expect(far.isPut).toBe(false);
    expect(near.takeOutcome(commits)).toEqual({ outcomes, walBytes: 2 ** 33 });
    expect(near.takeOutcome(commits)).toBeNull();
  }
});

test("what was put does not change with what it was made of", () => {
  const slate = Slate.for(100);
  const value = bytes(1);
  slate.put(shape, [{ appends: [{ stream: "s", value }] }]);
  value[0] = 2;
  expect([...slate.commits()][0]?.appends[0]?.value).toEqual(bytes(1));
});

test("why an outcome is unknown comes back, as far as there is room", () => {
  const slate = Slate.for(1);
  slate.put(shape, commits);
  slate.answer({ unknown: "the disk is full – to the brim" });
  expect(slate.takeOutcome(commits)).toEqual({ unknown: "the disk is full – to the brim" });
  slate.put(shape, commits);
  slate.answer({ unknown: "long".repeat(100_000) });
  expect(slate.takeOutcome(commits)).toMatchObject({
    unknown: expect.stringMatching(/^(?:long)+/),
  });
});

test("there is room for what was asked for, and for its answer, to the byte", () => {
  const many = Array.from({ length: 30_000 }, () => ({
    appends: [{ stream: "t", value: bytes(1) }],
  }));
  const size = many.reduce((sum, commit) => sum + slateBytes(commit), 0);
  const exact = new Slate(new SharedArrayBuffer(8 * Math.ceil((size + 16) / 8)));
  expect(exact.holds(size)).toBe(true);
  expect(exact.holds(size + 8)).toBe(false);
  expect(Slate.for(size).holds(size)).toBe(true);
  exact.put(shape, many);
  expect([...exact.commits()].length).toBe(many.length);
  const outcomes = many.map((_, at) => ({ sequences: [at + 1] }));
  exact.answer({ outcomes, walBytes: 1 });
  expect(exact.takeOutcome(many)).toEqual({ outcomes, walBytes: 1 });
});

test("a bell that was rung before the wait ends it, and one message is owed at a time", () => {
  const near = new Bell();
  const far = new Bell(near.memory);
  const { rings } = far;
  near.ring();
  // Returns, because it has been rung since.
  far.waitAfter(rings);
  expect(far.rings).toBe(rings + 1);
  expect([far.owe(), far.owe()]).toEqual([true, false]);
  near.told();
  expect(far.owe()).toBe(true);
});
