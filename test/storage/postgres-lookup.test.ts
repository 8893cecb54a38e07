import type pg from "pg";
import { beforeEach, expect, test } from "vitest";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { Lookup } from "../../plugins/storage/postgres-lookup.ts";
import type { PartitionLayout } from "../../plugins/storage/postgres-layout.ts";
import type { ReadingPool } from "../../plugins/storage/postgres-server.ts";

const layout: PartitionLayout = {
  id: 1,
  shape: { tables: ["alpha"], streams: [] },
  table: (name) => name,
  stream: (name) => name,
  statement: (does, name) => `${does} ${name}`,
};
const key = (n: number) => encodeUtf8(`key ${n}`);

/** Each statement waits until it is answered: with rows, or with an error. */
let asked: PromiseWithResolvers<string[][]>[];
let lookup: Lookup;
beforeEach(() => {
  asked = [];
  const query = async () => {
    const one = Promise.withResolvers<string[][]>();
    asked.push(one);
    return { rows: await one.promise };
  };
  // Of a connection a lookup uses nothing else.
  const client = { query } as unknown as pg.Client;
  const pool: ReadingPool = { use: async (read) => await read(client), end: async () => undefined };
  lookup = new Lookup(pool, layout, "alpha");
});
const row = (n: number, value: string) => [
  `\\x${key(n).toHex()}`,
  `\\x${encodeUtf8(value).toHex()}`,
];
const statements = async (count: number) =>
  await expect.poll(() => asked.length, { interval: 1 }).toBe(count);

test("what is asked for in one turn goes as one statement, and each is told its own", async () => {
  const found = Promise.all([1, 2, 3, 2].map(async (n) => await lookup.get(key(n))));
  await statements(1);
  asked[0]?.resolve([row(2, "two"), row(1, "one")]);
  const [one, two, three, again] = await found;
  expect([one, two, three]).toEqual([encodeUtf8("one"), encodeUtf8("two"), null]);
  expect(again).toEqual(two);
  expect(again?.buffer).not.toBe(two?.buffer);
  expect(asked).toHaveLength(1);
});

test("while one statement is on its way the next questions gather", async () => {
  const first = lookup.get(key(1));
  await statements(1);
  const later = [2, 3].map(async (n) => await lookup.get(key(n)));
  asked[0]?.resolve([]);
  expect(await first).toBeNull();
  await statements(2);
  asked[1]?.resolve([row(3, "three")]);
  expect(await Promise.all(later)).toEqual([null, encodeUtf8("three")]);
});

test("a statement that fails is told to those who were in it, and to nobody else", async () => {
  const first = lookup.get(key(1));
  await statements(1);
  const second = lookup.get(key(2));
  asked[0]?.reject(new Error("gone"));
  await expect(first).rejects.toThrow("gone");
  await statements(2);
  asked[1]?.resolve([row(2, "two")]);
  expect(await second).toEqual(encodeUtf8("two"));
});
