/** The bus inside one process: for plugins placed together, and for tests. */
import { randomUUID } from "node:crypto";
import type { Ask } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import { type Answerer, askKey, type Bus, type Stamp } from "./bus.ts";
import { type Clock, systemClock } from "./clock.ts";
import { createDeadlines } from "./deadlines.ts";
import { inTime, InFlight } from "./waiting.ts";
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
  const carry = (value: unknown): unknown => (overWire ? decode(encode(value)) : value);

  const put = async (ask: Ask, question: unknown, stamp: Stamp): Promise<unknown> => {
    const answerer = answerers.get(askKey(ask));
    if (!answerer) throw nobody(ask);
    const { from, trace, deadlineAtMs } = stamp;
    inFlight.enter();
    try {
      const envelope = { id: nextId(), from, trace, deadlineAtMs };
      return carry(await answerer(carry(question), envelope));
    } catch (thrown) {
      const { code, message, details } = Failure.from(thrown);
      // oxlint-disable-next-line eslint/preserve-caught-error -- a cause never leaves the answerer
      throw new Failure(code, message, { details: carry(details) });
    } finally {
      inFlight.leave();
    }
  };

  return {
    ask(ask, question, stamp) {
      const remainingMs = stamp.deadlineAtMs - clock.now().getTime();
      return inTime({ deadlines, remainingMs, ask }, () => put(ask, question, stamp));
    },
    async awaitAnswerer(ask, _asker, withinMs) {
      const giveUpAt = performance.now() + withinMs;
      while (!answerers.has(askKey(ask))) {
        if (performance.now() > giveUpAt) throw nobody(ask);
        await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
      }
    },
    answer(ask, answerer) {
      answerers.set(askKey(ask), answerer);
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

/** Ids of one bus: chance once, then counted, because every ask takes one. */
function idsOf(bus: string): () => string {
  let count = 0;
  return () => `${bus}-${count++}`;
}

function nobody(ask: Ask): Failure {
  return new Failure("overloaded", `nobody answers ${askKey(ask)} at the moment`);
}
