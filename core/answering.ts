/** The answering half of a connection: opens letters, refuses what is forged, replayed, expired or too much, and answers as one. */
import type { Ask } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import { askSubject, inboxPrefix } from "./acl.ts";
import type { Answerer } from "./bus.ts";
import type { Clock } from "./clock.ts";
import { encodeHex } from "./formats/encoding.ts";
import type { Journal } from "./journal.ts";
import {
  type AnswerItem,
  itemOverheadBytes,
  letterOverheadBytes,
  maxDetailsBytes,
  maxFailureMessage,
  Nonces,
  openQuestion,
  type QuestionItem,
  type QuestionLetter,
  sealAnswer,
} from "./letter.ts";
import type { Line, Received } from "./line.ts";
import type { PairKeys } from "./seals.ts";
import { InFlight } from "./waiting.ts";
import { decode, encode } from "./wire.ts";

/** What answering needs. */
export interface AnsweringOptions {
  readonly line: Line;
  readonly pairKeys: PairKeys;
  readonly clock: Clock;
  readonly journal: Journal;
  /** Most questions being answered at once. */
  readonly maxInFlight?: number;
  /** Most letters remembered until their deadlines have passed. */
  readonly maxRemembered?: number;
}

/** Answers other processes' asks in the name of one plugin. */
export class Answering {
  readonly #options: AnsweringOptions;
  readonly #maxInFlight: number;
  readonly #inFlight = new InFlight();
  readonly #nonces: Nonces;
  readonly #ends: (() => Promise<void>)[] = [];
  /** Letters from before are refused: the nonces of an earlier life, or of another process, are not known here. */
  #startedAtMs: number | null = null;

  constructor(options: AnsweringOptions) {
    this.#options = options;
    this.#maxInFlight = options.maxInFlight ?? 8_192;
    this.#nonces = new Nonces(options.maxRemembered);
  }

  /** Takes note that answering begins now; true the first time. */
  begin(): boolean {
    if (this.#startedAtMs !== null) return false;
    this.#startedAtMs = this.#options.clock.now().getTime();
    return true;
  }

  /** Begins to answer an ask. */
  answer(ask: Ask, answerer: Answerer): void {
    const { line } = this.#options;
    this.begin();
    const end = line.subscribe(askSubject(ask, "*"), line.name, (message) => {
      this.#receive(ask, answerer, message);
    });
    this.#ends.push(end);
  }

  /** Takes no more letters and waits for those being answered. */
  async drain(withinMs: number): Promise<void> {
    await Promise.all(this.#ends.map((end) => end()));
    await this.#inFlight.settled(withinMs);
  }

  #receive(ask: Ask, answerer: Answerer, { subject, data, reply }: Received): void {
    const { line, pairKeys, journal } = this.#options;
    const asker = subject.slice(subject.lastIndexOf(".") + 1);
    const key = pairKeys(asker, line.name);
    // Attacker-controlled until the MAC has been verified: refusals are journalled and not answered.
    const refuse = (reason: string): void => journal.warn("ask-refused", { subject, reason });
    if (!key) {
      refuse("this pair has no key");
      return;
    }
    if (!reply.startsWith(`${inboxPrefix(asker)}.`)) {
      refuse("the answer would not go to the asker");
      return;
    }
    try {
      const letter = openQuestion(key, subject, data);
      const objection = this.#objection(ask, letter);
      if (objection !== null) {
        refuse(objection);
        if (objection === tooMany) {
          // Genuine and new, only too much: the asker is told, so that it need not wait.
          const items = letter.items.map((_, at) => ({
            at,
            code: "overloaded" as const,
            message: objection,
          }));
          this.#reply({ letter, key, subject, reply, asker }, items);
        }
        return;
      }
      void this.#respond(ask, { letter, key, subject, reply, asker }, answerer);
    } catch (thrown) {
      refuse(thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  /** Why a genuine letter is not answered. */
  #objection(ask: Ask, { id, sentAtMs, items }: QuestionLetter): string | null {
    const nowMs = this.#options.clock.now().getTime();
    if (this.#startedAtMs === null || sentAtMs < this.#startedAtMs)
      return "it was sent before this process answered";
    const untilMs = items.reduce(
      (latest, { deadlineAtMs }) => Math.max(latest, deadlineAtMs),
      items.length === 0 ? sentAtMs + ask.deadlineMs : 0,
    );
    if (untilMs <= nowMs) return "its deadline has passed";
    if (untilMs > nowMs + ask.deadlineMs + clockToleranceMs) return "its deadline is too far away";
    const fresh = this.#nonces.take(id, untilMs, nowMs);
    if (fresh === null) return tooMany;
    return fresh ? null : "it has been answered before";
  }

  async #respond(ask: Ask, letter: Opened, answerer: Answerer): Promise<void> {
    const answers = letter.letter.items.map(async (item, at) => {
      const answer = this.#answerItem(item, at, letter, answerer);
      // It is under way until its answer has left: who drains closes the line after that.
      this.#inFlight.enter();
      return await answer;
    });
    // A letter without questions asks whether anybody answers.
    if (ask.held === true && answers.length > 0) this.#replyApart(letter, answers);
    else {
      const all = await Promise.allSettled(answers);
      this.#leave(letter, all);
    }
  }

  /** What is answered in one turn leaves together, and waits for nobody else. */
  #replyApart(letter: Opened, answers: readonly Promise<AnswerItem>[]): void {
    let ready: PromiseSettledResult<AnswerItem>[] = [];
    const send = (): void => {
      const all = ready;
      ready = [];
      this.#leave(letter, all);
    };
    const add = (one: PromiseSettledResult<AnswerItem>): void => {
      if (ready.length === 0) setImmediate(send);
      ready.push(one);
    };
    for (const answer of answers) {
      void answer.then(
        (value) => add({ status: "fulfilled", value }),
        (reason: unknown) => add({ status: "rejected", reason }),
      );
    }
  }

  /** Sends answers; they are no longer under way, whatever becomes of them: who asked hears nothing of one that cannot be sent. */
  #leave(letter: Opened, answers: readonly PromiseSettledResult<AnswerItem>[]): void {
    const { journal } = this.#options;
    const lost = (cause: unknown): void =>
      journal.error("answer-lost", { from: letter.asker, cause });
    const items: AnswerItem[] = [];
    for (const one of answers) {
      if (one.status === "fulfilled") items.push(one.value);
      else lost(one.reason);
    }
    try {
      if (items.length > 0 || answers.length === 0) this.#reply(letter, items);
    } catch (thrown) {
      lost(thrown);
    } finally {
      for (const _ of answers) this.#inFlight.leave();
    }
  }

  async #answerItem(
    { trace, deadlineAtMs, question }: QuestionItem,
    at: number,
    { letter, asker }: Opened,
    answerer: Answerer,
  ): Promise<AnswerItem> {
    try {
      if (this.#inFlight.size >= this.#maxInFlight) {
        throw new Failure("overloaded", "too many questions are being answered");
      }
      if (deadlineAtMs <= this.#options.clock.now().getTime()) {
        throw new Failure("deadline-exceeded", "the deadline passed on the way");
      }
      const id = `${encodeHex(letter.id)}-${at}`;
      const envelope = { id, trace, from: asker, deadlineAtMs };
      const answer = encode(await answerer(decode(question), envelope));
      if (answer.length + letterOverheadBytes + itemOverheadBytes > this.#options.line.maxBytes()) {
        throw new TypeError("the answer is larger than a message may be");
      }
      return { at, answer };
    } catch (thrown) {
      if (!(thrown instanceof Failure)) {
        this.#options.journal.error("answer-failed", { from: asker, trace, cause: thrown });
      }
      const { code, message, details } = Failure.from(thrown);
      const encoded = details === undefined ? null : encode(details);
      return {
        at,
        code,
        message: message.slice(0, maxFailureMessage).toWellFormed(),
        ...(encoded !== null && encoded.length <= maxDetailsBytes && { details: encoded }),
      };
    }
  }

  /** One message, or several if the answers do not fit one. */
  #reply({ letter, key, subject, reply }: Opened, items: readonly AnswerItem[]): void {
    const { line } = this.#options;
    let part: AnswerItem[] = [];
    let sizeBytes = letterOverheadBytes;
    const send = (): void => {
      line.publish(reply, sealAnswer(key, subject, { id: letter.id, items: part }));
    };
    for (const item of items) {
      const itemBytes = itemOverheadBytes + contentBytes(item);
      if (part.length > 0 && sizeBytes + itemBytes > line.maxBytes()) {
        send();
        part = [];
        sizeBytes = letterOverheadBytes;
      }
      part.push(item);
      sizeBytes += itemBytes;
    }
    send();
  }
}

function contentBytes(item: AnswerItem): number {
  if ("answer" in item) return item.answer.length;
  return item.message.length * 3 + (item.details?.length ?? 0);
}

const tooMany = "too many letters are remembered";

/** How far the clocks of two machines may be apart. */
const clockToleranceMs = 5_000;

interface Opened {
  readonly letter: QuestionLetter;
  readonly key: Uint8Array;
  readonly subject: string;
  readonly reply: string;
  readonly asker: string;
}
