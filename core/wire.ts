/**
 * The bus's encoding: CBOR (RFC 8949), the part of it that JSON plus byte strings plus exact integers needs. Numbers and bigints keep
 * their kind: a bigint always has the eight-byte form or a bignum tag. What comes in is inspected before it is decoded, so that
 * neither nesting nor claimed lengths cost anything.
 */
import { Encoder } from "cbor-x";
import { Malformed } from "./formats/malformed.ts";

/** The most one message may hold, the bus's own fields included; also `max_payload` of the NATS server. */
export const maxMessageBytes = 8 * 1024 * 1024;

/** How deep a message may nest. */
export const maxDepth = 32;

/** Encodes strings, numbers, bigints, booleans, null, undefined, byte strings, arrays and plain objects. */
export function encode(value: unknown): Uint8Array {
  const bytes = codec.encode(value);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Decodes what {@link encode} makes. Byte strings are copies, plain `Uint8Array`s.
 *
 * @throws {Malformed} on anything else, on nesting beyond {@link maxDepth}, and on bytes left over.
 */
export function decode(bytes: Uint8Array): unknown {
  if (bytes.length > maxMessageBytes) throw new Malformed("cbor: message too large");
  const end = inspect(bytes, 0, 0);
  if (end !== bytes.length) throw new Malformed("cbor: bytes after the message");
  // A Buffer would decode byte strings to Buffers.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return codec.decode(plain);
  } catch (cause) {
    throw new Malformed("cbor: not decodable", { cause });
  }
}

const codec = new Encoder({
  useRecords: false,
  structuredClone: false,
  mapsAsObjects: true,
  tagUint8Array: false,
  variableMapSize: true,
  copyBuffers: true,
});

/** Initial byte: three bits of major type, five of additional information (RFC 8949 §3). */
const major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 };
/** Simple values and floats in use: false, true, null, undefined, float32, float64. */
const simples = new Map([
  [20, 0],
  [21, 0],
  [22, 0],
  [23, 0],
  [26, 4],
  [27, 8],
]);

/** Walks one data item from `at` and returns where it ends. */
function inspect(bytes: Uint8Array, at: number, depth: number): number {
  if (depth > maxDepth) throw new Malformed("cbor: nested too deeply");
  const initial = bytes[at];
  if (initial === undefined) throw new Malformed("cbor: truncated");
  const type = initial >> 5;
  const info = initial & 0x1f;
  if (type === major.simple) {
    const width = simples.get(info);
    if (width === undefined) throw new Malformed("cbor: a simple value that is not in use");
    return within(bytes, at + 1 + width);
  }
  const headEnd = within(bytes, at + 1 + argumentWidth(info));
  switch (type) {
    case major.unsigned:
    case major.negative:
      return headEnd;
    case major.bytes:
    case major.text:
      return within(bytes, headEnd + lengthAt(bytes, at, info));
    case major.tag:
      return inspectBignum(bytes, headEnd, info);
    default: {
      const pairs = type === major.map;
      return inspectItems(bytes, headEnd, lengthAt(bytes, at, info), { pairs, depth });
    }
  }
}

function inspectItems(
  bytes: Uint8Array,
  start: number,
  size: number,
  { pairs, depth }: { readonly pairs: boolean; readonly depth: number },
): number {
  let at = start;
  // Every item takes a byte at least, so a claimed size beyond the message ends at its first missing byte.
  for (let left = size; left > 0; left--) {
    if (pairs) {
      if ((bytes[at] ?? 0) >> 5 !== major.text) throw new Malformed("cbor: a key that is no text");
      at = inspect(bytes, at, depth + 1);
    }
    at = inspect(bytes, at, depth + 1);
  }
  return at;
}

/** Tags 2 and 3 (RFC 8949 §3.4.3), at most 64 bytes: beyond that, decoding costs the square of the size. */
function inspectBignum(bytes: Uint8Array, at: number, tag: number): number {
  if (tag !== 2 && tag !== 3) throw new Malformed("cbor: a tag that is not in use");
  const initial = bytes[at] ?? 0;
  if (initial >> 5 !== major.bytes) throw new Malformed("cbor: a bignum without bytes");
  const end = inspect(bytes, at, 0);
  if (end - at > 66) throw new Malformed("cbor: a bignum beyond 64 bytes");
  return end;
}

function argumentWidth(info: number): number {
  if (info < 24) return 0;
  if (info <= 27) return 2 ** (info - 24);
  throw new Malformed("cbor: indefinite or reserved length");
}

function lengthAt(bytes: Uint8Array, at: number, info: number): number {
  if (info < 24) return info;
  let length = 0;
  for (let offset = 1; offset <= argumentWidth(info); offset++) {
    length = length * 256 + (bytes[at + offset] ?? 0);
  }
  return length;
}

function within(bytes: Uint8Array, end: number): number {
  if (end > bytes.length) throw new Malformed("cbor: truncated");
  return end;
}
