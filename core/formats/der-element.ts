/**
 * The strict reading of DER (ITU-T X.690, 2021, §10-§11) that der.ts builds on: one definite, minimal length; every universal
 * primitive in its one encoding; everything inside a constructed element checked at once, so that no BER hides in a part nobody
 * looks at.
 */
import { decodeUtf8, equalRange } from "./encoding.ts";
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
  checkDer(bytes);
  return new Element(bytes, 0);
}

/** Checks that the bytes are exactly one element, and everything inside it. @throws {Malformed} as {@link readDer} */
export function checkDer(bytes: Uint8Array): void {
  const end = checkElement(bytes, 0, bytes.length, maxDepth);
  if (end !== bytes.length) throw new Malformed("der: trailing bytes");
}

/** Identifiers by a digest of their content; another one of the same digest takes the place. It is no state that anybody could see. */
const dotted: { readonly content: Uint8Array; readonly text: string }[] = [];
const dottedSlots = 256;
/** Longer ones are nobody's that comes again, and would cost memory. */
const longestKept = 24;

/**
 * The dotted form of an object identifier, whose content lies in `bytes`. The same few come again and again, so their forms are kept.
 *
 * @throws {Malformed} if an arc is 2^53 or more.
 */
export function dottedOid(bytes: Uint8Array, from: number, to: number): string {
  const length = to - from;
  if (length > longestKept) return formatOid(bytes.subarray(from, to));
  let slot = length;
  for (let at = from; at < to; at++) slot = (slot * 31 + (bytes[at] ?? 0)) % dottedSlots;
  const known = dotted[slot];
  if (known !== undefined && equalRange(bytes, from, to, known.content)) return known.text;
  const content = bytes.slice(from, to);
  const text = formatOid(content);
  dotted[slot] = { content, text };
  return text;
}

function formatOid(content: Uint8Array): string {
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

/**
 * An element of bytes that have been checked whole; its parts, and the elements inside, are cut out only when somebody looks at them,
 * because most are read past.
 */
class Element implements DerElement {
  readonly tag: number;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #from: number;
  readonly #end: number;
  #inside: readonly DerElement[] | null = null;

  constructor(bytes: Uint8Array, start: number) {
    this.tag = bytes[start] ?? 0;
    this.#bytes = bytes;
    this.#start = start;
    this.#from = contentFrom(bytes, start);
    this.#end = this.#from + contentLength(bytes, start);
  }

  get content(): Uint8Array {
    return this.#bytes.subarray(this.#from, this.#end);
  }

  get encoded(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  children(): readonly DerElement[] {
    if ((this.tag & 0x20) === 0) throw new Malformed("der: expected a constructed element");
    if (this.#inside !== null) return this.#inside;
    const inside: DerElement[] = [];
    for (let at = this.#from; at < this.#end;) {
      const element = new Element(this.#bytes, at);
      inside.push(element);
      at = element.#end;
    }
    this.#inside = inside;
    return inside;
  }
}

/** Where the content of a checked element begins. */
export function contentFrom(bytes: Uint8Array, start: number): number {
  const first = bytes[start + 1] ?? 0;
  return start + 2 + (first < 0x80 ? 0 : first & 0x7f);
}

/** The content of a checked BOOLEAN. */
export function isTrue(octet: number | undefined): boolean {
  return octet === 0xff;
}

/** The length of a checked element's content. */
export function contentLength(bytes: Uint8Array, start: number): number {
  const first = bytes[start + 1] ?? 0;
  if (first < 0x80) return first;
  let length = 0;
  for (let at = start + 2; at < start + 2 + (first & 0x7f); at++) {
    length = length * 256 + (bytes[at] ?? 0);
  }
  return length;
}

/** Checks the element at `start`, which must end before `limit`, and everything inside it. Answers where it ends. */
function checkElement(bytes: Uint8Array, start: number, limit: number, depth: number): number {
  if (depth === 0) throw new Malformed("der: nested too deeply");
  const tag = start < limit ? bytes[start] : undefined;
  if (tag === undefined) throw new Malformed("der: an element is missing");
  if ((tag & 0x1f) === 0x1f) throw new Malformed("der: tag number above 30");
  const first = start + 1 < limit ? bytes[start + 1] : undefined;
  if (first === undefined) throw new Malformed("der: an element is cut off");
  if (first >= 0x80) checkLongLength(bytes, start + 2, first & 0x7f, limit);
  const from = contentFrom(bytes, start);
  const end = from + contentLength(bytes, start);
  if (end > limit) throw new Malformed("der: an element is cut off");
  if ((tag & 0x20) !== 0) {
    for (let at = from; at < end;) at = checkElement(bytes, at, end, depth - 1);
  }
  if (tag < 0x40) checkUniversal(bytes, tag, from, end);
  return end;
}

function checkLongLength(bytes: Uint8Array, at: number, octets: number, limit: number): void {
  if (octets === 0) throw new Malformed("der: indefinite length");
  if (octets > 4 || at + octets > limit) throw new Malformed("der: an element is cut off");
  const length = contentLength(bytes, at - 2);
  if (length < 0x80 || length < 256 ** (octets - 1)) throw new Malformed("der: length not minimal");
}

function checkUniversal(bytes: Uint8Array, tag: number, from: number, end: number): void {
  const number = tag & 0x1f;
  const isConstructed = (tag & 0x20) !== 0;
  const mayNest = number === 0x10 || number === 0x11 || number === 0x08 || number === 0x0b;
  if (mayNest !== isConstructed) throw new Malformed("der: primitive and constructed mixed up");
  if (tag === tags.set) checkOrder(bytes, from, end);
  if (!isConstructed && !isCanonical(bytes, tag, from, end)) {
    throw new Malformed(`der: not the canonical encoding of tag ${tag}`);
  }
}

function isCanonical(bytes: Uint8Array, tag: number, from: number, end: number): boolean {
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
      // Nearly all are ASCII, for which nothing need be made.
      if (!isAscii(bytes, from, end)) decodeUtf8(bytes.subarray(from, end));
      return true;
    default: // Other strings and times are checked by whoever reads them; tag 0 is BER's end of contents.
      return tag !== 0;
  }
}

function isAscii(bytes: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; at++) if ((bytes[at] ?? 0) > 0x7f) return false;
  return true;
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

function checkOrder(bytes: Uint8Array, from: number, end: number): void {
  let before = from;
  for (let at = contentFrom(bytes, from) + contentLength(bytes, from); at < end;) {
    const next = contentFrom(bytes, at) + contentLength(bytes, at);
    const [one, other] = [bytes.subarray(before, at), bytes.subarray(at, next)];
    if (Buffer.compare(one, other) > 0) {
      throw new Malformed("der: set out of order");
    }
    before = at;
    at = next;
  }
}
