/** Where entries are by the first bytes of their hashes, against a map; hashes that begin alike are told together. */
import { createHash } from "node:crypto";
import { expect, test as it } from "vitest";
import { PrefixIndex } from "../../plugins/log/prefix-index.ts";
import { fc, test } from "../support/fixed-draws.ts";

/** Few different ones, in few lists, that differ in every bit that counts and in some that do not. */
const hash = fc
  .tuple(fc.constantFrom(0, 255), fc.constantFrom(0x00, 0x0f, 0x1f, 0xf0), fc.nat(3), fc.nat(255))
  .map(([a, b, c, d]) => Uint8Array.of(a, b, 255, c, 0, d, d));

const bitsOf = (bytes: Uint8Array) => bytes.toHex().slice(0, 11);

test.prop([fc.array(hash, { maxLength: 80 }), fc.nat(80)])(
  "finds every entry whose hash has the same first 44 bits, and no other",
  (hashes, unsorted) => {
    const index = new PrefixIndex();
    for (const [at, one] of hashes.entries()) {
      if (at === unsorted) index.sort();
      if (at < unsorted) index.addUnsorted(one, at);
      else index.add(one, at);
    }
    index.sort();
    for (const one of hashes) {
      const expected = hashes.flatMap((other, at) => (bitsOf(other) === bitsOf(one) ? [at] : []));
      expect([...index.find(one)].toSorted((a, b) => a - b)).toEqual(expected);
    }
    expect(index.find(new Uint8Array(6).fill(0x77))).toEqual([]);
  },
);

it("holds a hundred thousand, in order and not", () => {
  const hashes = Array.from({ length: 100_000 }, (_, n) =>
    createHash("sha256").update(String(n)).digest(),
  );
  const [sorted, loaded] = [new PrefixIndex(), new PrefixIndex()];
  for (const [at, one] of hashes.entries()) {
    sorted.add(one, at);
    loaded.addUnsorted(one, at);
  }
  loaded.sort();
  for (let at = 0; at < hashes.length; at += 97) {
    const one = hashes[at] ?? new Uint8Array();
    expect(sorted.find(one)).toEqual([at]);
    expect(loaded.find(one)).toEqual([at]);
  }
});

it("takes an index of 32 bits, and refuses a larger one rather than keep it as another", () => {
  const index = new PrefixIndex();
  const one = new Uint8Array(6);
  index.add(one, 2 ** 32 - 1);
  expect(() => index.add(one, 2 ** 32)).toThrow(RangeError);
  expect(() => index.addUnsorted(one, 2 ** 32)).toThrow(RangeError);
  expect(index.find(one)).toEqual([2 ** 32 - 1]);
});
