/** The DER of an ECDSA signature is what a general encoder makes of its two numbers. */
import { expect } from "vitest";
import * as der from "../../core/formats/der.ts";
import { releasedForm, schemes } from "../../hsm/public-key.ts";
import { fc, test } from "../support/fixed-draws.ts";

const half = (bytes: number) =>
  fc
    .tuple(fc.nat(bytes), fc.uint8Array({ minLength: bytes, maxLength: bytes }))
    .map(([zeros, octets]) => octets.fill(0, 0, zeros));
const numbers = fc.oneof(fc.tuple(half(32), half(32)), fc.tuple(half(48), half(48)));

test("r and s come out as DER writes them, with and without zeros in front", () => {
  fc.assert(
    fc.property(numbers, ([r, s]) => {
      const scheme = schemes[r.length === 32 ? "ecdsa-p256" : "ecdsa-p384"];
      const expected = der.sequence(der.integer(r), der.integer(s));
      expect(releasedForm(scheme, Uint8Array.from([...r, ...s]))).toEqual(expected);
    }),
  );
});
