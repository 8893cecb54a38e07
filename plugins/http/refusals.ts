/**
 * Refusals of requests for certificates that the door gave by itself: no room has heard of them, and the issuer is told once a second,
 * in bounded memory, so that they are on record too (by reason and network) and nobody pays for it who sends no garbage.
 */
import { Failure } from "../../events/failure.ts";
import { countRefusals, type RefusalCount } from "../../events/issuer.ts";
import { fulcioFamily } from "./families.ts";
import type { Put, Route } from "./route.ts";

/** Takes down refusals. */
export interface Refusals {
  /** What a route's handler threw; what came from a room is on record there. */
  note(route: Pick<Route, "family" | "body">, failure: Failure, network: string): void;
  /** Tells what has not been told yet. */
  flush(): Promise<void>;
}

/** Kinds told apart within a second. */
const maxKinds = 256;
const everyMs = 1_000;

/** `putting` gives what rooms throw: it must be what routes put their asks with. */
export function createRefusals(
  ask: Put,
  detached: <T>(work: () => T) => T,
  nowMs: () => number,
): { readonly refusals: Refusals; readonly put: Put } & Disposable {
  const fromRooms = new WeakSet<object>();
  let counts = new Map<string, RefusalCount>();
  let telling: Promise<void> = Promise.resolve();

  const tell = async (): Promise<void> => {
    if (counts.size === 0) return;
    const refusals = [...counts.values()];
    counts = new Map();
    // An issuer that cannot be told refuses everybody, and says so elsewhere.
    await detached(async () => await ask(countRefusals, { refusals }).catch(() => undefined));
  };
  const flush = async (): Promise<void> => {
    telling = telling.then(tell);
    await telling;
  };
  const timer = setInterval(() => void flush(), everyMs);
  timer.unref();

  return {
    refusals: {
      note({ family, body }, failure, network) {
        if (family !== fulcioFamily || body === undefined || fromRooms.has(failure)) return;
        const secondMs = BigInt(Math.floor(nowMs() / 1_000)) * 1_000n;
        const { code, message } = failure;
        const reason = message.slice(0, 256).toWellFormed();
        const full = counts.size >= maxKinds;
        const kind = { code, reason: full ? "*" : reason, network: full ? "*" : network };
        const key = JSON.stringify(kind);
        const count = (counts.get(key)?.count ?? 0) + 1;
        counts.set(key, { ...kind, secondMs, count });
      },
      flush,
    },
    put: async (what, question) => {
      try {
        return await ask(what, question);
      } catch (thrown) {
        if (thrown instanceof Failure) fromRooms.add(thrown);
        throw thrown;
      }
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
