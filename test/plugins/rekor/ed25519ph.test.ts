/** Ed25519ph over a digest: RFC 8032 §7.3, and damage to it. */
import { createHash } from "node:crypto";
import { fc, test as property } from "../../support/fixed-draws.ts";
import { ed25519, ed25519ph } from "@noble/curves/ed25519.js";
import { expect, test } from "vitest";
import { concat, decodeHex, encodeUtf8 } from "../../../core/formats/encoding.ts";
import { verifyPrehashed } from "../../../plugins/rekor/ed25519ph.ts";

const header = decodeHex("302a300506032b6570032100");
const sha512 = (message: Uint8Array) =>
  new Uint8Array(createHash("sha512").update(message).digest());
const spkiOf = (secret: Uint8Array) => concat(header, ed25519.getPublicKey(secret));

test("accepts the signature of RFC 8032 over abc", () => {
  const secret = decodeHex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42");
  const signature = decodeHex(
    "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41" +
      "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
  );
  expect(verifyPrehashed(spkiOf(secret), sha512(encodeUtf8("abc")), signature)).toBe(true);
  expect(verifyPrehashed(spkiOf(secret), sha512(encodeUtf8("abd")), signature)).toBe(false);
  expect(verifyPrehashed(spkiOf(secret), sha512(encodeUtf8("abc")), signature.subarray(1))).toBe(
    false,
  );
});

property.prop(
  [fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array(), fc.nat(63), fc.nat(7)],
  { numRuns: 20 },
)(
  "agrees with another implementation, and refuses every flipped bit",
  (secret, message, at, bit) => {
    const signature = ed25519ph.sign(message, secret);
    expect(verifyPrehashed(spkiOf(secret), sha512(message), signature)).toBe(true);
    const flipped = signature.map((byte, index) => (index === at ? byte ^ (1 << bit) : byte));
    expect(verifyPrehashed(spkiOf(secret), sha512(message), flipped)).toBe(false);
    // Pure Ed25519 over the same bytes means something else.
    const pure = ed25519.sign(sha512(message), secret);
    expect(verifyPrehashed(spkiOf(secret), sha512(message), pure)).toBe(false);
  },
);
