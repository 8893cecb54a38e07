/**
 * Text forms of bytes, strict in both directions: base64 (RFC 4648 §4), base64url (§5), hex (§8) and UTF-8 (RFC 3629).
 * Node's own decoders never fail (`Buffer.from("YW=Jj", "base64")`), so nothing else in the product may decode text.
 */
import { allocate, allocateFor, largestCut } from "./allocate.ts";
import { Malformed } from "./malformed.ts";

/** Standard alphabet with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  return bytes.toBase64();
}

/** @throws {Malformed} on a missing pad, stray bits, white space or another alphabet. */
export function decodeBase64(text: string): Uint8Array {
  return decode(text, "base64", true);
}

/** URL-safe alphabet without padding, as JOSE writes it. */
export function encodeBase64Url(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** @throws {Malformed} on padding, stray bits, white space or another alphabet. */
export function decodeBase64Url(text: string): Uint8Array {
  return decode(text, "base64url", false);
}

/** Lower case. */
export function encodeHex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** @throws {Malformed} unless `text` is an even number of lower-case hex digits. */
export function decodeHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new Malformed("hex: expected lower-case digit pairs");
  const bytes = allocate(text.length / 2);
  bytes.setFromHex(text);
  return bytes;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** @throws {Malformed} if `text` holds a lone surrogate, which UTF-8 cannot express. */
export function encodeUtf8(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new Malformed("utf-8: lone surrogate");
  // Counted first, because that is cheap, and one that was cut too long would be a second object.
  const bytes = allocate(Buffer.byteLength(text));
  // Node writes less than there is room for where the room is exact, for some texts beyond ASCII (nodejs/node#65994).
  return encoder.encodeInto(text, bytes).written === bytes.length ? bytes : encoder.encode(text);
}

/** @throws {Malformed} on any invalid sequence. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new Malformed("utf-8: invalid byte sequence", { cause });
  }
}

/** One array holding all parts in order. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = allocate(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Equality of public bytes; not constant time, never for secrets. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** True if `bytes` from `from` to `to` are these octets. For few of them: no view is made, and nothing is called. */
export function equalRange(
  bytes: Uint8Array,
  from: number,
  to: number,
  octets: Uint8Array,
): boolean {
  if (to - from !== octets.length) return false;
  for (let at = 0; at < octets.length; at++) {
    if (bytes[from + at] !== octets[at]) return false;
  }
  return true;
}

/** Unsigned big-endian integer of `width` bytes. @throws {Malformed} if the value does not fit */
export function uintBytes(value: bigint | number, width: number): Uint8Array {
  const bytes = new Uint8Array(width);
  putUint(bytes, 0, value, width);
  return bytes;
}

/** Writes an unsigned big-endian integer of `width` bytes; answers where it ends. @throws {Malformed} if the value does not fit */
export function putUint(
  into: Uint8Array,
  from: number,
  value: bigint | number,
  width: number,
): number {
  const end = from + width;
  // Numbers, because arithmetic on bigints allocates: lengths and indices are written all the time.
  const exact = value <= Number.MAX_SAFE_INTEGER ? Number(value) : -1;
  if (Number.isInteger(exact) && exact >= 0 && exact < 256 ** width) {
    for (let at = end - 1, rest = exact; at >= from; at--, rest = Math.floor(rest / 256)) {
      into[at] = rest % 256;
    }
    return end;
  }
  let rest = BigInt(value);
  if (rest < 0n || rest >> BigInt(8 * width) !== 0n) {
    throw new Malformed(`integer ${value} does not fit ${width} bytes`);
  }
  for (let at = end - 1; at >= from; at--) {
    into[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return end;
}

/** The unsigned big-endian integer that `bytes` hold. */
export function uintFrom(bytes: Uint8Array): bigint {
  let value = 0n;
  let word = 0;
  for (let at = 0; at < bytes.length; at++) {
    word = word * 256 + (bytes[at] ?? 0);
    if ((bytes.length - 1 - at) % wordBytes !== 0) continue;
    value = value === 0n ? BigInt(word) : (value << BigInt(8 * wordBytes)) | BigInt(word);
    word = 0;
  }
  return value;
}

/** As many bytes as a number holds exactly. */
const wordBytes = 6;

function decode(text: string, alphabet: "base64" | "base64url", padded: boolean): Uint8Array {
  try {
    const lastChunkHandling = padded ? "strict" : "loose";
    const atMost = Math.ceil((3 * text.length) / 4);
    const bytes =
      atMost > largestCut
        ? Uint8Array.fromBase64(text, { alphabet, lastChunkHandling })
        : allocateFor(
            atMost,
            (into) => into.setFromBase64(text, { alphabet, lastChunkHandling }).written,
          );
    // Strict handling leaves white space to be refused, and who has that has characters too many.
    const isCanonical = padded
      ? text.length === 4 * Math.ceil(bytes.length / 3)
      : bytes.toBase64({ alphabet, omitPadding: true }) === text;
    if (isCanonical) return bytes;
  } catch {
    // Fall through: every defect is reported the same way.
  }
  throw new Malformed(`${alphabet}: not the canonical encoding`);
}
