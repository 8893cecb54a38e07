import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { nextInterval, shardFor, shardList, shardsOf } from "../../plugins/ct/shards.ts";

const years = [
  { log: "ct2025", end: "2026-01-01" },
  { log: "ct2026", start: "2026-01-01", end: "2027-01-01" },
  { log: "ct2028", start: "2028-01-01T00:00:00Z" },
];

test("without shards there is one log, for everything", () => {
  expect(shardsOf({})).toEqual([{ log: "ct", start: null, end: null }]);
  expect(shardsOf({ log: "other" })).toEqual([{ log: "other", start: null, end: null }]);
});

test("the start belongs to a shard, and the end to the next", () => {
  const shards = shardsOf({ shards: v.parse(shardList, years) });
  const found = (at: string): string | null => {
    try {
      return shardFor(shards, new Date(at), undefined).log;
    } catch {
      return null;
    }
  };
  expect(
    [
      "1999-01-01T00:00:00Z",
      "2025-12-31T23:59:59.999Z",
      "2026-01-01T00:00:00Z",
      "2026-12-31T23:59:59.999Z",
      "2027-01-01T00:00:00Z",
      "2027-12-31T23:59:59.999Z",
      "2028-01-01T00:00:00Z",
      "2099-01-01T00:00:00Z",
    ].map(found),
  ).toEqual(["ct2025", "ct2025", "ct2026", "ct2026", null, null, "ct2028", "ct2028"]);
});

test.each([
  ["ct2026", "2026-06-01", null],
  ["ct2026", "2025-06-01", "chain-rejected"],
  ["ct2025", "2026-06-01", "chain-rejected"],
  ["ct2026", "2027-06-01", "chain-rejected"],
  ["rekor", "2026-06-01", "not-found"],
])("asked for %s with a certificate that ends on %s: %s", (log, at, code) => {
  const shards = shardsOf({ shards: v.parse(shardList, years) });
  const find = () => shardFor(shards, new Date(at), log).log;
  if (code === null) expect(find()).toBe(log);
  else expect(find).toThrow(expect.objectContaining({ code }));
});

describe("a configuration is refused", () => {
  test.each<[string, unknown]>([
    ["with no shard", []],
    [
      "with a log twice",
      [
        { log: "a", end: "2026-01-01" },
        { log: "a", start: "2026-01-01" },
      ],
    ],
    ["with an end before the start", [{ log: "a", start: "2027-01-01", end: "2026-01-01" }]],
    ["with an empty interval", [{ log: "a", start: "2026-01-01", end: "2026-01-01" }]],
    [
      "with an overlap",
      [
        { log: "a", end: "2026-01-02" },
        { log: "b", start: "2026-01-01" },
      ],
    ],
    ["with an open end that is not the last", [{ log: "a" }, { log: "b", start: "2026-01-01" }]],
    ["with an open start that is not the first", [{ log: "a", end: "2026-01-01" }, { log: "b" }]],
    [
      "out of order",
      [
        { log: "b", start: "2026-01-01" },
        { log: "a", end: "2026-01-01" },
      ],
    ],
    ["with a day that is not", [{ log: "a", end: "2026-02-31" }]],
    ["with another zone", [{ log: "a", end: "2026-02-01T00:00:00+01:00" }]],
    ["with an hour that is not", [{ log: "a", end: "2026-02-01T24:00:01Z" }]],
    ["with no log's name", [{ log: "A" }]],
  ])("%s", (_, shards) => {
    expect(v.safeParse(shardList, shards).success).toBe(false);
  });
});

test.each([
  [undefined, "2027-01-01", "2028-01-01"],
  ["2026-07-01", "2026-07-01", "2027-07-01"],
])("after a shard that ends at %s comes the year from %s", (end, start, next) => {
  const shards = shardsOf({ shards: [{ log: "a", ...(end && { end }) }] });
  expect(nextInterval(shards, new Date("2026-11-21T12:00:00Z"))).toEqual({
    start: new Date(start),
    end: new Date(next),
  });
});
