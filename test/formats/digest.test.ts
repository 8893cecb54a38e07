/** Parts that are hashed together, against node:crypto over one piece. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { digestOfAll } from "../../core/formats/digest.ts";

test.each([[0], [1], [64], [4095], [4096], [4097], [100_000]])(
  "parts of %i bytes together have the digest of one piece",
  (length) => {
    const whole = Uint8Array.from({ length }, (_, at) => (7 * at) & 0xff);
    const cuts = [0, Math.floor(length / 3), Math.floor(length / 2), length];
    const parts = cuts.map((to, n) => whole.subarray(cuts[n - 1] ?? 0, to));
    const expected = new Uint8Array(createHash("sha256").update(whole).digest());
    expect(digestOfAll("sha256", ...parts)).toEqual(expected);
    // What one call leaves behind is nothing to the next.
    expect(digestOfAll("sha256", whole)).toEqual(expected);
    expect(digestOfAll("sha256", whole.subarray(0, 3))).toEqual(
      new Uint8Array(createHash("sha256").update(whole.subarray(0, 3)).digest()),
    );
  },
);
