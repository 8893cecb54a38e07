/**
 * DER (ITU-T X.690, 2021) written from its end to its beginning, so that the length of an element is known when its header is
 * written: one buffer and one copy, where der.ts makes an array of every element. For structures that are made thousands of times a
 * second; everything else reads better in der.ts.
 */
import { allocate } from "./allocate.ts";
import { tags } from "./der-element.ts";

/** A buffer that is written backwards, and used again and again. */
export class DerWriter {
  #bytes: Uint8Array;
  /** How much is written, counted from the end. */
  #size = 0;

  constructor(capacity = 4_096) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Where the next element will end: what {@link header} wants of the element it begins. */
  get end(): number {
    return this.#size;
  }

  /** Puts bytes in front of what is written. */
  put(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Puts a header in front: its element reaches to `end`. */
  header(tag: number, end: number): void {
    const length = this.#size - end;
    if (length < 0x80) {
      this.#two(tag, length);
      return;
    }
    let octets = 0;
    for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) {
      this.#one(rest % 256);
      octets++;
    }
    this.#two(tag, 0x80 | octets);
  }

  /** OCTET STRING. */
  octetString(content: Uint8Array): void {
    const { end } = this;
    this.put(content);
    this.header(tags.octetString, end);
  }

  /** INTEGER of an unsigned big-endian number. */
  unsigned(value: Uint8Array): void {
    const { end } = this;
    let start = 0;
    while (start < value.length - 1 && value[start] === 0) start++;
    this.put(start === 0 ? value : value.subarray(start));
    // The sign needs a bit of its own, and nothing at all is zero.
    if ((value[start] ?? 0x80) >= 0x80) this.#one(0);
    this.header(tags.integer, end);
  }

  /** Forgets what is written: it may be the rest of something that could not be written whole. */
  clear(): void {
    this.#size = 0;
  }

  /** A copy of all that is written; then nothing is. */
  take(): Uint8Array {
    const taken = allocate(this.#size);
    taken.set(this.#bytes.subarray(this.#bytes.length - this.#size));
    this.#size = 0;
    return taken;
  }

  #one(octet: number): void {
    const at = this.#room(1);
    this.#bytes[at] = octet;
  }

  #two(first: number, second: number): void {
    const at = this.#room(2);
    this.#bytes[at] = first;
    this.#bytes[at + 1] = second;
  }

  /** Takes room for so many bytes; where they begin. It may replace the buffer, so it is called before the buffer is named. */
  #room(length: number): number {
    const size = this.#size + length;
    if (size > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(size, 2 * this.#bytes.length));
      larger.set(this.#bytes, larger.length - this.#bytes.length);
      this.#bytes = larger;
    }
    this.#size = size;
    return this.#bytes.length - size;
  }
}
