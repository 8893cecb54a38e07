/**
 * Letters as bytes, by hand: what `wire.ts` would make of them, octet for octet, because every question and every answer of every
 * process is in one. Only the form that nearly all letters have is known here: questions of which each has a trace, and answers of
 * which none is a failure. Whoever gets null takes the general way, which also says what is wrong.
 */
import type { AnswerLetter, QuestionItem, QuestionLetter } from "./letter.ts";
import { maxMessageBytes } from "./wire.ts";

const idBytes = 16;
/** `00-<32>-<16>-<2>`, in ASCII. */
const traceLength = 55;
/** The longest head, of a float or of a length of 32 bits. */
const longestHead = 9;

/** Most questions in one letter. */
export const maxItems = 1_024;

/** A question behind `room` free octets, or null if it has not the usual form. */
export function formatQuestion({ id, sentAtMs, items }: QuestionLetter, room: number) {
  if (id.length !== idBytes || !isTime(sentAtMs)) return null;
  let most = room + beginning + longestHead;
  for (const { trace, deadlineAtMs, question } of items) {
    if (trace.length !== traceLength || !isTime(deadlineAtMs)) return null;
    most += itemHeads + traceLength + question.length;
  }
  const writer = new Writer(most, room);
  writer.put(names.id);
  writer.bytes(id);
  writer.put(names.sentAtMs);
  writer.number(sentAtMs);
  writer.put(names.items);
  writer.head(array, items.length);
  for (const { trace, deadlineAtMs, question } of items) {
    writer.put(names.trace);
    if (!writer.ascii(trace)) return null;
    writer.put(names.deadlineAtMs);
    writer.number(deadlineAtMs);
    writer.put(names.question);
    writer.bytes(question);
  }
  return writer.written();
}

/** An answer behind `room` free octets, or null if it has not the usual form. */
export function formatAnswer({ id, items }: AnswerLetter, room: number): Uint8Array | null {
  if (id.length !== idBytes) return null;
  let most = room + beginning;
  for (const item of items) {
    if (!("answer" in item)) return null;
    most += itemHeads + item.answer.length;
  }
  const writer = new Writer(most, room);
  writer.put(names.answerId);
  writer.bytes(id);
  writer.put(names.items);
  writer.head(array, items.length);
  for (const item of items) {
    if (!("answer" in item)) return null;
    writer.put(names.at);
    writer.number(item.at);
    writer.put(names.answer);
    writer.bytes(item.answer);
  }
  return writer.written();
}

/** The question that these bytes are, or null if they have not the usual form. Its byte strings are parts of `bytes`. */
export function parseQuestion(bytes: Uint8Array): QuestionLetter | null {
  const reader = new Reader(bytes);
  if (bytes.length > maxMessageBytes || !reader.take(names.id)) return null;
  const id = reader.bytes(idBytes);
  const sentAtMs = reader.take(names.sentAtMs) ? reader.time() : null;
  const count = reader.take(names.items) ? reader.count() : null;
  if (id === null || sentAtMs === null || count === null) return null;
  const items: QuestionItem[] = [];
  for (let left = count; left > 0; left--) {
    const trace = reader.take(names.trace) ? reader.trace() : null;
    const deadlineAtMs = reader.take(names.deadlineAtMs) ? reader.time() : null;
    const question = reader.take(names.question) ? reader.bytes(null) : null;
    if (trace === null || deadlineAtMs === null || question === null) return null;
    items.push({ trace, deadlineAtMs, question });
  }
  return reader.isAtEnd ? { id, sentAtMs, items } : null;
}

/** The answer that these bytes are, or null if they have not the usual form. Its byte strings are parts of `bytes`. */
export function parseAnswer(bytes: Uint8Array): AnswerLetter | null {
  const reader = new Reader(bytes);
  if (bytes.length > maxMessageBytes || !reader.take(names.answerId)) return null;
  const id = reader.bytes(idBytes);
  const count = reader.take(names.items) ? reader.count() : null;
  if (id === null || count === null) return null;
  const items: { at: number; answer: Uint8Array }[] = [];
  for (let left = count; left > 0; left--) {
    const at = reader.take(names.at) ? reader.head(unsigned) : null;
    const answer = reader.take(names.answer) ? reader.bytes(null) : null;
    if (at === null || at >= maxItems || answer === null) return null;
    items.push({ at, answer });
  }
  return reader.isAtEnd ? { id, items } : null;
}

/** Initial bytes (RFC 8949 §3) without the additional information. */
const unsigned = 0x00;
const byteString = 0x40;
const text = 0x60;
const array = 0x80;
const map = 0xa0;
const float64 = 0xfb;

/** Where a member begins: its name, behind the head of its map if it is the first. */
const names = {
  id: member(3, "id"),
  answerId: member(2, "id"),
  sentAtMs: member(0, "sentAtMs"),
  items: member(0, "items"),
  trace: Uint8Array.of(...member(3, "trace"), text | 24, traceLength),
  deadlineAtMs: member(0, "deadlineAtMs"),
  question: member(0, "question"),
  at: member(2, "at"),
  answer: member(0, "answer"),
};

/** More than a letter has before its items, and more than an item has beside its trace and its question or answer. */
const beginning = 96;
const itemHeads = 64;

function member(size: number, name: string): Uint8Array {
  const named = [text | name.length, ...Array.from(name, (one) => one.charCodeAt(0))];
  return Uint8Array.from(size === 0 ? named : [map | size, ...named]);
}

function isTime(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

class Writer {
  readonly #bytes: Buffer;
  #at: number;

  constructor(most: number, room: number) {
    this.#bytes = Buffer.allocUnsafeSlow(most);
    this.#at = room;
  }

  put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  bytes(bytes: Uint8Array): void {
    this.head(byteString, bytes.length);
    this.put(bytes);
  }

  /** As cbor-x writes it: what does not fit 32 bits is a float. */
  number(value: number): void {
    if (value <= 0xffff_ffff) {
      this.head(unsigned, value);
      return;
    }
    this.#at = this.#bytes.writeUInt8(float64, this.#at);
    this.#at = this.#bytes.writeDoubleBE(value, this.#at);
  }

  head(major: number, argument: number): void {
    const bytes = this.#bytes;
    if (argument < 24) {
      this.#at = bytes.writeUInt8(major | argument, this.#at);
    } else if (argument < 0x100) {
      this.#at = bytes.writeUInt8(argument, bytes.writeUInt8(major | 24, this.#at));
    } else if (argument < 0x1_0000) {
      this.#at = bytes.writeUInt16BE(argument, bytes.writeUInt8(major | 25, this.#at));
    } else {
      this.#at = bytes.writeUInt32BE(argument, bytes.writeUInt8(major | 26, this.#at));
    }
  }

  /** False if the text is not all ASCII. */
  ascii(value: string): boolean {
    for (let at = 0; at < value.length; at++) if (value.charCodeAt(at) > 0x7f) return false;
    this.#at += this.#bytes.write(value, this.#at, "latin1");
    return true;
  }

  written(): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset, this.#at);
  }
}

/** Reads heads of the shortest form only; anything else is null, and the general way's. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** True if these octets come next, which are then behind. */
  take(expected: Uint8Array): boolean {
    for (let at = 0; at < expected.length; at++) {
      if (this.#bytes[this.#at + at] !== expected[at]) return false;
    }
    this.#at += expected.length;
    return true;
  }

  /** The argument of a head of this major type. */
  head(major: number): number | null {
    const initial = this.#bytes[this.#at++];
    if (initial === undefined || (initial & 0xe0) !== major) return null;
    const info = initial & 0x1f;
    if (info < 24) return info;
    if (info > 26) return null;
    let value = 0;
    for (let left = 2 ** (info - 24); left > 0; left--) {
      const octet = this.#bytes[this.#at++];
      if (octet === undefined) return null;
      value = value * 0x100 + octet;
    }
    return value;
  }

  /** How many items follow. */
  count(): number | null {
    const count = this.head(array);
    return count === null || count > maxItems ? null : count;
  }

  bytes(length: number | null): Uint8Array | null {
    const given = this.head(byteString);
    if (given === null || (length !== null && given !== length)) return null;
    const from = this.#at;
    if (from + given > this.#bytes.length) return null;
    this.#at += given;
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + from, given);
  }

  /** A time in milliseconds: a number that is whole and not negative. */
  time(): number | null {
    if (this.#bytes[this.#at] !== float64) return this.head(unsigned);
    const { buffer, byteOffset, length } = this.#bytes;
    if (this.#at + longestHead > length) return null;
    const value = new DataView(buffer, byteOffset + this.#at + 1, 8).getFloat64(0);
    this.#at += longestHead;
    return isTime(value) ? value : null;
  }

  /** A traceparent, of which the length has been read. */
  trace(): string | null {
    const from = this.#at;
    this.#at += traceLength;
    if (this.#at > this.#bytes.length) return null;
    const { buffer, byteOffset } = this.#bytes;
    const trace = Buffer.from(buffer, byteOffset + from, traceLength).toString("latin1");
    return traceparent.test(trace) ? trace : null;
  }
}

/** What a trace must look like (Trace Context, level 1, version 00). */
export const traceparent = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
