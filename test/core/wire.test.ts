import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test } from "vitest";
import { Malformed } from "../../core/formats/malformed.ts";
import { decode, encode, maxDepth, maxMessageBytes } from "../../core/wire.ts";

const hex = (text: string): Uint8Array => Uint8Array.fromHex(text);

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(null, true, false),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true }).filter((number) => !Object.is(number, -0)),
    fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }),
    fc.string({ unit: "binary" }),
    fc.uint8Array(),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(
      fc.string({ minLength: 1 }).filter((key) => key !== "__proto__"),
      tie("value"),
      {
        maxKeys: 4,
        noNullPrototype: true,
      },
    ),
  ),
})).value;

property.prop([plain])("decoding undoes encoding, kind for kind", (value) => {
  expect(decode(encode(value))).toEqual(value);
});

property.prop([fc.uint8Array({ maxLength: 64 })])("any bytes decode or are malformed", (bytes) => {
  try {
    decode(bytes);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(Malformed);
  }
});

test("a number and a bigint of the same value stay apart", () => {
  expect(decode(encode([1, 1n]))).toEqual([1, 1n]);
});

test("byte strings are plain arrays of their own", () => {
  const message = encode(new Uint8Array([1, 2]));
  const bytes = decode(Buffer.from(message));
  expect(bytes?.constructor).toBe(Uint8Array);
  message.fill(0);
  expect(bytes).toEqual(new Uint8Array([1, 2]));
});

test.for([
  ["nothing", ""],
  ["a truncated string", "6361"],
  ["a truncated argument", "1a00"],
  ["an array that claims four thousand million items", "9affffffff"],
  ["a string that claims 2^63 bytes", "7b7fffffffffffffff"],
  ["an indefinite array", "9f01ff"],
  ["an indefinite byte string", "5f4101ff"],
  ["a tag for dates", "c11a514b67b0"],
  ["a tag for records", "d9dfff80"],
  ["a bignum that is text", "c26161"],
  ["a bignum of 100 bytes", `c25864${"11".repeat(100)}`],
  ["a map with a number as key", "a10102"],
  ["a half float", "f93c00"],
  ["a simple value not in use", "f0"],
  ["bytes left over", "0101"],
] as const)("refuses %s", ([, text]) => {
  expect(() => decode(hex(text))).toThrow(Malformed);
});

test("nests as deep as it may and no deeper", () => {
  const nested = (depth: number): Uint8Array => hex(`${"81".repeat(depth)}01`);
  expect(() => decode(nested(maxDepth))).not.toThrow();
  expect(() => decode(nested(maxDepth + 1))).toThrow("nested too deeply");
});

test("takes a message as large as it may be and no larger", () => {
  const head = 5;
  const largest = encode(new Uint8Array(maxMessageBytes - head));
  expect(largest).toHaveLength(maxMessageBytes);
  expect(() => decode(largest)).not.toThrow();
  expect(() => decode(encode(new Uint8Array(maxMessageBytes - head + 1)))).toThrow("too large");
});

test("gives no object a foreign prototype", () => {
  const key = Array.from(new TextEncoder().encode("__proto__"), (byte) => byte.toString(16)).join(
    "",
  );
  const decoded = decode(hex(`a169${key}a1617801`));
  expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
  expect(decoded).not.toHaveProperty("x");
});
