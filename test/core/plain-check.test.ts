import * as v from "valibot";
import { expect, test } from "vitest";
import { quick } from "../../core/plain-check.ts";
import { check } from "../../core/check.ts";
import { bytes, bytesUpTo, hash, uint } from "../../events/bytes.ts";
import { plugins } from "../../config/plugins.ts";
import type { Schema } from "../../events/contract.ts";

/** Whatever a schema of ours may be handed, right and wrong. */
const values: readonly unknown[] = [
  undefined,
  null,
  true,
  0,
  1,
  1.5,
  -1,
  Number.NaN,
  2 ** 60,
  0n,
  -1n,
  2n ** 63n,
  "",
  "ab",
  "abc",
  new Uint8Array(),
  new Uint8Array(32),
  new Uint8Array(33),
  [],
  ["ab"],
  ["ab", 1],
  [undefined],
  {},
  { a: "ab" },
  { a: "ab", b: 1n },
  { b: 1n, a: "ab" },
  { a: "ab", b: undefined },
  { a: "ab", b: 1n, c: 0 },
  { a: undefined },
  { kind: "one", a: "ab" },
  { kind: "two", b: 1n },
  { kind: "two", a: "ab" },
  { kind: "three" },
  { ["prototype"]: "ab" },
  { ["constructor"]: "ab" },
  JSON.parse('{"__proto__":"ab"}'),
  Object.create({ a: "ab" }),
  Object.assign(Object.create({ c: 1 }), { a: "ab" }),
  Object.defineProperty({}, "a", { value: "ab" }),
  Object.defineProperty({ c: 0 }, "a", { value: "ab" }),
  Object.defineProperty({ a: "ab", c: 0 }, "b", { value: 1n }),
  new Date(0),
  new Map(),
  () => "ab",
  Symbol("ab"),
  ...unusual(),
];

/** Objects that are not what they look like. None comes over the bus, where every value is made anew from bytes. */
function unusual(): readonly unknown[] {
  const telling = (own: readonly unknown[], told: readonly unknown[]) =>
    Object.defineProperty([...own], Symbol.iterator, { value: () => told.values() });
  const sparse: unknown[] = [];
  sparse[1] = "ab";
  const above = {
    get a() {
      return "ab";
    },
  };
  const inArray = Object.setPrototypeOf([], { 0: "ab", length: 1 }) as unknown;
  return [
    telling(["ab"], [1]),
    telling([1], ["ab"]),
    telling(["ab", "ab"], ["ab"]),
    telling([], ["ab"]),
    sparse,
    Array.from({ length: 1 }),
    inArray,
    Object.assign(["ab"], { a: "ab" }),
    new Proxy({ a: "ab" }, {}),
    new Proxy({ a: "ab", c: 0 }, {}),
    new Proxy(["ab"], {}),
    new Proxy(["ab", 1], {}),
    new Proxy({ a: "ab" }, { getPrototypeOf: () => Array.prototype }),
    Object.create(above),
    Object.assign(Object.create(above) as object, { b: 1n }),
    Object.create(Object.prototype, { a: { get: () => "ab", enumerable: true } }),
    Object.create(Object.prototype, { a: { get: () => 1, enumerable: true } }),
    Object.create(null, { a: { value: "ab", enumerable: true } }),
    new (class {
      a = "ab";
    })(),
    new (class extends Array<unknown> {})(1),
  ];
}

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(2));
const member = { a: text, b: v.optional(uint) };

const schemas: { readonly [name: string]: Schema } = {
  text,
  pattern: v.pipe(v.string(), v.regex(/^a/)),
  number: v.number(),
  integer: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1)),
  safe: v.pipe(v.number(), v.safeInteger()),
  flag: v.boolean(),
  uint,
  bytes,
  hash,
  few: bytesUpTo(32),
  one: v.picklist(["ab", "b"]),
  literal: v.literal("ab"),
  any: v.unknown(),
  list: v.pipe(v.array(text), v.maxLength(1)),
  object: v.strictObject(member),
  deep: v.strictObject({ a: text, b: v.optional(v.strictObject(member)) }),
  record: v.record(v.string(), v.unknown()),
  texts: v.record(text, text),
  variant: v.variant("kind", [
    v.strictObject({ kind: v.literal("one"), a: text }),
    v.strictObject({ kind: v.literal("two"), b: uint }),
  ]),
  // What is not known to the quick way.
  loose: v.looseObject(member),
  defaulted: v.strictObject({ a: v.optional(text, "ab") }),
  turned: v.pipe(
    v.string(),
    v.transform((value) => value.length),
  ),
  either: v.union([text, uint]),
};

test.for(Object.entries(schemas))(
  "%s: the quick schema says what the schema says",
  ([, schema]) => {
    const hurried = quick(schema);
    for (const value of values) {
      const [expected, given] = [check(schema, value), check(hurried, value)];
      expect(given).toStrictEqual(expected);
      expect(keysOf(given)).toBe(keysOf(expected));
    }
  },
);

test("an object that says otherwise each time it is asked gives nothing that the schema would not take", () => {
  const honest = { a: "ab", b: 1n };
  let asked = 0;
  const turns = [
    { get: (target: typeof honest, key: keyof typeof honest) => (asked++ % 2 ? 0 : target[key]) },
    { has: () => asked++ % 2 === 0 },
    { ownKeys: () => (asked++ % 2 ? ["a"] : ["a", "b", "c"]) },
    { getOwnPropertyDescriptor: () => undefined },
    { getPrototypeOf: () => Object.prototype, has: () => false },
  ];
  for (const [name, schema] of Object.entries(schemas)) {
    for (const turn of turns) {
      for (let again = 0; again < 4; again++) {
        const given = check(quick(schema), new Proxy(honest, turn as ProxyHandler<typeof honest>));
        if ("value" in given) expect([name, check(schema, given.value)]).toEqual([name, given]);
      }
    }
  }
});

test("what it gives is new", () => {
  const given = { a: "ab", b: [1n] };
  const schema = quick(v.strictObject({ a: v.string(), b: v.array(uint) }));
  const { value } = check(schema, given) as { readonly value: typeof given };
  expect(value).toStrictEqual(given);
  expect(value).not.toBe(given);
  expect(value.b).not.toBe(given.b);
});

test("nearly every schema of the bus has a quick way", () => {
  const all = plugins.flatMap(({ manifest: { offers, follows } }) => [
    ...offers.flatMap(({ question, answer }) => [question, answer]),
    ...follows.map(({ body }) => body),
  ]);
  const slow = all.filter((schema) => quick(schema) === schema);
  expect(all.length).toBeGreaterThan(90);
  expect(slow.length).toBeLessThan(all.length / 20);
});

/** The order of members, which encodings keep. */
function keysOf(checked: unknown): string {
  return JSON.stringify(checked, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
}
