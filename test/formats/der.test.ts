import { fc, test as property } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import * as der from "../../core/formats/der.ts";
import { concat, decodeHex, encodeHex } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";

describe("reads back what it writes", () => {
  property.prop([fc.bigInt()])("integers", (value) => {
    expect(der.readInteger(der.readDer(der.integer(value)))).toBe(value);
  });

  property.prop([fc.uint8Array({ minLength: 1, maxLength: 40 })])("unsigned bytes", (bytes) => {
    const read = der.readUnsigned(der.readDer(der.integer(bytes)));
    expect(BigInt(`0x${encodeHex(read)}`)).toBe(BigInt(`0x${encodeHex(bytes)}`));
  });

  property.prop([
    fc.integer({ min: 0, max: 2 }),
    fc.nat({ max: 39 }),
    fc.array(fc.maxSafeNat(), { maxLength: 6 }),
  ])("object identifiers", (first, second, rest) => {
    const text = [first, second, ...rest].join(".");
    expect(der.readOid(der.readDer(der.oid(text)))).toBe(text);
  });

  property.prop([fc.string({ unit: "grapheme" })])("UTF-8 strings", (text) => {
    expect(der.readUtf8(der.readDer(der.utf8String(text)))).toBe(text);
  });

  property.prop([
    fc.date({
      min: new Date("1950-01-01"),
      max: new Date("9999-12-31T23:59:59Z"),
      noInvalidDate: true,
    }),
  ])("times, to the second", (at) => {
    const seconds = new Date(Math.floor(at.getTime() / 1000) * 1000);
    expect(der.readTime(der.readDer(der.time(at)))).toEqual(seconds);
    expect(der.readTime(der.readDer(der.generalizedTime(at)))).toEqual(seconds);
  });

  test.each([0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000])("lengths of %i", (length) => {
    const content = new Uint8Array(length).fill(5);
    const element = der.readDer(der.octetString(content));
    expect(element.content).toEqual(content);
    const nested = der.readDer(der.sequence(der.octetString(content), der.nullValue()));
    expect(nested.children()).toHaveLength(2);
  });

  property.prop([fc.array(fc.uint8Array({ maxLength: 5 }), { maxLength: 8 })])(
    "sets, in order",
    (values) => {
      const set = der.readDer(der.setOf(...values.map((value) => der.octetString(value))));
      expect(set.children()).toHaveLength(values.length);
    },
  );
});

property.prop([fc.uint8Array({ maxLength: 60 })])(
  "bytes that are read are the only encoding of what was read",
  (bytes) => {
    let element;
    try {
      element = der.readDer(bytes);
    } catch (refused) {
      expect(refused).toBeInstanceOf(Malformed);
      return;
    }
    expect(rewrite(element)).toEqual(bytes);
  },
);

function rewrite(element: der.DerElement): Uint8Array {
  if ((element.tag & 0x20) === 0) return der.tlv(element.tag, element.content);
  return der.tlv(element.tag, concat(...element.children().map(rewrite)));
}

test.each([
  ["nothing", ""],
  ["a tag alone", "30"],
  ["an indefinite length", "30800000"],
  ["a length in more octets than needed", "048101aa"],
  ["a length with a leading zero", "04820001aa"],
  ["content that is cut off", "0402aa"],
  ["a child that reaches beyond its parent", "3003040201ff"],
  ["a length of 2^40", "0485ffffffffff"],
  ["a trailing byte", "050000"],
  ["a tag number above 30", "1f8100"],
  ["the end of contents", "0000"],
  ["an integer of no octets", "0200"],
  ["an integer with a leading zero", "02020001"],
  ["a negative integer with a leading ff", "0202ff80"],
  ["a boolean of 01", "010101"],
  ["a boolean of two octets", "0102ffff"],
  ["a null with content", "050100"],
  ["a bit string of no octets", "0300"],
  ["a bit string with 8 unused bits", "030208ff"],
  ["a bit string with unused bits set", "03020103"],
  ["unused bits without bits", "030101"],
  ["an empty object identifier", "0600"],
  ["an object identifier that is cut off", "060186"],
  ["an object identifier with a padded arc", "0603550080"],
  ["an object identifier with a padded arc inside", "060455800101"],
  ["a primitive sequence", "1000"],
  ["a constructed integer", "22030201 01".replaceAll(" ", "")],
  ["a constructed octet string", "240404020101"],
  ["invalid UTF-8", "0c01ff"],
  ["a set out of order", "31060201020201 01".replaceAll(" ", "")],
])("refuses %s", (_, hex) => {
  expect(() => der.readDer(decodeHex(hex))).toThrow(Malformed);
});

test.each([
  ["31 April", "17", "260431000000Z"],
  ["29 February 2027", "17", "270229000000Z"],
  ["24 o'clock", "17", "260101240000Z"],
  ["a leap second", "17", "261231235960Z"],
  ["no seconds", "17", "2601010000Z"],
  ["no Z", "17", "260101000000"],
  ["an offset", "17", "260101000000+0100"],
  ["a fraction in the short form", "17", "260101000000.5Z"],
  ["a fraction in the short form that is worth nothing", "17", "260101000000.0001Z"],
  ["month 0", "18", "20260001000000Z"],
  ["fractions that end in zero", "18", "20260101000000.10Z"],
  ["an empty fraction", "18", "20260101000000.Z"],
  ["a comma", "18", "20260101000000,1Z"],
  ["two-digit years in the long form", "18", "260101000000Z"],
])("refuses the time %s", (_, tag, text) => {
  const element = der.readDer(der.tlv(Number.parseInt(tag, 16), new TextEncoder().encode(text)));
  expect(() => der.readTime(element)).toThrow(Malformed);
});

test("reads fractions of seconds", () => {
  const element = der.readDer(der.tlv(0x18, new TextEncoder().encode("20260101000000.25Z")));
  expect(der.readTime(element)).toEqual(new Date("2026-01-01T00:00:00.250Z"));
});

test("UTCTime ends with 2049", () => {
  expect(der.time(new Date("2049-12-31T23:59:59Z"))[0]).toBe(der.tags.utcTime);
  expect(der.time(new Date("2050-01-01T00:00:00Z"))[0]).toBe(der.tags.generalizedTime);
});

test("reads 64 levels and refuses 65", () => {
  const nested = (levels: number): Uint8Array =>
    levels === 1 ? der.nullValue() : der.sequence(nested(levels - 1));
  expect(der.readDer(nested(64)).children()).toHaveLength(1);
  expect(() => der.readDer(nested(65))).toThrow(Malformed);
});

test("a deep bomb is refused quickly", () => {
  const bomb = new Uint8Array(1_000_000).fill(0x30);
  expect(() => der.readDer(bomb)).toThrow(Malformed);
});

test.each([
  "",
  "1",
  "3.1",
  "1.40",
  "01.2",
  "1.2.",
  "1..2",
  "1.02",
  "a.b",
  "-1.2",
  "3.1",
  "1.9007199254740992",
  "1.1e3",
  "2.-5",
])('refuses to write the object identifier "%s"', (text) => {
  expect(() => der.oid(text)).toThrow(Malformed);
});

test("the longest arc that is read is 2^53 - 1", () => {
  const read = (hex: string) => der.readOid(der.readDer(decodeHex(hex)));
  expect(read("06092a8fffffffffffff7f")).toBe("1.2.9007199254740991");
  expect(() => read("06092a9080808080808000")).toThrow(Malformed);
});

test("two shares its first number with any second arc", () => {
  expect(der.readOid(der.readDer(der.oid("2.999.3")))).toBe("2.999.3");
  expect(encodeHex(der.oid("2.999.3"))).toBe("0603883703");
});

test("refuses to write what a string type cannot hold", () => {
  expect(() => der.ia5String("ü")).toThrow(Malformed);
  expect(() => der.printableString("a@b")).toThrow(Malformed);
  expect(() => der.utf8String("\ud800")).toThrow(Malformed);
});

test("a walk names what is missing, wrong or too much", () => {
  const element = der.readDer(der.sequence(der.nullValue(), der.boolean(true)));
  const fields = der.walk(element, "thing");
  expect(() => fields.take("first", der.tags.integer)).toThrow("der: expected first of thing");
  fields.take("first");
  expect(() => fields.end()).toThrow("thing: unexpected element");
  expect(fields.maybe(der.tags.null)).toBeNull();
  expect(der.readBoolean(fields.take("second"))).toBe(true);
  expect(() => fields.take("third")).toThrow("thing: third is missing");
  fields.end();
});
