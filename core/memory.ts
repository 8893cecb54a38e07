/** The bus inside one process: for plugins placed together, and for tests. */
import { randomUUID } from "node:crypto";
import type { Ask } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import { type Answerer, askKey, type Bus } from "./bus.ts";
import { type Clock, systemClock } from "./clock.ts";
import { createDeadlines } from "./deadlines.ts";
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
  const answerers = new Map<string, Answerer>();
  const listeners = new Map<string, Set<() => void>>();
  const inFlight = new InFlight();
  const deadlines = createDeadlines();
  const nextId = idsOf(randomUUID());

  return {
    ask(ask, question, { from, trace, deadlineAtMs }) {
      const remainingMs = deadlineAtMs - clock.now().getTime();
      if (remainingMs <= 0) return Promise.reject(tooLate(ask));
      const answerer = answerers.get(askKey(ask));
      if (!answerer) return Promise.reject(nobody(ask));
      const envelope = { id: nextId(), from, trace, deadlineAtMs };
      // One promise around the answerer's, because all that a request has under way is kept until it has ended.
      return new Promise((resolve, reject) => {
        // Work that has begun is not stopped, because nobody can know how far it got.
        const deadline = deadlines.after(remainingMs, () => reject(tooLate(ask)));
        inFlight.enter();
        begin(answerer, question, envelope).then(
          (answer) => {
            deadline.cancel();
            inFlight.leave();
            resolve(answer);
          },
          (thrown: unknown) => {
            deadline.cancel();
            inFlight.leave();
            reject(withoutCause(thrown));
          },
        );
      });
    },
    async awaitAnswerer(ask, _asker, withinMs) {
      const giveUpAt = performance.now() + withinMs;
      while (!answerers.has(askKey(ask))) {
        if (performance.now() > giveUpAt) throw nobody(ask);
        await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
      }
    },
    answer(ask, answerer) {
      answerers.set(askKey(ask), overWire ? acrossWire(answerer) : answerer);
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
      answerers.clear();
      listeners.clear();
    },
  };
}

const lookAgainMs = 10;

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
