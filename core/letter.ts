/**
 * Asks and answers as they cross between processes: a MAC of 32 bytes, then CBOR. The MAC is HMAC-SHA-256 under the key of the pair
 * (asker, answerer) over direction, subject and body, so whoever runs the NATS server can lose messages, and neither forge one nor
 * use one twice.
 *
 *     question  { id, sentAtMs, items: [{ trace, deadlineAtMs, question }] }
 *     answer    { id, items: [{ at, answer } | { at, code, message, details? }] }
 */
import * as v from "valibot";
import { bytes, bytesUpTo } from "../events/bytes.ts";
import { type FailureCode, failureCodes } from "../events/failure.ts";
import { concat, encodeHex } from "./formats/encoding.ts";
import { Malformed } from "./formats/malformed.ts";
import {
  formatAnswer,
  formatQuestion,
  maxItems,
  parseAnswer,
  parseQuestion,
  traceparent,
} from "./letter-form.ts";
import { authenticate, sameMac } from "./seals.ts";
import { decode, encode } from "./wire.ts";

/** Questions of one asker to one ask, travelling together. None at all is a probe. */
export interface QuestionLetter {
  /** 16 random bytes: the nonce that the answer must repeat. */
  readonly id: Uint8Array;
  readonly sentAtMs: number;
  readonly items: readonly QuestionItem[];
}

/** One question, encoded. */
export interface QuestionItem {
  readonly trace: string;
  readonly deadlineAtMs: number;
  readonly question: Uint8Array;
}

/** Some or all answers to one letter. */
export interface AnswerLetter {
  readonly id: Uint8Array;
  readonly items: readonly AnswerItem[];
}

/** The answer to the question at position `at`. */
export type AnswerItem =
  | { readonly at: number; readonly answer: Uint8Array }
  | {
      readonly at: number;
      readonly code: FailureCode;
      readonly message: string;
      /** The failure's details, encoded; at most {@link maxDetailsBytes}. */
      readonly details?: Uint8Array | undefined;
    };

/** Longest message of a failure; a longer one is cut. */
export const maxFailureMessage = 1_024;
/** Longest details of a failure, encoded; longer ones are left out. */
export const maxDetailsBytes = 65_536;
/** What an item costs beyond its question or answer, rounded up. */
export const itemOverheadBytes = 160;
/** What a letter costs beyond its items, rounded up. */
export const letterOverheadBytes = 256;

/** @returns the message to publish on `subject`. */
export function sealQuestion(key: Uint8Array, subject: string, letter: QuestionLetter): Uint8Array {
  return seal(key, `ask ${subject}`, formatQuestion(letter, macBytes) ?? general(letter));
}

/** @returns the message to publish as the reply to a question that came on `subject`. */
export function sealAnswer(key: Uint8Array, subject: string, letter: AnswerLetter): Uint8Array {
  return seal(key, `answer ${subject}`, formatAnswer(letter, macBytes) ?? general(letter));
}

/** @throws {Malformed} if the MAC is wrong, and then says nothing about the rest; or if the body is no question. */
export function openQuestion(
  key: Uint8Array,
  subject: string,
  message: Uint8Array,
): QuestionLetter {
  const body = open(key, `ask ${subject}`, message);
  return parseQuestion(body) ?? accept(body, questionLetter);
}

/** @throws {Malformed} as {@link openQuestion}. */
export function openAnswer(key: Uint8Array, subject: string, message: Uint8Array): AnswerLetter {
  const body = open(key, `answer ${subject}`, message);
  return parseAnswer(body) ?? accept(body, answerLetter);
}

/** Remembers letters until they have expired, so that none is answered twice. Bounded: beyond it, new letters are refused. */
export class Nonces {
  readonly #limit: number;
  readonly #until = new Map<string, number>();

  constructor(limit = 250_000) {
    this.#limit = limit;
  }

  /** Takes note of a letter; false if it has been seen, null if there is no room to remember it. */
  take(id: Uint8Array, untilMs: number, nowMs: number): boolean | null {
    this.#forget(nowMs);
    const name = encodeHex(id);
    if (this.#until.has(name)) return false;
    if (this.#until.size >= this.#limit) return null;
    this.#until.set(name, untilMs);
    return true;
  }

  /** The oldest come first. One that lives longer keeps those behind it, which costs room and never forgets too early. */
  #forget(nowMs: number): void {
    for (const [name, untilMs] of this.#until) {
      if (untilMs > nowMs) return;
      this.#until.delete(name);
    }
  }
}

const macBytes = 32;
const id = v.pipe(
  bytes,
  v.check((value) => value.length === 16, "expected 16 bytes"),
);
const timeMs = v.pipe(v.number(), v.integer(), v.minValue(0));
const at = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maxItems - 1));
const questionLetter = v.strictObject({
  id,
  sentAtMs: timeMs,
  items: v.pipe(
    v.array(
      v.strictObject({
        trace: v.pipe(v.string(), v.regex(traceparent)),
        deadlineAtMs: timeMs,
        question: bytesUpTo(Number.MAX_SAFE_INTEGER),
      }),
    ),
    v.maxLength(maxItems),
  ),
});
const answerLetter = v.strictObject({
  id,
  items: v.pipe(
    v.array(
      v.union([
        v.strictObject({ at, answer: bytes }),
        v.strictObject({
          at,
          code: v.picklist(failureCodes),
          message: v.pipe(v.string(), v.maxLength(maxFailureMessage)),
          details: v.optional(bytesUpTo(maxDetailsBytes)),
        }),
      ]),
    ),
    v.maxLength(maxItems),
  ),
});

/** The letter behind room for the MAC. */
function general(letter: QuestionLetter | AnswerLetter): Uint8Array {
  return concat(new Uint8Array(macBytes), encode(letter));
}

/** Writes the MAC of what is behind it. */
function seal(key: Uint8Array, label: string, message: Uint8Array): Uint8Array {
  message.set(authenticate(key, label, message.subarray(macBytes)));
  return message;
}

function open(key: Uint8Array, label: string, message: Uint8Array): Uint8Array {
  const body = message.subarray(macBytes);
  if (!sameMac(authenticate(key, label, body), message.subarray(0, macBytes))) {
    throw new Malformed("the MAC is wrong");
  }
  return body;
}

function accept<S extends v.GenericSchema>(body: Uint8Array, schema: S): v.InferOutput<S> {
  const checked = v.safeParse(schema, decode(body));
  if (!checked.success) throw new Malformed(`no letter: ${v.summarize(checked.issues)}`);
  return checked.output;
}
