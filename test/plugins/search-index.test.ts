/** The index by itself, held against a list that is looked through. */
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fc, test as property } from "../support/fixed-draws.ts";
import { afterAll, expect, test } from "vitest";
import { isDamage } from "../../plugins/search/database.ts";
import { Engine } from "../../plugins/search/engine.ts";
import type { Bounds, Place } from "../../plugins/search/evaluate.ts";
import { extensionField, hashedKey, type Term, textFields } from "../../plugins/search/fields.ts";
import { readConditions } from "../../plugins/search/filter.ts";
import type { Indexed } from "../../plugins/search/indexed.ts";
import { segmentEntries } from "../../plugins/search/segment.ts";
import { parsePattern } from "../../plugins/search/wildcard.ts";

const folder = mkdtempSync(join(tmpdir(), "chancery-search-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const freshPath = () => join(folder, String(++files), "search.db");

/** An entry of a small world, so that there is much in common. */
interface Row {
  readonly name: string;
  readonly issuer: number;
  readonly digest: number;
  /** Milliseconds after the entry before. */
  readonly later: number;
}

const hex = (digest: number): string => digest.toString(16).padStart(64, "0");
const start = 1_700_000_000_000;

function indexed({ name, issuer, digest }: Row, atMs: number): Indexed {
  const terms: Term[] = [
    { field: textFields.email, value: name },
    { field: extensionField(8), value: `https://idp-${issuer}` },
  ];
  if (name !== name.toLowerCase()) {
    terms.push({ field: textFields.folded, value: name.toLowerCase() });
  }
  return { atMs, terms, keys: [hashedKey("digest", `sha256:${hex(digest)}`)] };
}

/** Logs as lists, with the times of their entries. */
class World {
  readonly logs = new Map<string, { readonly row: Row; readonly atMs: number }[]>();

  add(engine: Engine, log: string, rows: readonly Row[]): void {
    const all = this.logs.get(log) ?? [];
    this.logs.set(log, all);
    const added = rows.map((row) => {
      const atMs = (all.at(-1)?.atMs ?? start) + row.later;
      all.push({ row, atMs });
      return indexed(row, atMs);
    });
    engine.addIndexed(log, added, new Uint8Array(32));
  }

  /** By looking at everything. */
  find(fits: (row: Row, atMs: number) => boolean, newestFirst: boolean): Place[] {
    const found = [...this.logs].flatMap(([log, all], order) =>
      all.flatMap(({ row, atMs }, index) => (fits(row, atMs) ? [{ log, index, atMs, order }] : [])),
    );
    const sign = newestFirst ? -1 : 1;
    return found
      .toSorted(
        (a, b) => sign * (a.atMs - b.atMs) || a.order - b.order || sign * (a.index - b.index),
      )
      .map(({ log, index }) => ({ log, index }));
  }
}

/** All pages, and what happens between them. */
function pages(
  engine: Engine,
  search: Parameters<Engine["find"]>[0],
  { newestFirst, limit, between }: { newestFirst: boolean; limit: number; between?: () => void },
): Place[] {
  const places: Place[] = [];
  for (let bounds: Bounds | undefined; ;) {
    const page = engine.find(search, { newestFirst, limit, bounds });
    places.push(...page.places);
    if (page.next === null) return places;
    bounds = page.next;
    between?.();
  }
}

const rowOf = fc.record({
  name: fc.constantFrom("ada@example.com", "Bob@Example.com", "bob@example.com", "eve@evil.test"),
  issuer: fc.nat(2),
  digest: fc.nat(5),
  later: fc.constantFrom(0, 0, 1_000),
});
const batches = fc.array(
  fc.tuple(fc.constantFrom("ct", "rekor"), fc.array(rowOf, { minLength: 1, maxLength: 12 })),
  { minLength: 1, maxLength: 8 },
);
const questions = fc.record({
  name: fc.constantFrom(
    "ada@example.com",
    "BOB@example.com",
    "*@example.com",
    "*",
    "nobody",
    undefined,
  ),
  issuer: fc.constantFrom("https://idp-0", "https://idp-*", undefined),
  digest: fc.option(fc.nat(6), { nil: undefined }),
  since: fc.option(fc.nat(20_000), { nil: undefined }),
  until: fc.option(fc.nat(40_000), { nil: undefined }),
  newestFirst: fc.boolean(),
  limit: fc.integer({ min: 1, max: 7 }),
});

property.prop([batches, batches, questions], { numRuns: 25 })(
  "finds what a look at everything finds, page by page, whatever is logged meanwhile",
  (before, later, { name, issuer, digest, since, until, newestFirst, limit }) => {
    const path = freshPath();
    const world = new World();
    {
      using engine = new Engine(path);
      for (const log of ["ct", "rekor"]) {
        engine.join(log, new Uint8Array(32));
        world.logs.set(log, []);
      }
      for (const [log, rows] of before) world.add(engine, log, rows);
    }
    // Opened again: what it knows must be in the file.
    using engine = new Engine(path);
    const conditions = [
      ...(name === undefined ? [] : [{ field: "san", value: name }]),
      ...(issuer === undefined ? [] : [{ field: "issuer", value: issuer }]),
      ...(digest === undefined ? [] : [{ field: "digest", value: hex(digest) }]),
    ];
    const [sinceMs, untilMs] = [since, until].map((ms) => (ms === undefined ? ms : start + ms));
    const wanted = readConditions(conditions);
    const named = name === undefined ? null : parsePattern(name, true);
    const issued = issuer === undefined ? null : parsePattern(issuer, false);
    const fits = (row: Row, atMs: number): boolean =>
      (named?.matches(row.name) ?? true) &&
      (issued?.matches(`https://idp-${row.issuer}`) ?? true) &&
      (digest === undefined || row.digest === digest) &&
      atMs >= (sinceMs ?? 0) &&
      atMs < (untilMs ?? Infinity);
    const search = { wanted, sinceMs, untilMs };
    const expected = world.find(fits, newestFirst);
    expect(engine.count(search, ["issuer"]).total).toBe(expected.length);
    const rest = [...later];
    const between = (): void => {
      const [log, rows] = rest.shift() ?? [];
      if (log !== undefined && rows !== undefined) world.add(engine, log, rows);
    };
    const found = pages(engine, search, { newestFirst, limit, between });
    if (newestFirst) expect(found).toEqual(expected);
    else {
      // What came meanwhile may be there too, once each, and every log in its order.
      const all = world.find(fits, false).map(({ log, index }) => `${log} ${index}`);
      const seen = found.map(({ log, index }) => `${log} ${index}`);
      expect(new Set(seen).size).toBe(seen.length);
      expect(all).toEqual(expect.arrayContaining(seen));
      expect(seen).toEqual(
        expect.arrayContaining(expected.map(({ log, index }) => `${log} ${index}`)),
      );
    }
  },
);

test("sixteen segments become one run, in which everything is found as before, also if that was interrupted", () => {
  const path = freshPath();
  const count = segmentEntries * 16 + 5;
  const world = new World();
  const row = (index: number): Row => ({
    name: index % 1_000 === 7 ? "Rare@example.com" : `often-${index % 3}@example.com`,
    issuer: index % 2,
    digest: Math.floor(index / 2),
    later: index % 50 === 0 ? 1_000 : 0,
  });
  {
    using engine = new Engine(path);
    engine.join("rekor", new Uint8Array(32));
    for (let from = 0; from < count; from += segmentEntries) {
      const length = Math.min(segmentEntries, count - from);
      world.add(
        engine,
        "rekor",
        Array.from({ length }, (_, at) => row(from + at)),
      );
    }
    expectFound(engine, world);
  }
  // While segments are filled, and while their runs are merged.
  for (const steps of [3, 40, 60, 40]) {
    using engine = new Engine(path);
    for (let step = 0; step < steps; step++) expect(engine.step()).toBe(true);
    expectFound(engine, world);
  }
  {
    using engine = new Engine(path);
    while (engine.step());
    expectFound(engine, world);
  }
  using again = new Engine(path);
  expect(again.extents().map(({ size }) => size)).toEqual([count]);
  expect(again.step()).toBe(false);
  expectFound(again, world);
  const counted = again.count({ wanted: readConditions([]) }, ["issuer"]);
  expect(counted).toMatchObject({ total: count, exact: true });
  expect(counted.facets["issuer"]?.map(({ count: of }) => of)).toEqual([
    Math.ceil(count / 2),
    Math.floor(count / 2),
  ]);
});

function expectFound(engine: Engine, world: World): void {
  for (const [field, value, newestFirst, fits] of [
    ["email", "rare@example.com", true, ({ name }: Row) => name.startsWith("Rare")],
    ["digest", hex(31_000), false, ({ digest }: Row) => digest === 31_000],
    ["san", "rare*", false, ({ name }: Row) => name.startsWith("Rare")],
  ] as const) {
    const search = { wanted: readConditions([{ field, value }]) };
    const expected = world.find(fits, newestFirst);
    expect(expected.length).toBeGreaterThan(1);
    expect(pages(engine, search, { newestFirst, limit: 40 })).toEqual(expected);
  }
}

test.for([
  ["garbage", (path: string) => writeFileSync(path, "garbage".repeat(2_000))],
  ["half of the file", (path: string) => truncateSync(path, statSync(path).size / 2)],
] as const)("%s instead of an index is damage, which is known as such", ([, spoil]) => {
  const path = freshPath();
  {
    using engine = new Engine(path);
    engine.join("rekor", new Uint8Array(32));
    const row = { name: "ada@example.com", issuer: 0, digest: 1, later: 0 };
    engine.addIndexed(
      "rekor",
      Array.from({ length: 999 }, () => indexed(row, start)),
      new Uint8Array(32),
    );
  }
  spoil(path);
  let thrown: unknown = null;
  try {
    using engine = new Engine(path);
    engine.count({ wanted: readConditions([]) }, []);
  } catch (error) {
    thrown = error;
  }
  expect(isDamage(thrown)).toBe(true);
});

test("another log under the name of one in the index is damage", () => {
  using engine = new Engine(freshPath());
  engine.join("rekor", new Uint8Array(32).fill(1));
  expect(() => engine.join("rekor", new Uint8Array(32).fill(2))).toThrow("not the one");
});
