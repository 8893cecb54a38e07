import { readFileSync } from "node:fs";
import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test } from "vitest";
import { canonicalize } from "../../core/formats/jcs.ts";
import { maxJsonDepth, parseJson, parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

test.for([
  ["a duplicate member", '{"a":1,"a":1}'],
  ["a duplicate member spelt with an escape", '{"a":1,"\\u0061":2}'],
  ["a duplicate __proto__", '{"__proto__":1,"__proto__":2}'],
  ["a duplicate member deep inside", '[{"x":{"a":1,"b":2,"a":3}}]'],
  ["65 levels", nested(maxJsonDepth + 1)],
  ["65 levels of objects", `${'{"a":'.repeat(65)}1${"}".repeat(65)}`],
  ["a lone surrogate", '"\ud800"'],
  ["an escaped lone surrogate", '"\\ud800"'],
  ["an escaped pair in the wrong order", '"\\udc00\\ud800"'],
  ["a surrogate half as escape and half as character", '"\\ud83d\ude02"'],
  ["a lone surrogate in a name", '{"\\udfff":1}'],
  ["a number beyond a double", "1e999"],
  ["a leading zero", "01"],
  ["a leading plus", "+1"],
  ["a number that ends with a point", "1."],
  ["a number that begins with a point", ".5"],
  ["hexadecimal", "0x10"],
  ["NaN", "NaN"],
  ["a lone minus", "-"],
  ["an exponent without digits", "1e"],
  ["nothing", ""],
  ["only space", " \n"],
  ["something after the value", "1 2"],
  ["a trailing comma in an array", "[1,]"],
  ["a trailing comma in an object", '{"a":1,}'],
  ["a comment", "/* */1"],
  ["single quotes", "'a'"],
  ["a name without quotes", "{a:1}"],
  ["an unescaped newline in a string", '"a\nb"'],
  ["an unknown escape", '"\\x41"'],
  ["an escape cut short", '"\\u12"'],
  ["a string that does not end", '"abc'],
  ["a string that ends in its escape", '"abc\\'],
  ["an array that does not end", "[1"],
  ["an object that does not end", '{"a":1'],
  ["a byte order mark", "\ufeff1"],
  ["another kind of space", "\u00a01"],
  ["a word cut short", "tru"],
  ["a word too long", "nulll"],
] as const)("refuses %s", ([, text]) => {
  expect(() => parseJson(text)).toThrow(Malformed);
});

test("refuses bytes that are not UTF-8", () => {
  expect(() => parseJsonBytes(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(Malformed);
  expect(() => parseJsonBytes(Uint8Array.of(0x22, 0xc0, 0x80, 0x22))).toThrow(Malformed);
});

test("takes 64 levels, escapes, and a member called __proto__", () => {
  expect(parseJson(nested(maxJsonDepth))).toEqual(JSON.parse(nested(maxJsonDepth)));
  expect(parseJson('"\\ud83d\\ude02 \\n\\/\\b"')).toBe("\u{1f602} \n/\b");
  const value = parseJson('{"__proto__":{"x":1},"b":[]}');
  expect(Object.keys(value as object)).toEqual(["__proto__", "b"]);
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
});

property.prop([fc.jsonValue({ maxDepth: 5 }), fc.nat(3)])(
  "reads what JSON.stringify wrote, as JSON.parse does",
  (value, indent) => {
    const text = JSON.stringify(value, null, indent);
    fc.pre(text.isWellFormed() && !text.includes("\\ud"));
    expect(parseJson(text)).toEqual(JSON.parse(text));
  },
);

property.prop([fc.string({ unit: fc.constantFrom(...'{}[]",:\\u019-+.eE tfnl\n'.split("")) })])(
  "accepts nothing that JSON.parse refuses",
  (text) => {
    try {
      parseJson(text);
    } catch {
      return;
    }
    expect(() => JSON.parse(text) as unknown).not.toThrow();
  },
);

const vector = (name: string) =>
  readFileSync(new URL(`../vectors/jcs/${name}.json`, import.meta.url), "utf8");

test.for(["weird", "values", "structures"])("canonicalizes the vector %s", (name) => {
  expect(canonicalize(parseJson(vector(`${name}.input`)))).toBe(vector(`${name}.output`));
});

test.for([
  // RFC 8785 appendix B.
  [0, "0"],
  [-0, "0"],
  [5e-324, "5e-324"],
  [-5e-324, "-5e-324"],
  [1.7976931348623157e308, "1.7976931348623157e+308"],
  [9007199254740992, "9007199254740992"],
  [295147905179352830000, "295147905179352830000"],
  [9.999999999999997e22, "9.999999999999997e+22"],
  [1e23, "1e+23"],
  [1.0000000000000001e23, "1.0000000000000001e+23"],
  [999999999999999700000, "999999999999999700000"],
  [1e21, "1e+21"],
  [9.999999999999997e-7, "9.999999999999997e-7"],
  [0.000001, "0.000001"],
  [333333333.3333332, "333333333.3333332"],
  [-3.3333333333333333e-6, "-0.0000033333333333333333"],
  [Number("1424953923781206.2"), "1424953923781206.2"],
] as const)("writes %d as RFC 8785 does", ([value, text]) => {
  expect(canonicalize(value)).toBe(text);
});

test("refuses what has no canonical form", () => {
  expect(() => canonicalize(Number.NaN)).toThrow(Malformed);
  expect(() => canonicalize([Number.POSITIVE_INFINITY])).toThrow(Malformed);
  expect(() => canonicalize({ a: "\ud800" })).toThrow(Malformed);
  expect(() => canonicalize({ "\udc00": 1 })).toThrow(Malformed);
});

property.prop([fc.jsonValue({ maxDepth: 4 })])("is its own canonical form once parsed", (value) => {
  const text = JSON.stringify(value);
  fc.pre(text.isWellFormed() && !text.includes("\\ud"));
  const canonical = canonicalize(parseJson(text));
  expect(canonicalize(parseJson(canonical))).toBe(canonical);
  expect(JSON.parse(canonical)).toEqual(parseJson(text));
});
