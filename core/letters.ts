/** Questions on their way in letters, and what becomes of them: answered, failed or too late, each once. */
import type { Ask } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import type { Deadline } from "./deadlines.ts";
import type { ReadAnswer } from "./bus.ts";
import type { AnswerItem, QuestionItem } from "./letter.ts";
import { decode } from "./wire.ts";

/** How a question's asker is told what became of it. */
export interface Settling {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (thrown: unknown) => void;
  /** What the asker makes of an answer. */
  readonly read?: ReadAnswer | undefined;
  /** Called when it has settled. */
  readonly whenDone: () => void;
}

/** One question that waits; settles once. */
export class Waiting {
  readonly item: QuestionItem;
  readonly #settling: Settling;
  #letter: Letter | null = null;
  #deadline: Deadline | null = null;
  #done = false;

  constructor(item: QuestionItem, settling: Settling) {
    this.item = item;
    this.#settling = settling;
  }

  get done(): boolean {
    return this.#done;
  }

  /** Takes the deadline that fails it, to cancel it once this has settled. */
  expire(deadline: Deadline): void {
    this.#deadline = deadline;
  }

  /** Takes the letter it is in, which hears when this has settled. */
  enter(letter: Letter): void {
    this.#letter = letter;
  }

  succeed(answer: unknown): void {
    if (!this.#end()) return;
    const { resolve, reject, read } = this.#settling;
    try {
      resolve(read === undefined ? answer : read(answer));
    } catch (thrown) {
      reject(thrown);
    }
  }

  fail(failure: Failure): void {
    if (this.#end()) this.#settling.reject(failure);
  }

  #end(): boolean {
    if (this.#done) return false;
    this.#done = true;
    this.#deadline?.cancel();
    this.#settling.whenDone();
    this.#letter?.left();
    return true;
  }
}

/** A letter on its way. */
export class Letter {
  readonly ask: Ask;
  readonly subject: string;
  readonly key: Uint8Array;
  readonly #waiting: readonly Waiting[];
  readonly #probe: boolean;
  readonly #whenDone: (() => void)[] = [];
  #unsettled = 0;

  constructor(letter: {
    readonly ask: Ask;
    readonly subject: string;
    readonly key: Uint8Array;
    readonly waiting: readonly Waiting[];
    readonly probe: boolean;
  }) {
    this.ask = letter.ask;
    this.subject = letter.subject;
    this.key = letter.key;
    this.#waiting = letter.waiting;
    this.#probe = letter.probe;
    this.#unsettled = letter.waiting.length;
    for (const one of letter.waiting) one.enter(this);
  }

  /** Calls `listener` when every question has settled. */
  whenDone(listener: () => void): void {
    this.#whenDone.push(listener);
  }

  /** One of its questions has settled. */
  left(): void {
    this.#unsettled--;
    if (this.#unsettled === 0) for (const listener of this.#whenDone) listener();
  }

  failAll(code: "overloaded" | "internal" | "deadline-exceeded", message: string): void {
    for (const one of this.#waiting) one.fail(new Failure(code, message));
  }

  settle(items: readonly AnswerItem[]): void {
    if (this.#probe) this.#waiting[0]?.succeed(undefined);
    for (const item of items) {
      const waiting = this.#waiting[item.at];
      if ("answer" in item) waiting?.succeed(decode(item.answer));
      else waiting?.fail(new Failure(item.code, item.message, detailsOf(item)));
    }
  }
}

function detailsOf({ details }: { readonly details?: Uint8Array | undefined }): {
  readonly details?: unknown;
} {
  return details === undefined ? {} : { details: decode(details) };
}
