/**
 * A way through DER (ITU-T X.690, 2021) that makes no object for an element: what was taken last are three numbers. For what is read by
 * the thousand; everything else walks elements (der.ts).
 */
import { checkDer, contentFrom, contentLength, dottedOid, isTrue, tags } from "./der-element.ts";
import { equalRange } from "./encoding.ts";
import { Malformed } from "./malformed.ts";

/** Where a reader stands, and what it took last. */
export class DerCursor {
  readonly bytes: Uint8Array;
  /** What the element is called whose parts are taken. */
  what = "";
  /** Where the next element begins, and where the one it is in ends. */
  #at: number;
  #end: number;
  /** The element that was taken last: its tag, where it begins, and from where to where its content goes. */
  tag = 0;
  start = 0;
  from = 0;
  to = 0;

  /** Checks the whole, as `readDer` does. @throws {Malformed} on anything that is not one element of DER */
  constructor(bytes: Uint8Array) {
    checkDer(bytes);
    this.bytes = bytes;
    this.#at = 0;
    this.#end = bytes.length;
  }

  /** Takes the next element, which must be there and have this tag if one is given. */
  take(part: string, tag?: number): void {
    if (this.#at >= this.#end) throw new Malformed(`${this.what}: ${part} is missing`);
    const { bytes } = this;
    this.tag = bytes[this.#at] ?? 0;
    if (tag !== undefined && this.tag !== tag) {
      throw new Malformed(`der: expected ${part} of ${this.what}`);
    }
    this.start = this.#at;
    this.from = contentFrom(bytes, this.#at);
    this.#at = this.to = this.from + contentLength(bytes, this.#at);
  }

  /** Takes the next element if it has this tag. */
  maybe(tag: number): boolean {
    if (this.#at >= this.#end || this.bytes[this.#at] !== tag) return false;
    this.take("", tag);
    return true;
  }

  /** Goes into the element that was taken last, which must have this tag; answers what {@link leave} needs. */
  enter(what: string, tag: number = tags.sequence): number {
    if (this.tag !== tag) throw new Malformed(`der: expected ${what}`);
    const outer = this.#end;
    this.what = what;
    this.#at = this.from;
    this.#end = this.to;
    return outer;
  }

  /** True behind the last part of what was entered. */
  get isDone(): boolean {
    return this.#at >= this.#end;
  }

  /** Goes on behind what was entered. @throws {Malformed} if parts of it are left */
  leave(outer: number, what: string): void {
    if (!this.isDone) throw new Malformed(`${this.what}: unexpected element`);
    this.#end = outer;
    this.what = what;
  }

  /** Goes on behind what was entered, whatever is left of it. */
  skip(outer: number, what: string): void {
    this.#at = this.#end;
    this.#end = outer;
    this.what = what;
  }

  /** The content of what was taken last. */
  content(): Uint8Array {
    return this.bytes.subarray(this.from, this.to);
  }

  /** Tag, length and content of what was taken last. */
  encoded(): Uint8Array {
    return this.bytes.subarray(this.start, this.to);
  }

  /** The dotted form of an OBJECT IDENTIFIER. */
  oid(): string {
    this.#expect(tags.oid, "object identifier");
    return dottedOid(this.bytes, this.from, this.to);
  }

  /** A BOOLEAN. */
  boolean(): boolean {
    this.#expect(tags.boolean, "boolean");
    return isTrue(this.bytes[this.from]);
  }

  /** An OCTET STRING. */
  octetString(): Uint8Array {
    this.#expect(tags.octetString, "octet string");
    return this.content();
  }

  /** A BIT STRING of whole octets. */
  bitString(): Uint8Array {
    this.#expect(tags.bitString, "bit string");
    if (this.bytes[this.from] !== 0) throw new Malformed("der: bit string of broken octets");
    return this.bytes.subarray(this.from + 1, this.to);
  }

  /** The magnitude of an INTEGER, big-endian without leading zeros. @throws {Malformed} if it is negative. */
  unsigned(): Uint8Array {
    this.#expect(tags.integer, "integer");
    const first = this.bytes[this.from] ?? 0;
    if (first >= 0x80) throw new Malformed("der: negative integer");
    const isPadded = first === 0 && this.to - this.from > 1;
    return this.bytes.subarray(isPadded ? this.from + 1 : this.from, this.to);
  }

  /** True if what was taken last is exactly these octets, tag and length included. */
  is(encoded: Uint8Array): boolean {
    return equalRange(this.bytes, this.start, this.to, encoded);
  }

  /** True if the content of what was taken last begins with these octets. */
  beginsWith(octets: Uint8Array): boolean {
    const to = this.from + octets.length;
    return to <= this.to && equalRange(this.bytes, this.from, to, octets);
  }

  #expect(tag: number, what: string): void {
    if (this.tag !== tag) throw new Malformed(`der: expected ${what}`);
  }
}
