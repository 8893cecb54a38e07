/** Letters by hand are what the codec makes of them, octet for octet, and nothing else is taken for one. */
import { expect } from "vitest";
import { openAnswer, openQuestion, sealAnswer, sealQuestion } from "../../core/letter.ts";
import {
  formatAnswer,
  formatQuestion,
  parseAnswer,
  parseQuestion,
} from "../../core/letter-form.ts";
import { authenticate } from "../../core/seals.ts";
import { encode } from "../../core/wire.ts";
import { fc, test } from "../support/fixed-draws.ts";

const hex = (length: number) =>
  fc
    .uint8Array({ minLength: length / 2, maxLength: length / 2 })
    .map((octets) => Buffer.from(octets).toString("hex"));
const trace = fc.tuple(hex(32), hex(16), hex(2)).map((parts) => ["00", ...parts].join("-"));
const bytes = (most: number) => fc.uint8Array({ maxLength: most });
const id = fc.uint8Array({ minLength: 16, maxLength: 16 });
const time = fc.oneof(fc.nat(70_000), fc.maxSafeNat(), fc.constantFrom(23, 24, 255, 256, 65_535));
const question = fc.record({
  id,
  sentAtMs: time,
  items: fc.array(fc.record({ trace, deadlineAtMs: time, question: bytes(300) }), {
    maxLength: 40,
  }),
});
const answer = fc.record({
  id,
  items: fc.array(fc.record({ at: fc.nat(1_023), answer: bytes(300) }), { maxLength: 40 }),
});
const room = 32;
const plain = (array: Uint8Array | null) => (array === null ? null : Uint8Array.from(array));

test("a letter by hand is what the codec makes of it, and is read back", () => {
  fc.assert(
    fc.property(question, (letter) => {
      const written = formatQuestion(letter, room);
      expect(plain(written?.subarray(room) ?? null)).toEqual(plain(encode(letter)));
      expect(parseQuestion(encode(letter))).toEqual(letter);
    }),
  );
  fc.assert(
    fc.property(answer, (letter) => {
      const written = formatAnswer(letter, room);
      expect(plain(written?.subarray(room) ?? null)).toEqual(plain(encode(letter)));
      expect(parseAnswer(encode(letter))).toEqual(letter);
    }),
  );
});

test("a letter by hand is as long as it may be", () => {
  const items = Array.from({ length: 1_024 }, (_, at) => ({ at, answer: new Uint8Array(at) }));
  const large = { id: new Uint8Array(16), items: [{ at: 0, answer: new Uint8Array(70_000) }] };
  for (const letter of [{ id: new Uint8Array(16), items }, large]) {
    expect(parseAnswer(encode(letter))).toEqual(letter);
    expect(plain(formatAnswer(letter, 0))).toEqual(plain(encode(letter)));
  }
  const many = { id: new Uint8Array(16), items: [...items, { at: 0, answer: new Uint8Array() }] };
  expect(parseAnswer(encode(many))).toBeNull();
});

test("a letter by hand is not read from what is cut, longer, or different in one octet, unless the codec reads the same from it", () => {
  const key = new Uint8Array(32);
  const sealed = (label: string, body: Uint8Array) =>
    Uint8Array.from([...authenticate(key, label, body), ...body]);
  const letter = {
    id: new Uint8Array(16).fill(7),
    sentAtMs: 1_790_000_000_000,
    items: [
      {
        trace: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
        deadlineAtMs: 1_790_000_001_000,
        question: Uint8Array.of(1, 2, 3),
      },
    ],
  };
  const body = Uint8Array.from(encode(letter));
  for (let length = 0; length < body.length; length++) {
    expect(parseQuestion(body.subarray(0, length))).toBeNull();
  }
  expect(parseQuestion(Uint8Array.from([...body, 0]))).toBeNull();
  for (let at = 0; at < body.length; at++) {
    for (const change of [1, 0x20, 0x80]) {
      const other = body.slice();
      other[at] = (other[at] ?? 0) ^ change;
      const byHand = parseQuestion(other);
      if (byHand === null) continue;
      // Whatever is read by hand, the codec writes as it came.
      expect(plain(encode(byHand))).toEqual(plain(other));
      expect(openQuestion(key, "s", sealed("ask s", other))).toEqual(byHand);
    }
  }
});

test("a letter by hand leaves failures, probes and odd traces to the codec", () => {
  const key = new Uint8Array(32).fill(1);
  const failed = {
    id: new Uint8Array(16),
    items: [{ at: 0, code: "internal" as const, message: "ö" }],
  };
  expect(formatAnswer(failed, room)).toBeNull();
  expect(openAnswer(key, "s", sealAnswer(key, "s", failed))).toEqual(failed);
  const probe = { id: new Uint8Array(16), sentAtMs: 5, items: [] };
  expect(openQuestion(key, "s", sealQuestion(key, "s", probe))).toEqual(probe);
  const odd = { trace: "ö".repeat(55), deadlineAtMs: 1, question: new Uint8Array() };
  const letter = { ...probe, items: [odd] };
  expect(formatQuestion(letter, room)).toBeNull();
  expect(() => openQuestion(key, "s", sealQuestion(key, "s", letter))).toThrow(/no letter/);
});
