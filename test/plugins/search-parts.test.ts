/** The parts of the index: patterns, pages, cursors, and questions that are refused. */
import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test } from "vitest";
import { formatCursor, parseCursor } from "../../plugins/search/cursor.ts";
import { readConditions } from "../../plugins/search/filter.ts";
import { findInPage, PageWriter, readPage, sealed } from "../../plugins/search/page.ts";
import { parsePattern } from "../../plugins/search/wildcard.ts";

test.for([
  ["*@example.com", "ada@example.com", true],
  ["*@example.com", "ada@example.org", false],
  ["ada@*", "ada@example.com", true],
  ["ADA@Example.com", "ada@example.COM", true],
  ["a*a*a", "aa", false],
  ["a*a*a", "aaa", true],
  ["*", "", true],
  ["**", "x", true],
  ["a*b", "ab", true],
  ["a*b", "a", false],
  ["ab*ba", "aba", false],
  ["a.c", "abc", false],
] as const)("%s and %s: %s", ([pattern, value, matches]) => {
  expect(parsePattern(pattern, true).matches(value)).toBe(matches);
});

test("upper and lower case differ where they should", () => {
  expect(parsePattern("https://A/*", false).matches("https://a/b")).toBe(false);
});

property.prop([
  fc.array(fc.tuple(fc.nat({ max: 2 ** 48 - 1 }), fc.nat(2 ** 20)), { maxLength: 900 }),
])("pages give back the pairs that were written, in order", (pairs) => {
  const sorted = [
    ...new Map(pairs.map(([key, index]) => [`${key}/${index}`, [key, index] as const])).values(),
  ].toSorted(([a, i], [b, j]) => a - b || i - j);
  const writer = new PageWriter(7);
  const pages: Uint8Array[] = [];
  for (const [key, index] of sorted) {
    if (writer.add(key, index + 7)) continue;
    pages.push(writer.take());
    expect(writer.add(key, index + 7)).toBe(true);
  }
  if (!writer.isEmpty) pages.push(writer.take());
  const read = pages.flatMap((page) => {
    const { keys, indices } = readPage(page, 7);
    return [...keys].map((key, at) => [key, (indices[at] ?? 0) - 7]);
  });
  expect(read).toEqual(sorted);
});

property.prop([
  fc.uniqueArray(fc.tuple(fc.nat(12), fc.nat(2_000)), { maxLength: 300, selector: String }),
  fc.nat(13),
])("what is found in a page is what reading all of it finds", (pairs, wanted) => {
  const writer = new PageWriter(7);
  for (const [key, index] of pairs.toSorted(([a, i], [b, j]) => a - b || i - j)) {
    writer.add(key, index + 7);
  }
  const page = writer.take();
  const { keys, indices } = readPage(page, 7);
  const expected = [...indices].filter((_index, at) => keys[at] === wanted);
  expect(findInPage(page, 7, wanted)).toEqual(expected);
});

test("a page with a flipped bit is noticed", () => {
  const writer = new PageWriter(0);
  writer.add(1, 1);
  const page = writer.take();
  page[5] = (page[5] ?? 0) ^ 1;
  expect(() => readPage(page, 0)).toThrow("damaged");
  expect(() => findInPage(page, 0, 1)).toThrow("damaged");
});

test("a page that ends inside a pair is noticed", () => {
  for (const numbers of [[1], [1, 200]]) {
    const bytes = sealed(Uint8Array.of(0, 0, 0, 0, ...numbers));
    for (const wanted of [1, 5]) {
      expect(() => findInPage(bytes, 0, wanted), String(numbers)).toThrow("cut short");
    }
  }
});

test("a cursor is good for the search it came from, and for no other", () => {
  const cursor = formatCursor("a", { rekor: 7 });
  expect(parseCursor(cursor, "a")).toEqual({ rekor: 7 });
  expect(() => parseCursor(cursor, "b")).toThrow("another search");
  for (const bad of [
    "",
    "!",
    "e30",
    Buffer.from('{"of":"x","at":{"a":-1}}').toString("base64url"),
  ]) {
    expect(() => parseCursor(bad, "a"), bad).toThrow();
  }
});

test.for([
  ["digest", "xyz", "hex"],
  ["digest", "sha512:abab", "hex"],
  ["digest", `sha256:${"a".repeat(63)}*`, "whole"],
  ["key", "ab", "64 hex digits"],
  ["extension.21", "https://*", "whole"],
] as const)("refuses %s=%s", ([field, value, why]) => {
  expect(() => readConditions([{ field, value }])).toThrow(why);
});
