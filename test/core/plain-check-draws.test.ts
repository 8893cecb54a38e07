/** Every schema of the bus, quick and as it is, says the same of values that are nearly right. */
import { expect, test } from "vitest";
import { plugins } from "../../config/plugins.ts";
import { check } from "../../core/check.ts";
import { quick } from "../../core/plain-check.ts";
import type { Schema } from "../../events/contract.ts";
import { fc } from "../support/fixed-draws.ts";

/** What is looked at of a schema of valibot. */
interface Node {
  readonly kind: string;
  readonly type: string;
  readonly pipe?: readonly Node[];
  readonly entries?: { readonly [key: string]: Node };
  readonly item?: Node;
  readonly wrapped?: Node;
  readonly key?: unknown;
  readonly value?: Node;
  readonly options?: readonly unknown[];
  readonly literal?: unknown;
  readonly requirement?: unknown;
}

type Draw = fc.Arbitrary<unknown>;

const strange: Draw = fc.constantFrom(
  undefined,
  null,
  true,
  -1,
  0,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  -1n,
  2n ** 63n,
  "",
  " ",
  "a".repeat(5_000),
  new Uint8Array(),
  new Uint8Array(33),
  [],
  [undefined],
  {},
  { kind: "none" },
  Object.create({ kind: "none" }),
  new Date(0),
);

/** Mostly right, and at times strange somewhere within. */
function drawn(node: Node): Draw {
  return fc.oneof({ weight: 60, arbitrary: right(node) }, { weight: 1, arbitrary: strange });
}

function right({ pipe = [], ...node }: Node): Draw {
  const [, ...actions] = pipe;
  const of = (type: string) => actions.find((action) => action.type === type)?.requirement;
  const bounds = [of("min_length"), of("max_length"), of("min_value"), of("max_value")];
  const sizes = bounds.filter((one) => typeof one === "number");
  switch (node.type) {
    case "string": {
      const pattern = of("regex");
      if (pattern instanceof RegExp) return fc.stringMatching(pattern);
      const lengths = [1, ...sizes.flatMap((size) => [size, size + 1])];
      return fc.oneof(
        {
          weight: 8,
          arbitrary: fc.string({ minLength: 1, maxLength: Math.min(...sizes, 20) || 20 }),
        },
        { weight: 1, arbitrary: fc.constantFrom(...lengths.map((length) => "x".repeat(length))) },
      );
    }
    case "number":
      return fc.oneof(fc.nat(9), fc.constantFrom(1, ...sizes.flatMap((size) => [size, size + 1])));
    case "bigint":
      return fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
    case "boolean":
      return fc.boolean();
    case "custom":
      return fc.constantFrom(32, 32, 32, 32, 1, 64).map((length) => new Uint8Array(length));
    case "literal":
      return fc.constant(node.literal);
    case "picklist":
      return fc.constantFrom(...(node.options ?? []));
    case "array":
      return fc.array(inner(node.item), { minLength: Math.min(...sizes, 1), maxLength: 3 });
    case "optional":
      return inner(node.wrapped);
    case "record":
      return fc.dictionary(fc.string({ minLength: 1 }), inner(node.value), { maxKeys: 3 });
    case "variant":
    case "union":
      return fc.oneof(...(node.options ?? []).map((option) => drawn(option as Node))); // of schemas, for these types
    case "strict_object":
      return objectOf(node.entries ?? {});
    default:
      return strange;
  }
}

function inner(node: Node | undefined): Draw {
  return node === undefined ? strange : drawn(node);
}

const harms = ["drops", "adds", "inherits", "hides"] as const;

/** Its members in another order, now and then one too few or too many. */
function objectOf(entries: { readonly [key: string]: Node }): Draw {
  const names = Object.keys(entries);
  const optional = names.filter((name) => entries[name]?.type === "optional");
  const members = Object.fromEntries(
    Object.entries(entries).map(([name, node]) => [name, drawn(node)]),
  );
  const requiredKeys = names.filter((name) => !optional.includes(name));
  const harm = fc.oneof(
    { weight: 40, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constantFrom(...harms) },
  );
  return fc
    .tuple(fc.record(members, { requiredKeys, noNullPrototype: true }), fc.boolean(), harm)
    .map(([value, reversed, how]) => {
      const own = Object.entries(value);
      const given = Object.fromEntries(reversed ? own.toReversed() : own);
      const [first] = own.map(([name]) => name);
      if (how === "adds") return { ...given, more: 1 };
      if (how === null || first === undefined) return given;
      const { [first]: taken, ...rest } = given;
      if (how === "drops") return rest;
      if (how === "inherits") return Object.assign(Object.create({ [first]: taken }), rest);
      return Object.defineProperty({ ...rest, more: 1 }, first, { value: taken });
    });
}

const schemas: readonly (readonly [string, Schema])[] = plugins.flatMap(
  ({ manifest: { offers, emits, follows } }) => [
    ...offers.flatMap(({ room, name, question, answer }) => [
      [`${room}.${name} question`, question] as const,
      [`${room}.${name} answer`, answer] as const,
    ]),
    ...[...emits, ...follows].map(({ room, name, body }) => [`${room}.${name}`, body] as const),
  ],
);

test("of values that are nearly right the quick schema says what the schema says", () => {
  let accepted = 0;
  let refused = 0;
  for (const [name, schema] of new Map(schemas)) {
    const hurried = quick(schema);
    const draw = drawn(schema as unknown as Node); // what it is besides Standard Schema
    const property = fc.property(draw, (value) => {
      const expected = check(schema, value);
      expect(check(hurried, value), name).toStrictEqual(expected);
      if ("value" in expected) accepted++;
      else refused++;
    });
    fc.assert(property, { numRuns: 100 });
  }
  expect(schemas.length).toBeGreaterThan(90);
  expect(accepted).toBeGreaterThan(2_000);
  expect(refused).toBeGreaterThan(1_000);
});
