/**
 * Refusals of requests for certificates, and of sign-ins, that the door gave by itself: no room has heard of them, and the issuer is told once a second,
 * in bounded memory, so that they are on record too (by reason and network) and nobody pays for it who sends no garbage.
 */
import { Failure } from "../../events/failure.ts";
import { countRefusals, type RefusalCount } from "../../events/issuer.ts";
import { fulcioFamily, oauthFamily } from "./families.ts";
import type { Put, Route } from "./route.ts";

/** Takes down refusals. */
export interface Refusals {
  /** What a route's handler threw; what came from a room is on record there. */
  note(route: Pick<Route, "family" | "body">, failure: Failure, network: string): void;
  /** A request that there was no room for, or that came too early, before anything of it was read. */
  shed(route: Pick<Route, "family">, status: 429 | 503, network: string): void;
  /** Tells what has not been told yet. */
  flush(): Promise<void>;
}

interface Refused extends Pick<RefusalCount, "code" | "reason" | "network"> {
  readonly oidcIssuer?: string | undefined;
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
  const count = ({ code, reason: text, network, oidcIssuer }: Refused): void => {
    const secondMs = BigInt(Math.floor(nowMs() / 1_000)) * 1_000n;
    const full = counts.size >= maxKinds;
    const reason = full ? "*" : text.slice(0, 256).toWellFormed();
    const issuer = oidcIssuer === undefined ? {} : { oidcIssuer: full ? "*" : oidcIssuer };
    const kind = { code, reason, network: full ? "*" : network, ...issuer };
    const key = JSON.stringify([kind, Number(secondMs)]);
    counts.set(key, { ...kind, secondMs, count: (counts.get(key)?.count ?? 0) + 1 });
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
        if (!isRecorded(family) || body === undefined || fromRooms.has(failure)) return;
        const { oidcIssuer } = (failure.details ?? {}) as { readonly oidcIssuer?: string }; // the door's own
        count({ code: failure.code, reason: failure.message, network, oidcIssuer });
      },
      shed({ family }, status, network) {
        if (!isRecorded(family)) return;
        const code = status === 429 ? "rate-limited" : "overloaded";
        const reason =
          family === oauthFamily ? "there was no room to sign in" : "there was no room";
        count({ code, reason, network });
      },
      flush,
    },
    put: (what, question) =>
      ask(what, question).catch((thrown: unknown) => {
        if (thrown instanceof Failure) fromRooms.add(thrown);
        throw thrown;
      }),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** Whether refusals in these words are decisions that the trail keeps. */
function isRecorded(family: Route["family"]): boolean {
  return family === fulcioFamily || family === oauthFamily;
}
