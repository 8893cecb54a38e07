/**
 * DER, the distinguished encoding of ASN.1 (ITU-T X.690, 2021, §8 and §10-§11). The writer is made for the hot path: an element
 * is written once into an array of its exact size. The reader accepts nothing but DER and reads whole inputs only.
 */
import { type DerElement, dottedOid, isTrue, tags } from "./der-element.ts";
import { allocate } from "./allocate.ts";
import { concat, decodeUtf8, encodeUtf8, uintBytes, uintFrom } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

export { type DerElement, readDer, tags } from "./der-element.ts";

/** One element: tag octet, length, content. */
export function tlv(tag: number, content: Uint8Array): Uint8Array {
  const header = headerSize(content.length);
  const bytes = allocate(header + content.length);
  writeHeader(bytes, tag, content.length);
  bytes.set(content, header);
  return bytes;
}

/** SEQUENCE of the given encoded elements. */
export function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return constructed(tags.sequence, parts);
}

/** SET OF: the encoded elements in the ascending order that DER asks for (X.690 §11.6). */
export function setOf(...parts: readonly Uint8Array[]): Uint8Array {
  return constructed(tags.set, parts.toSorted(compareBytes));
}

/** INTEGER; bytes are taken as an unsigned big-endian number. */
export function integer(value: bigint | Uint8Array): Uint8Array {
  return tlv(tags.integer, typeof value === "bigint" ? signedBytes(value) : unsignedBytes(value));
}

/** OBJECT IDENTIFIER from its dotted form. @throws {Malformed} unless it is one, with arcs below 2^53. */
export function oid(dotted: string): Uint8Array {
  const [first = -1, second = -1, ...rest] = dotted.split(".").map(arcFrom);
  if (first < 0 || first > 2 || second < 0 || (first < 2 && second > 39)) {
    throw new Malformed(`oid: "${dotted}"`);
  }
  const content: number[] = [];
  pushArc(content, first * 40 + second);
  for (const arc of rest) pushArc(content, arc);
  return tlv(tags.oid, Uint8Array.from(content));
}

/** OCTET STRING. */
export function octetString(content: Uint8Array): Uint8Array {
  return tlv(tags.octetString, content);
}

/** BIT STRING whose last octet has `unused` bits that do not count; they must be zero. */
export function bitString(content: Uint8Array, unused = 0): Uint8Array {
  const header = headerSize(content.length + 1);
  const bytes = allocate(header + 1 + content.length);
  writeHeader(bytes, tags.bitString, content.length + 1);
  bytes[header] = unused;
  bytes.set(content, header + 1);
  return bytes;
}

/** UTF8String. */
export function utf8String(text: string): Uint8Array {
  return tlv(tags.utf8String, encodeUtf8(text));
}

/** PrintableString. @throws {Malformed} on a character outside its set (X.680 §41.4). */
export function printableString(text: string): Uint8Array {
  if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text)) {
    throw new Malformed("printable string: a character outside its set");
  }
  return tlv(tags.printableString, encodeUtf8(text));
}

/** IA5String. @throws {Malformed} on a character outside ASCII. */
export function ia5String(text: string): Uint8Array {
  return tlv(tags.ia5String, ascii(text));
}

/** The bytes of an ASCII text. @throws {Malformed} on any other character. */
export function ascii(text: string): Uint8Array {
  const bytes = allocate(text.length);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) throw new Malformed("text: a character outside ASCII");
    bytes[at] = code;
  }
  return bytes;
}

/** BOOLEAN. */
export function boolean(value: boolean): Uint8Array {
  return Uint8Array.of(tags.boolean, 1, value ? 0xff : 0);
}

/** NULL. */
export function nullValue(): Uint8Array {
  return Uint8Array.of(tags.null, 0);
}

/** Time as RFC 5280 §4.1.2.5 has it: UTCTime before 2050, GeneralizedTime from then on; milliseconds are cut off. */
export function time(at: Date): Uint8Array {
  const year = at.getUTCFullYear();
  if (year < 1950 || year >= 2050) return generalizedTime(at);
  return calendar(tags.utcTime, at);
}

/** GeneralizedTime in whole seconds. @throws {Malformed} outside the years 0 to 9999. */
export function generalizedTime(at: Date): Uint8Array {
  return calendar(tags.generalizedTime, at);
}

/** [n] EXPLICIT around encoded elements. */
export function explicit(n: number, content: Uint8Array): Uint8Array {
  return tlv(0xa0 | n, content);
}

/** [n] IMPLICIT: content without its own tag; `isConstructed` if the replaced tag was. */
export function implicit(n: number, content: Uint8Array, isConstructed = false): Uint8Array {
  return tlv((isConstructed ? 0xa0 : 0x80) | n, content);
}

/** The dotted form of an OBJECT IDENTIFIER. */
export function readOid(element: DerElement): string {
  const { content } = expectTag(element, tags.oid, "object identifier");
  return dottedOid(content, 0, content.length);
}

/** A signed INTEGER. */
export function readInteger(element: DerElement): bigint {
  const { content } = expectTag(element, tags.integer, "integer");
  return BigInt.asIntN(content.length * 8, uintFrom(content));
}

/** The magnitude of an INTEGER, big-endian without leading zeros. @throws {Malformed} if it is negative. */
export function readUnsigned(element: DerElement): Uint8Array {
  const { content } = expectTag(element, tags.integer, "integer");
  if (((content[0] ?? 0) & 0x80) !== 0) throw new Malformed("der: negative integer");
  return content[0] === 0 && content.length > 1 ? content.subarray(1) : content;
}

/** A BOOLEAN. */
export function readBoolean(element: DerElement): boolean {
  return isTrue(expectTag(element, tags.boolean, "boolean").content[0]);
}

/** A BIT STRING of whole octets. */
export function readBitString(element: DerElement): Uint8Array {
  const { content } = expectTag(element, tags.bitString, "bit string");
  if (content[0] !== 0) throw new Malformed("der: bit string of broken octets");
  return content.subarray(1);
}

/** An OCTET STRING. */
export function readOctetString(element: DerElement): Uint8Array {
  return expectTag(element, tags.octetString, "octet string").content;
}

/** A UTF8String. */
export function readUtf8(element: DerElement): string {
  return decodeUtf8(expectTag(element, tags.utf8String, "utf-8 string").content);
}

/** An ASCII text of any tag: IA5String, PrintableString or an implicitly tagged one. */
export function readAscii(element: DerElement): string {
  if (element.content.some((byte) => byte > 0x7f)) throw new Malformed("der: not ASCII");
  return decodeUtf8(element.content);
}

/** A UTCTime or GeneralizedTime in DER (X.690 §11.7, §11.8). */
export function readTime({ tag, content }: DerElement): Date {
  return timeIn(tag, content, 0, content.length);
}

/** YYMMDDhhmmssZ. */
const utcTimeLength = 13;

/** The time whose content lies in `bytes`, of an element with this tag. @throws {Malformed} */
export function timeIn(tag: number, bytes: Uint8Array, from: number, to: number): Date {
  const isUtc = tag === tags.utcTime;
  if (!isUtc && tag !== tags.generalizedTime) throw new Malformed("der: expected time");
  const at = isUtc ? from : from + 2;
  const century = isUtc ? -1 : readDigits(bytes, from, to);
  const years = readDigits(bytes, at, to);
  const fraction = readFraction(bytes, at + 12, to);
  // Not of the fraction's worth: one below a millisecond is worth none.
  if (fraction === null || (isUtc && to !== from + utcTimeLength))
    throw new Malformed("der: not a time");
  const month = readDigits(bytes, at + 2, to);
  const day = readDigits(bytes, at + 4, to);
  const hour = readDigits(bytes, at + 6, to);
  const minute = readDigits(bytes, at + 8, to);
  const second = readDigits(bytes, at + 10, to);
  const year = isUtc ? years + (years < 50 ? 2000 : 1900) : century * 100 + years;
  // Date would wrap 31 April to 1 May and 23:59:60 to the next day.
  const isReal = day >= 1 && day <= daysIn(year, month) && hour < 24 && minute < 60 && second < 60;
  if (!isReal) throw new Malformed("der: no such time");
  const time = new Date(Date.UTC(year, month - 1, day, hour, minute, second, fraction));
  // Date.UTC takes the years 0 to 99 for 1900 to 1999.
  if (year < 100) time.setUTCFullYear(year, month - 1, day);
  return time;
}

const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Days of a month in the Gregorian calendar; none of one that does not exist. */
function daysIn(year: number, month: number): number {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 && isLeap ? 29 : (monthDays[month - 1] ?? 0);
}

/** Two decimal digits before `to`. @throws {Malformed} */
function readDigits(bytes: Uint8Array, at: number, to: number): number {
  const [tens, ones] = [(bytes[at] ?? 0) - 0x30, (bytes[at + 1] ?? 0) - 0x30];
  if (at + 2 <= to && tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9) return tens * 10 + ones;
  throw new Malformed("der: not a time");
}

/** What follows the seconds: "Z", after a fraction of one to nine digits that ends in no zero if there is one. Milliseconds; null if it is neither. */
function readFraction(bytes: Uint8Array, at: number, to: number): number | null {
  if (bytes[at] === 0x5a && to === at + 1) return 0;
  const text = /^\.(\d{0,8}[1-9])Z$/.exec(latin1(bytes.subarray(at, to)));
  return text === null ? null : Math.trunc(Number(`0.${text[1] ?? "0"}`) * 1000);
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 16));
}

/** The element itself if it has the tag. @throws {Malformed} naming `what` otherwise. */
export function expectTag(element: DerElement, tag: number, what: string): DerElement {
  if (element.tag !== tag) throw new Malformed(`der: expected ${what}`);
  return element;
}

/** Walks the elements inside a constructed one in order. */
export interface DerWalk {
  /** The next element, which must be there and have this tag if one is given. */
  take(what: string, tag?: number): DerElement;
  /** The next element if it has this tag. */
  maybe(tag: number): DerElement | null;
  /** @throws {Malformed} if elements are left. */
  end(): void;
}

/** Starts a walk through `element`, which must have `tag` (a SEQUENCE unless told). */
export function walk(element: DerElement, what: string, tag: number = tags.sequence): DerWalk {
  return new Walker(expectTag(element, tag, what).children(), what);
}

/** A class, because certificates are walked through all the time, and closures would be made anew for each element. */
class Walker implements DerWalk {
  readonly #children: readonly DerElement[];
  readonly #what: string;
  #at = 0;

  constructor(children: readonly DerElement[], what: string) {
    this.#children = children;
    this.#what = what;
  }

  take(part: string, wanted?: number): DerElement {
    const child = this.#children[this.#at];
    if (child === undefined) throw new Malformed(`${this.#what}: ${part} is missing`);
    if (wanted !== undefined && child.tag !== wanted) {
      throw new Malformed(`der: expected ${part} of ${this.#what}`);
    }
    this.#at++;
    return child;
  }

  maybe(wanted: number): DerElement | null {
    const child = this.#children[this.#at];
    if (child?.tag !== wanted) return null;
    this.#at++;
    return child;
  }

  end(): void {
    if (this.#at !== this.#children.length) {
      throw new Malformed(`${this.#what}: unexpected element`);
    }
  }
}

function constructed(tag: number, parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  let at = headerSize(length);
  const bytes = allocate(at + length);
  writeHeader(bytes, tag, length);
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function headerSize(length: number): number {
  if (length < 0x80) return 2;
  if (length < 0x100) return 3;
  if (length < 0x1_0000) return 4;
  return length < 0x100_0000 ? 5 : 6;
}

function writeHeader(into: Uint8Array, tag: number, length: number): void {
  into[0] = tag;
  const size = headerSize(length);
  if (size === 2) {
    into[1] = length;
    return;
  }
  into[1] = 0x80 | (size - 2);
  for (let at = size - 1, rest = length; at > 1; at--, rest = Math.floor(rest / 256)) {
    into[at] = rest % 256;
  }
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

function unsignedBytes(value: Uint8Array): Uint8Array {
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  const minimal = value.subarray(start);
  return (minimal[0] ?? 0x80) < 0x80 ? minimal : concat(Uint8Array.of(0), minimal);
}

function signedBytes(value: bigint): Uint8Array {
  let width = 1;
  while (BigInt.asIntN(8 * width, value) !== value) width++;
  return uintBytes(BigInt.asUintN(8 * width, value), width);
}

function arcFrom(digits: string): number {
  const arc = Number(digits);
  // Only the canonical decimal form reads back as itself: no sign, no leading zero, no exponent, nothing above 2^53.
  if (!Number.isSafeInteger(arc) || arc < 0 || String(arc) !== digits) {
    throw new Malformed(`oid: arc "${digits}"`);
  }
  return arc;
}

/** Base 128, most significant digit first, every one but the last marked. */
function pushArc(content: number[], arc: number): void {
  let weight = 1;
  while (arc >= weight * 128) weight *= 128;
  for (; weight > 1; weight /= 128) content.push((Math.floor(arc / weight) % 128) | 0x80);
  content.push(arc % 128);
}

/** An element of YYYYMMDDHHMMSSZ, or without the century YYMMDDHHMMSSZ if it is a UTCTime. @throws {Malformed} outside the years 0 to 9999 */
function calendar(tag: number, at: Date): Uint8Array {
  const year = at.getUTCFullYear();
  if (!(year >= 0 && year <= 9999)) throw new Malformed("der: a time outside the years 0 to 9999");
  const digits = tag === tags.utcTime ? 2 : 4;
  const text = new Uint8Array(2 + digits + 11);
  text[0] = tag;
  text[1] = text.length - 2;
  if (digits === 4) putDigits(text, 2, Math.floor(year / 100));
  putDigits(text, digits, year % 100);
  putDigits(text, digits + 2, at.getUTCMonth() + 1);
  putDigits(text, digits + 4, at.getUTCDate());
  putDigits(text, digits + 6, at.getUTCHours());
  putDigits(text, digits + 8, at.getUTCMinutes());
  putDigits(text, digits + 10, at.getUTCSeconds());
  text[digits + 12] = 0x5a;
  return text;
}

/** Two decimal digits. */
function putDigits(into: Uint8Array, at: number, value: number): void {
  into[at] = 0x30 + Math.floor(value / 10);
  into[at + 1] = 0x30 + (value % 10);
}
