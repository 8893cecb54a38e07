/** Questions on their way in letters, and what becomes of them: answered, failed or too late, each once. */
import type { Ask } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import type { Deadline } from "./deadlines.ts";
import type { AnswerItem, QuestionItem } from "./letter.ts";
import { decode } from "./wire.ts";

/** One question that waits; settles once. */
export class Waiting {
  readonly item: QuestionItem;
  readonly #settle: {
    readonly resolve: (answer: unknown) => void;
    readonly reject: (failure: Failure) => void;
  };
  readonly #whenDone: (() => void)[];
  #deadline: Deadline | null = null;
  #done = false;

  constructor(
    item: QuestionItem,
    settle: {
      readonly resolve: (answer: unknown) => void;
      readonly reject: (failure: Failure) => void;
    },
    whenDone: () => void,
  ) {
    this.item = item;
    this.#settle = settle;
    this.#whenDone = [whenDone];
  }

  get done(): boolean {
    return this.#done;
  }

  /** Takes the deadline that fails it, to cancel it once this has settled. */
  expire(deadline: Deadline): void {
    this.#deadline = deadline;
  }

  /** Calls `listener` when this has settled. */
  whenDone(listener: () => void): void {
    this.#whenDone.push(listener);
  }

  succeed(answer: unknown): void {
    if (this.#end()) this.#settle.resolve(answer);
  }

  fail(failure: Failure): void {
    if (this.#end()) this.#settle.reject(failure);
  }

  #end(): boolean {
    if (this.#done) return false;
    this.#done = true;
    this.#deadline?.cancel();
    for (const listener of this.#whenDone) listener();
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
  }

  /** Calls `listener` when every question has settled. */
  whenDone(listener: () => void): void {
    let left = this.#waiting.length;
    for (const one of this.#waiting) {
      one.whenDone(() => {
        if (--left === 0) listener();
      });
    }
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
