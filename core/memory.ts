/** The bus inside one process: for plugins placed together, and for tests. */
import { randomUUID } from "node:crypto";
import type { Ask } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import { type Answerer, askKey, type Bus, type ReadAnswer } from "./bus.ts";
import { type Clock, systemClock } from "./clock.ts";
import { createDeadlines, type Deadline, type Deadlines } from "./deadlines.ts";
import type { Envelope } from "./plugin.ts";
import { InFlight, tooLate } from "./waiting.ts";
import { decode, encode } from "./wire.ts";

/** How a memory bus behaves. */
export interface MemoryBusOptions {
  readonly clock?: Clock;
  /** Takes every question and answer through the wire codec, so that tests see what NATS would do to them. */
  readonly overWire?: boolean;
}

/** A bus that calls answerers directly. */
export function memoryBus({ clock = systemClock, overWire = false }: MemoryBusOptions = {}): Bus {
  /** By room, then by name: no text is made for an ask. */
  const rooms = new Map<string, Map<string, Answerer>>();
  const answererOf = ({ room, name }: Ask): Answerer | undefined => rooms.get(room)?.get(name);
  const listeners = new Map<string, Set<() => void>>();
  const inFlight = new InFlight();
  const deadlines = createDeadlines();
  const nextId = idsOf(randomUUID());

  return {
    ask(ask, question, { from, trace, deadlineAtMs }, read) {
      const remainingMs = deadlineAtMs - clock.now().getTime();
      if (remainingMs <= 0) return Promise.reject(tooLate(ask));
      const answerer = answererOf(ask);
      if (!answerer) return Promise.reject(nobody(ask));
      const asked = new Asked(ask, inFlight, read);
      asked.expire(deadlines, remainingMs);
      asked.waitFor(begin(answerer, question, { id: nextId(), from, trace, deadlineAtMs }));
      return asked.answer;
    },
    async awaitAnswerer(ask, _asker, withinMs) {
      const giveUpAt = performance.now() + withinMs;
      while (answererOf(ask) === undefined) {
        if (performance.now() > giveUpAt) throw nobody(ask);
        await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
      }
    },
    answer(ask, answerer) {
      const ofRoom = rooms.get(ask.room) ?? new Map<string, Answerer>();
      rooms.set(ask.room, ofRoom.set(ask.name, overWire ? acrossWire(answerer) : answerer));
    },
    wake(room) {
      for (const listener of listeners.get(room) ?? []) queueMicrotask(listener);
    },
    onWake(room, _follower, listener) {
      const all = listeners.get(room) ?? new Set();
      listeners.set(room, all.add(listener));
    },
    async ready() {},
    async drain(withinMs) {
      await inFlight.settled(withinMs);
    },
    async [Symbol.asyncDispose]() {
      rooms.clear();
      listeners.clear();
    },
  };
}

const lookAgainMs = 10;

/** A question under way. All that it holds is kept until it has ended, so it is one object and one promise around the answerer's. */
class Asked {
  readonly answer: Promise<unknown>;
  readonly #ask: Ask;
  readonly #inFlight: InFlight;
  readonly #read: ReadAnswer | undefined;
  readonly #resolve: (answer: unknown) => void;
  readonly #reject: (failure: unknown) => void;
  #deadline: Deadline | null = null;

  constructor(ask: Ask, inFlight: InFlight, read: ReadAnswer | undefined) {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.answer = promise;
    this.#ask = ask;
    this.#inFlight = inFlight;
    this.#read = read;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  waitFor(answering: Promise<unknown>): void {
    this.#inFlight.enter();
    answering.then(
      (answer) => this.#answered(answer),
      (thrown: unknown) => this.#failed(thrown),
    );
  }

  /** Work that has begun is not stopped, because nobody can know how far it got. */
  expire(deadlines: Deadlines, ms: number): void {
    this.#deadline = deadlines.after(ms, () => this.#reject(tooLate(this.#ask)));
  }

  #answered(answer: unknown): void {
    this.#leave();
    try {
      this.#resolve(this.#read === undefined ? answer : this.#read(answer));
    } catch (thrown) {
      this.#reject(thrown);
    }
  }

  #failed(thrown: unknown): void {
    this.#leave();
    this.#reject(withoutCause(thrown));
  }

  #leave(): void {
    this.#deadline?.cancel();
    this.#inFlight.leave();
  }
}

/** What an answerer throws at once is as what it rejects with. */
function begin(answerer: Answerer, question: unknown, envelope: Envelope): Promise<unknown> {
  try {
    return answerer(question, envelope);
  } catch (thrown) {
    return Promise.reject(Failure.from(thrown));
  }
}

/** What an asker hears of a failure: a cause never leaves the answerer. */
function withoutCause(thrown: unknown, carry = (details: unknown): unknown => details): Failure {
  const { code, message, details } = Failure.from(thrown);
  return new Failure(code, message, { details: carry(details) });
}

/** What goes in and what comes out is encoded and decoded. */
function acrossWire(answerer: Answerer): Answerer {
  const carry = (value: unknown): unknown => decode(encode(value));
  return async (question, envelope) => {
    try {
      return carry(await answerer(carry(question), envelope));
    } catch (thrown) {
      throw withoutCause(thrown, carry);
    }
  };
}

/** Ids of one bus: chance once, then counted, because every ask takes one. */
function idsOf(bus: string): () => string {
  let count = 0;
  return () => `${bus}-${count++}`;
}

function nobody(ask: Ask): Failure {
  return new Failure("overloaded", `nobody answers ${askKey(ask)} at the moment`);
}
