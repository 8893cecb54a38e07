/** What is counted by kind and second: in one write a second, in bounded memory, and whole at the end. */
import { expect, test } from "vitest";
import { createTally, type Tallied } from "../../core/tally.ts";

function tallying() {
  let nowMs = 1_000_500;
  const written: (readonly Tallied<{ readonly what: string }>[])[] = [];
  const tally = createTally<{ readonly what: string }>({
    clock: { now: () => new Date(nowMs) },
    rest: () => ({ what: "*" }),
    write: async (counted) => await Promise.resolve(written.push(counted)),
  });
  return { tally, written, later: (ms: number) => (nowMs += ms) };
}

test("counts alike in one second as one, and writes all there is when it ends", async () => {
  const { tally, written, later } = tallying();
  {
    await using counting = tally;
    for (let count = 0; count < 10_000; count++) counting.count({ what: "a" });
    counting.count({ what: "b" }, { count: 3 });
    counting.count({ what: "b" }, { secondMs: 7_000n });
    later(500);
    counting.count({ what: "a" });
  }
  expect(written).toEqual([
    [
      { kind: { what: "a" }, secondMs: 1_000_000n, count: 10_000 },
      { kind: { what: "b" }, secondMs: 1_000_000n, count: 3 },
      { kind: { what: "b" }, secondMs: 7_000n, count: 1 },
      { kind: { what: "a" }, secondMs: 1_001_000n, count: 1 },
    ],
  ]);
});

test("tells 512 kinds apart and not one more, and loses no count", async () => {
  const { tally, written } = tallying();
  for (let kind = 0; kind < 600; kind++) tally.count({ what: String(kind) });
  tally.count({ what: "0" });
  await tally[Symbol.asyncDispose]();
  const [all = []] = written;
  expect(all).toHaveLength(513);
  expect(all.at(-1)).toMatchObject({ kind: { what: "*" }, count: 88 });
  expect(all.reduce((sum, { count }) => sum + count, 0)).toBe(601);
});

test("writes a second that is over while it goes on", async () => {
  const { tally, written, later } = tallying();
  await using counting = tally;
  counting.count({ what: "a" });
  later(1_000);
  await expect.poll(() => written.length, { timeout: 10_000 }).toBe(1);
});
