import { fc, test as property } from "../support/fixed-draws.ts";
import { expect, test } from "vitest";
import * as der from "../../core/formats/der.ts";
import { DerWriter } from "../../core/formats/der-writer.ts";

property.prop([fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 40 })])(
  "writes what der.ts writes",
  (content, number) => {
    const writer = new DerWriter(8);
    writer.octetString(content);
    writer.unsigned(number);
    writer.put(der.nullValue());
    writer.header(der.tags.sequence, 0);
    expect(writer.take()).toEqual(
      der.sequence(der.nullValue(), der.integer(number), der.octetString(content)),
    );
  },
);

test.each([0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000])("a length of %i", (length) => {
  const writer = new DerWriter();
  const content = new Uint8Array(length).fill(1);
  writer.octetString(content);
  expect(writer.take()).toEqual(der.octetString(content));
});

test("a header reaches to the end it is given", () => {
  const writer = new DerWriter();
  writer.put(Uint8Array.of(9));
  const { end } = writer;
  writer.put(Uint8Array.of(1, 2));
  writer.header(der.tags.octetString, end);
  expect(writer.take()).toEqual(Uint8Array.of(4, 2, 1, 2, 9));
});

test("what is taken is the taker's", () => {
  const writer = new DerWriter();
  writer.put(Uint8Array.of(1, 2));
  const first = writer.take();
  writer.put(Uint8Array.of(3, 4));
  expect(writer.take()).toEqual(Uint8Array.of(3, 4));
  expect(first).toEqual(Uint8Array.of(1, 2));
});
