/**
 * The strict reading of DER (ITU-T X.690, 2021, §10-§11) that der.ts builds on: one definite, minimal length; every universal
 * primitive in its one encoding; everything inside a constructed element checked at once, so that no BER hides in a part nobody
 * looks at.
 */
import { decodeUtf8 } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** Tags used by the formats here (X.680 §8.6), constructed bit included. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** An element as it was read. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag, length and content. */
  readonly encoded: Uint8Array;
  /** The elements inside. @throws {Malformed} if this is primitive. */
  children(): readonly DerElement[];
}

/** Deeper nesting is refused: no format here comes close. */
const maxDepth = 64;

/** Reads exactly one element, and everything inside it. @throws {Malformed} on anything that is not DER, or left over. */
export function readDer(bytes: Uint8Array): DerElement {
  const { element, end } = readElement(bytes, 0, maxDepth);
  if (end !== bytes.length) throw new Malformed("der: trailing bytes");
  return element;
}

/** The dotted form of an object identifier's content. @throws {Malformed} if an arc is 2^53 or more. */
export function dottedOid(content: Uint8Array): string {
  let text = "";
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(arc)) throw new Malformed("der: an arc of 2^53 or more");
    if (byte >= 0x80) continue;
    text += text === "" ? firstArcs(arc) : `.${arc}`;
    arc = 0;
  }
  return text;
}

/** The first two arcs share one number (X.690 §8.19.4). */
function firstArcs(joint: number): string {
  const first = Math.min(Math.floor(joint / 40), 2);
  return `${first}.${joint - first * 40}`;
}

function readElement(
  bytes: Uint8Array,
  start: number,
  depth: number,
): { readonly element: DerElement; readonly end: number } {
  if (depth === 0) throw new Malformed("der: nested too deeply");
  const tag = bytes[start];
  if (tag === undefined) throw new Malformed("der: an element is missing");
  if ((tag & 0x1f) === 0x1f) throw new Malformed("der: tag number above 30");
  const { from, end } = readLength(bytes, start + 1);
  const content = bytes.subarray(from, end);
  const isConstructed = (tag & 0x20) !== 0;
  const inside = isConstructed ? readChildren(bytes, { from, end }, depth - 1) : null;
  if (tag < 0x40) checkUniversal(tag, content, inside);
  const element: DerElement = {
    tag,
    content,
    encoded: bytes.subarray(start, end),
    children() {
      if (inside === null) throw new Malformed("der: expected a constructed element");
      return inside;
    },
  };
  return { element, end };
}

function readLength(
  bytes: Uint8Array,
  at: number,
): { readonly from: number; readonly end: number } {
  const first = bytes[at];
  if (first === undefined) throw new Malformed("der: an element is cut off");
  const octets = first < 0x80 ? 0 : first & 0x7f;
  let length = first;
  if (first >= 0x80) {
    if (octets === 0) throw new Malformed("der: indefinite length");
    if (octets > 4) throw new Malformed("der: an element is cut off");
    length = 0;
    for (let next = at + 1; next <= at + octets; next++) length = length * 256 + (bytes[next] ?? 0);
    if (length < 0x80 || length < 256 ** (octets - 1))
      throw new Malformed("der: length not minimal");
  }
  const from = at + 1 + octets;
  const end = from + length;
  if (end > bytes.length) throw new Malformed("der: an element is cut off");
  return { from, end };
}

function readChildren(
  bytes: Uint8Array,
  span: { readonly from: number; readonly end: number },
  depth: number,
): readonly DerElement[] {
  const inner = span.end === bytes.length ? bytes : bytes.subarray(0, span.end);
  const children: DerElement[] = [];
  let at = span.from;
  while (at < span.end) {
    const { element, end } = readElement(inner, at, depth);
    children.push(element);
    at = end;
  }
  return children;
}

function checkUniversal(
  tag: number,
  content: Uint8Array,
  inside: readonly DerElement[] | null,
): void {
  const number = tag & 0x1f;
  const mayNest = number === 0x10 || number === 0x11 || number === 0x08 || number === 0x0b;
  if (mayNest !== (inside !== null)) throw new Malformed("der: primitive and constructed mixed up");
  if (tag === tags.set && inside !== null) checkOrder(inside);
  if (inside === null && !isCanonical(tag, content)) {
    throw new Malformed(`der: not the canonical encoding of tag ${tag}`);
  }
}

function isCanonical(tag: number, content: Uint8Array): boolean {
  const [first = 0, second = 0] = content;
  switch (tag) {
    case tags.boolean:
      return content.length === 1 && (first === 0 || first === 0xff);
    case tags.integer:
    case tags.enumerated:
      // The first nine bits must not all be equal (X.690 §8.3.2).
      if (content.length < 2) return content.length === 1;
      return !((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
    case tags.bitString:
      if (content.length === 0 || first > 7) return false;
      if (content.length === 1) return first === 0;
      return ((content.at(-1) ?? 0) & ((1 << first) - 1)) === 0;
    case tags.null:
      return content.length === 0;
    case tags.oid:
      return isOid(content);
    case tags.utf8String:
      decodeUtf8(content);
      return true;
    default: // Other strings and times are checked by whoever reads them; tag 0 is BER's end of contents.
      return tag !== 0;
  }
}

function isOid(content: Uint8Array): boolean {
  if (content.length === 0 || (content.at(-1) ?? 0x80) >= 0x80) return false;
  let atStart = true;
  for (const byte of content) {
    if (atStart && byte === 0x80) return false;
    atStart = byte < 0x80;
  }
  return true;
}

function checkOrder(inside: readonly DerElement[]): void {
  for (const [at, element] of inside.entries()) {
    const before = inside[at - 1];
    if (before !== undefined && Buffer.compare(before.encoded, element.encoded) > 0) {
      throw new Malformed("der: set out of order");
    }
  }
}
