/** Base64 has one spelling for the same bytes here, and everything else is refused. */
import { fc, test as property } from "../support/fixed-draws.ts";
import { describe, expect, test } from "vitest";
import {
  concat,
  decodeBase64,
  encodeBase64,
  encodeUtf8,
  putUint,
  uintBytes,
  uintFrom,
} from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";

/** Whether a text is base64 as Node writes it. */
const isCanonical = (text: string): boolean =>
  Buffer.from(text, "base64").toString("base64") === text;

describe("utf-8", () => {
  test("nothing of a text is lost, wherever its characters beyond ASCII stand", () => {
    const lengths = Array.from({ length: 700 }, (_, n) => n);
    const texts = lengths.flatMap((n) => [
      `${"a".repeat(n)}я`,
      `${"a".repeat(n)}é`,
      `${"a".repeat(n)}я.`,
      "я".repeat(n),
      "éa".repeat(2 * n),
      `${"ж€".repeat(n)}😀`,
    ]);
    const wrong = texts.filter((text) => Buffer.compare(encodeUtf8(text), Buffer.from(text)) !== 0);
    expect(wrong).toEqual([]);
  });

  property.prop({ text: fc.string({ unit: "grapheme", maxLength: 3_000 }) })(
    "a text is what others make of it",
    ({ text }) => {
      expect(Buffer.compare(encodeUtf8(text), Buffer.from(text))).toBe(0);
    },
  );

  test("a lone surrogate is refused", () => {
    expect(() => encodeUtf8("a\ud800")).toThrow(Malformed);
  });
});

describe("base64", () => {
  /** Letters with and without low bits, padding, white space, and letters of the other alphabet. */
  const letters = ["A", "Q", "g", "B", "=", " ", "\n", "-"];

  test("of up to five characters is read exactly if it is the one spelling of its bytes", () => {
    let texts = [""];
    for (let length = 1; length <= 5; length++) {
      texts = texts.flatMap((text) => letters.map((letter) => text + letter));
      const wrong = texts.filter((text) => isCanonical(text) !== isRead(text));
      expect(wrong).toEqual([]);
    }
  });

  property.prop([fc.uint8Array({ maxLength: 6_000 })])("is read back", (bytes) => {
    expect(decodeBase64(encodeBase64(bytes))).toEqual(bytes);
  });

  property.prop([
    fc.uint8Array({ minLength: 1, maxLength: 300 }),
    fc.nat(),
    fc.constantFrom(...letters),
  ])("with a character more is refused, or says something else", (bytes, at, letter) => {
    const text = encodeBase64(bytes);
    const place = at % (text.length + 1);
    const longer = text.slice(0, place) + letter + text.slice(place);
    expect(isRead(longer)).toBe(isCanonical(longer));
  });
});

function isRead(text: string): boolean {
  try {
    decodeBase64(text);
    return true;
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return false;
  }
}

test.each([
  [0, 8],
  [1, 1],
  [0x01_02_03, 3],
  [2 ** 48, 8],
  [2n ** 63n + 5n, 8],
] as const)("the integer %s is written over whatever was there", (value, width) => {
  const into = new Uint8Array(width + 2).fill(0xff);
  expect(putUint(into, 1, value, width)).toBe(width + 1);
  expect(into).toEqual(concat(Uint8Array.of(0xff), uintBytes(value, width), Uint8Array.of(0xff)));
  expect(uintFrom(uintBytes(value, width))).toBe(BigInt(value));
});

test.each([
  [-1, 2],
  [1.5, 2],
  [256, 1],
  [2n ** 64n, 8],
] as const)("the number %s does not fit %i bytes", (value, width) => {
  expect(() => uintBytes(value, width)).toThrow();
});
