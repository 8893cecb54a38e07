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
  const element = readElement(bytes, 0, bytes.length, maxDepth);
  if (element.end !== bytes.length) throw new Malformed("der: trailing bytes");
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

/** An element of `bytes`; its parts are cut out only when somebody looks at them, because most are read past. */
class Element implements DerElement {
  readonly tag: number;
  readonly end: number;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #from: number;
  readonly #inside: readonly DerElement[] | null;

  constructor(
    bytes: Uint8Array,
    at: { readonly start: number; readonly from: number; readonly end: number },
    inside: readonly DerElement[] | null,
  ) {
    this.tag = bytes[at.start] ?? 0;
    this.end = at.end;
    this.#bytes = bytes;
    this.#start = at.start;
    this.#from = at.from;
    this.#inside = inside;
  }

  get content(): Uint8Array {
    return this.#bytes.subarray(this.#from, this.end);
  }

  get encoded(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.end);
  }

  children(): readonly DerElement[] {
    if (this.#inside === null) throw new Malformed("der: expected a constructed element");
    return this.#inside;
  }
}

/** The element at `start`, which must end before `limit`. */
function readElement(bytes: Uint8Array, start: number, limit: number, depth: number): Element {
  if (depth === 0) throw new Malformed("der: nested too deeply");
  const tag = start < limit ? bytes[start] : undefined;
  if (tag === undefined) throw new Malformed("der: an element is missing");
  if ((tag & 0x1f) === 0x1f) throw new Malformed("der: tag number above 30");
  const first = start + 1 < limit ? bytes[start + 1] : undefined;
  if (first === undefined) throw new Malformed("der: an element is cut off");
  const octets = first < 0x80 ? 0 : first & 0x7f;
  const from = start + 2 + octets;
  const end = from + (first < 0x80 ? first : longLength(bytes, { at: start + 2, octets, limit }));
  if (end > limit) throw new Malformed("der: an element is cut off");
  const inside = (tag & 0x20) !== 0 ? readChildren(bytes, from, end, depth - 1) : null;
  if (tag < 0x40) checkUniversal(bytes, { tag, from, end }, inside);
  return new Element(bytes, { start, from, end }, inside);
}

function longLength(
  bytes: Uint8Array,
  { at, octets, limit }: { readonly at: number; readonly octets: number; readonly limit: number },
): number {
  if (octets === 0) throw new Malformed("der: indefinite length");
  if (octets > 4 || at + octets > limit) throw new Malformed("der: an element is cut off");
  let length = 0;
  for (let next = at; next < at + octets; next++) length = length * 256 + (bytes[next] ?? 0);
  if (length < 0x80 || length < 256 ** (octets - 1)) throw new Malformed("der: length not minimal");
  return length;
}

function readChildren(
  bytes: Uint8Array,
  from: number,
  end: number,
  depth: number,
): readonly DerElement[] {
  const children: DerElement[] = [];
  let at = from;
  while (at < end) {
    const element = readElement(bytes, at, end, depth);
    children.push(element);
    at = element.end;
  }
  return children;
}

function checkUniversal(
  bytes: Uint8Array,
  { tag, from, end }: Span,
  inside: readonly DerElement[] | null,
): void {
  const number = tag & 0x1f;
  const mayNest = number === 0x10 || number === 0x11 || number === 0x08 || number === 0x0b;
  if (mayNest !== (inside !== null)) throw new Malformed("der: primitive and constructed mixed up");
  if (tag === tags.set && inside !== null) checkOrder(inside);
  if (inside === null && !isCanonical(bytes, { tag, from, end })) {
    throw new Malformed(`der: not the canonical encoding of tag ${tag}`);
  }
}

interface Span {
  readonly tag: number;
  /** Where the content begins and ends. */
  readonly from: number;
  readonly end: number;
}

function isCanonical(bytes: Uint8Array, { tag, from, end }: Span): boolean {
  const length = end - from;
  const first = length > 0 ? (bytes[from] ?? 0) : 0;
  switch (tag) {
    case tags.boolean:
      return length === 1 && (first === 0 || first === 0xff);
    case tags.integer:
    case tags.enumerated: {
      // The first nine bits must not all be equal (X.690 §8.3.2).
      if (length < 2) return length === 1;
      const second = bytes[from + 1] ?? 0;
      return !((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
    }
    case tags.bitString:
      if (length === 0 || first > 7) return false;
      if (length === 1) return first === 0;
      return ((bytes[end - 1] ?? 0) & ((1 << first) - 1)) === 0;
    case tags.null:
      return length === 0;
    case tags.oid:
      return isOid(bytes, from, end);
    case tags.utf8String:
      decodeUtf8(bytes.subarray(from, end));
      return true;
    default: // Other strings and times are checked by whoever reads them; tag 0 is BER's end of contents.
      return tag !== 0;
  }
}

function isOid(bytes: Uint8Array, from: number, end: number): boolean {
  if (end === from || (bytes[end - 1] ?? 0x80) >= 0x80) return false;
  let atStart = true;
  for (let at = from; at < end; at++) {
    const byte = bytes[at] ?? 0;
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
