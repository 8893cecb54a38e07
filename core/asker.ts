/** The asking half of a connection: letters that wait for their answers. */
import { randomBytes } from "node:crypto";
import type { Ask } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import { askSubject, inboxPrefix, startedSubject } from "./acl.ts";
import { askKey, type ReadAnswer, type Stamp } from "./bus.ts";
import type { Clock } from "./clock.ts";
import { randomPool } from "./crypto/random.ts";
import { createDeadlines } from "./deadlines.ts";
import { encodeHex } from "./formats/encoding.ts";
import type { Journal } from "./journal.ts";
import { itemOverheadBytes, letterOverheadBytes, openAnswer, sealQuestion } from "./letter.ts";
import { maxItems } from "./letter-form.ts";
import { Letter, Waiting } from "./letters.ts";
import type { Line } from "./line.ts";
import type { PairKeys } from "./seals.ts";
import { tooLate } from "./waiting.ts";
import { encode } from "./wire.ts";

/** What asking needs. */
export interface AskerOptions {
  /** The plugin that asks. */
  readonly name: string;
  readonly line: Line;
  readonly pairKeys: PairKeys;
  readonly clock: Clock;
  readonly journal: Journal;
  /** Most questions waiting for answers at once. */
  readonly maxPending?: number;
}

/** Puts one plugin's asks over its own connection. */
export class Asker {
  readonly #options: AskerOptions;
  readonly #maxPending: number;
  readonly #inbox: string;
  readonly #letters = new Map<string, Letter>();
  readonly #gathered = new Map<string, Gathered>();
  readonly #watched = new Set<string>();
  readonly #deadlines = createDeadlines();
  readonly #random = randomPool();
  readonly #whenDone = (): void => void this.#pending--;
  #pending = 0;

  constructor(options: AskerOptions) {
    this.#options = options;
    this.#maxPending = options.maxPending ?? 8_192;
    this.#inbox = `${inboxPrefix(options.name)}.${encodeHex(randomBytes(8))}`;
    options.line.subscribe(`${this.#inbox}.*`, undefined, (message) => this.#receive(message));
    options.line.onRefused((subject) => this.#refused(subject));
    options.line.onBack(() => this.#giveUpOnLost());
  }

  /** No asynchronous function, because many are under way. @throws {Failure} */
  ask(
    ask: Ask,
    question: unknown,
    { trace, deadlineAtMs }: Stamp,
    read?: ReadAnswer,
  ): Promise<unknown> {
    const item = { trace, deadlineAtMs, question: encode(question) };
    const sizeBytes = item.question.length + letterOverheadBytes + itemOverheadBytes;
    if (sizeBytes > this.#options.line.maxBytes()) {
      const reason = `the question is larger than a message may be`;
      return Promise.reject(new Failure("malformed", reason));
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const waiting = new Waiting(item, { resolve, reject, read, whenDone: this.#whenDone });
    const remainingMs = deadlineAtMs - this.#options.clock.now().getTime();
    this.#await(ask, waiting, remainingMs);
    if (ask.batched) this.#gather(ask, waiting);
    else this.#send(ask, [waiting]);
    return promise;
  }

  /** Asks whether anybody answers, by a letter without questions. @throws {Failure} */
  async probe(ask: Ask, withinMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const item = { trace: "", deadlineAtMs: 0, question: new Uint8Array() };
    const waiting = new Waiting(item, { resolve, reject, whenDone: this.#whenDone });
    this.#await(ask, waiting, withinMs);
    this.#send(ask, [waiting], true);
    await promise;
  }

  #await(ask: Ask, waiting: Waiting, ms: number): void {
    this.#pending++;
    waiting.expire(this.#deadlines.after(ms, () => waiting.fail(tooLate(ask))));
  }

  /**
   * Collects what this turn of the event loop asks, whichever socket's callback asks it. While letters enough are under way the next
   * one waits for one of them, because whoever answers is busy, and one large letter costs both sides much less than many small ones.
   */
  #gather(ask: Ask, waiting: Waiting): void {
    const key = askKey(ask);
    const gathered = this.#gathered.get(key) ?? { ask, waiting: [], underWay: 0, patience: null };
    this.#gathered.set(key, gathered);
    gathered.waiting.push(waiting);
    if (gathered.waiting.length === 1) setImmediate(() => this.#sendGathered(gathered));
  }

  #sendGathered(gathered: Gathered): void {
    const { underWay, waiting } = gathered;
    if (waiting.length === 0) return;
    const isBusy = underWay >= lettersUnderWay && gathered.ask.held !== true;
    if (isBusy && waiting.length < maxItems) {
      // One slow answer must not hold up everybody.
      gathered.patience ??= setTimeout(() => this.#sendAll(gathered), longestGatherMs);
      return;
    }
    this.#sendAll(gathered);
  }

  #sendAll(gathered: Gathered): void {
    clearTimeout(gathered.patience ?? undefined);
    gathered.patience = null;
    const waiting = gathered.waiting.filter(({ done }) => !done);
    gathered.waiting = [];
    for (const letter of split(waiting, this.#options.line.maxBytes())) {
      const sent = this.#send(gathered.ask, letter);
      if (sent === null) continue;
      gathered.underWay++;
      sent.whenDone(() => {
        gathered.underWay--;
        // Later, because this may be the end of all letters under way, which the next one does not belong to.
        if (gathered.waiting.length > 0) setImmediate(() => this.#sendGathered(gathered));
      });
    }
  }

  /** The letter, or null if it could not be sent and everybody has been told so. */
  #send(ask: Ask, waiting: readonly Waiting[], probe = false): Letter | null {
    const { name, line, pairKeys, clock } = this.#options;
    const fail = (code: "overloaded" | "internal", message: string): void => {
      for (const one of waiting) one.fail(new Failure(code, message));
    };
    if (this.#pending > this.#maxPending) {
      fail("overloaded", "too many questions wait for answers");
      return null;
    }
    if (!line.connected()) {
      fail("overloaded", "the bus is not connected at the moment");
      return null;
    }
    const key = pairKeys(name, ask.room);
    if (!key) {
      fail("internal", `"${name}" and "${ask.room}" share no key`);
      return null;
    }
    const id = this.#random(idBytes);
    const subject = askSubject(ask, name);
    const letter = new Letter({ ask, subject, key, waiting, probe });
    const items = probe ? [] : waiting.map(({ item }) => item);
    const sentAtMs = clock.now().getTime();
    const idText = encodeHex(id);
    this.#letters.set(idText, letter);
    letter.whenDone(() => this.#letters.delete(idText));
    try {
      this.#watch(ask.room);
      const sealed = sealQuestion(key, subject, { id, sentAtMs, items });
      line.publish(subject, sealed, `${this.#inbox}.${idText}`);
    } catch (thrown) {
      // A line that is closed, perhaps, and nobody may be left who looks after a promise.
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      letter.failAll("overloaded", `the bus did not take the question: ${reason}`);
      return null;
    }
    return letter;
  }

  #receive({ subject, data, nobodyAnswers }: ReceivedAnswer): void {
    const id = subject.slice(this.#inbox.length + 1);
    const letter = this.#letters.get(id);
    // Late: everybody who waited has been told so.
    if (!letter) return;
    if (nobodyAnswers) {
      letter.failAll("overloaded", `nobody answers ${askKey(letter.ask)} at the moment`);
      return;
    }
    try {
      const answer = openAnswer(letter.key, letter.subject, data);
      if (encodeHex(answer.id) !== id) throw new Error("it answers another question");
      letter.settle(answer.items);
    } catch (thrown) {
      // Attacker-controlled: whoever waits goes on waiting for the true answer.
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#options.journal.warn("answer-refused", { subject: letter.subject, reason });
    }
  }

  #refused(subject: string): void {
    for (const letter of this.#letters.values()) {
      if (letter.subject === subject) letter.failAll("internal", `NATS refuses ${subject}`);
    }
  }

  /**
   * A new process answers for the room: what was asked of the one before it is not answered any more. Whoever forges the message
   * makes askers give up, which whoever carries their messages can do anyway.
   */
  #watch(room: string): void {
    if (this.#watched.has(room)) return;
    this.#options.line.subscribe(startedSubject(room), undefined, () => {
      for (const letter of this.#letters.values()) {
        if (letter.ask.room !== room) continue;
        letter.failAll(
          "deadline-exceeded",
          `the process that answers for "${room}" has been replaced`,
        );
      }
    });
    this.#watched.add(room);
  }

  /** What was on its way when the connection broke is probably lost; an answer in the other side's buffer comes at once. */
  #giveUpOnLost(): void {
    const lost = [...this.#letters.values()];
    setTimeout(() => {
      for (const letter of lost) letter.failAll("deadline-exceeded", "the bus was interrupted");
    }, lostAfterMs).unref();
  }
}

/** Of a letter's id. */
const idBytes = 16;
const lostAfterMs = 1_000;
/** One being answered and one on its way: the answerer is never idle, and never has many small ones. */
const lettersUnderWay = 2;
/** Longest that a question waits for company. */
const longestGatherMs = 20;

/** Questions of one ask that have no letter yet. */
interface Gathered {
  readonly ask: Ask;
  waiting: Waiting[];
  /** Letters that are not wholly answered. */
  underWay: number;
  patience: NodeJS.Timeout | null;
}

interface ReceivedAnswer {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly nobodyAnswers: boolean;
}

/** Letters that each fit a message, in order. */
function split(waiting: readonly Waiting[], maxBytes: number): Waiting[][] {
  const letters: Waiting[][] = [];
  let sizeBytes = Number.POSITIVE_INFINITY;
  for (const one of waiting) {
    const itemBytes = one.item.question.length + itemOverheadBytes;
    const last = letters.at(-1);
    if (last && last.length < maxItems && sizeBytes + itemBytes <= maxBytes) {
      last.push(one);
      sizeBytes += itemBytes;
    } else {
      letters.push([one]);
      sizeBytes = letterOverheadBytes + itemBytes;
    }
  }
  return letters;
}
