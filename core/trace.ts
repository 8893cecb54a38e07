/**
 * Which request is being served: its W3C trace (Trace Context, level 1) and the moment its asker stops waiting. Both follow the
 * asynchronous flow of a handler by themselves, so no plugin passes them on by hand.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import type { Stamp } from "./bus.ts";
import type { Clock } from "./clock.ts";
import type { Envelope } from "./plugin.ts";

/** The traces of one installation. */
export interface Tracing {
  /** What an ask made here and now carries: a new span of the current trace, and no more time than the current asker has. */
  stamp(from: string, deadlineMs: number): Stamp;
  /** Runs a handler as part of the asker's trace. */
  answering<T>(envelope: Envelope, work: () => Promise<T>): Promise<T>;
  /** A part of the asker's trace, for whoever ends it by hand: {@link answering} costs a promise more. */
  part(envelope: Envelope): Part;
  /** Runs `work` as a request from outside. */
  entering<T>(traceparent: string | undefined, work: (trace: string) => Promise<T>): Promise<T>;
  /** Runs `work` outside any request. */
  detached<T>(work: () => T): T;
}

/** A handler's part of a trace. What still runs when it has ended is nobody's request any more: the deadline does not follow it. */
export interface Part {
  /** Calls `work` with what is given, as this part. */
  run<Given extends readonly unknown[], T>(work: (...given: Given) => T, ...given: Given): T;
  end(): void;
}

/** Makes the tracing of one installation. */
export function createTracing(clock: Clock): Tracing {
  const scopes = new AsyncLocalStorage<Scope | null>();

  const ids = hexIds();
  const freshTrace = (): string => `00-${ids.next()}${ids.next()}-${ids.next()}-01`;
  /** The same trace id and flags under a new span id. */
  const nextSpan = (trace: string): string =>
    `${trace.slice(0, 36)}${ids.next()}${trace.slice(52)}`;

  const within = async <T>(scope: Scope, work: () => Promise<T>): Promise<T> => {
    try {
      return await scope.run(work);
    } finally {
      scope.end();
    }
  };

  return {
    stamp(from, deadlineMs) {
      const scope = scopes.getStore();
      const latest = clock.now().getTime() + deadlineMs;
      if (!scope?.open) return { from, trace: freshTrace(), deadlineAtMs: latest };
      return {
        from,
        trace: nextSpan(scope.trace),
        deadlineAtMs: Math.min(latest, scope.deadlineAtMs),
      };
    },
    answering: (envelope, work) => within(new Scope(scopes, envelope), work),
    part: (envelope) => new Scope(scopes, envelope),
    entering(traceparent, work) {
      const trace = isTraceparent(traceparent) ? nextSpan(traceparent) : freshTrace();
      const scope = new Scope(scopes, { trace, deadlineAtMs: Number.POSITIVE_INFINITY });
      return within(scope, () => work(trace));
    },
    detached: (work) => scopes.run(null, work),
  };
}

/** True for a version 00 traceparent with non-zero ids. */
export function isTraceparent(text: string | undefined): text is string {
  if (text === undefined) return false;
  const parts = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(text);
  return parts !== null && !/^0+$/.test(parts[1] ?? "") && !/^0+$/.test(parts[2] ?? "");
}

/** What follows the asynchronous flow of a request's part. */
class Scope implements Part {
  readonly trace: string;
  readonly deadlineAtMs: number;
  readonly #scopes: AsyncLocalStorage<Scope | null>;
  #open = true;

  constructor(
    scopes: AsyncLocalStorage<Scope | null>,
    { trace, deadlineAtMs }: Pick<Envelope, "trace" | "deadlineAtMs">,
  ) {
    this.trace = trace;
    this.deadlineAtMs = deadlineAtMs;
    this.#scopes = scopes;
  }

  get open(): boolean {
    return this.#open;
  }

  run<Given extends readonly unknown[], T>(work: (...given: Given) => T, ...given: Given): T {
    return this.#scopes.run(this, work, ...given);
  }

  end(): void {
    this.#open = false;
  }
}

const idBytes = 8;
const idsAtOnce = 256;

/** Random ids of sixteen hex digits, drawn many at once: every ask takes one. */
function hexIds(): { readonly next: () => string } {
  let drawn = Buffer.alloc(0);
  let at = 0;
  return {
    next() {
      if (at === drawn.length) {
        drawn = randomBytes(idBytes * idsAtOnce);
        at = 0;
      }
      at += idBytes;
      // Not a part of a longer text, which would keep all of that.
      return drawn.toString("hex", at - idBytes, at);
    },
  };
}
