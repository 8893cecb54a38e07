/** Schemas for byte strings and tree positions. On the wire (CBOR) and in memory they are the same types. */
import * as v from "valibot";

/** Any byte string. */
export const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array, "expected bytes");

/** A byte string of at most `limit` bytes. */
export const bytesUpTo = (limit: number) =>
  v.pipe(
    bytes,
    v.check((value) => value.length <= limit, `expected at most ${limit} bytes`),
  );

/** A SHA-256 digest or RFC 6962 hash: 32 bytes. */
export const hash = v.pipe(
  bytes,
  v.check((value) => value.length === 32, "expected 32 bytes"),
);

/** A size, an index or a time in milliseconds: not negative, below 2^63. */
export const uint = v.pipe(v.bigint(), v.minValue(0n), v.maxValue(2n ** 63n - 1n));
