/**
 * Which request is being served: its W3C trace (Trace Context, level 1) and the moment its asker stops waiting. Both follow the
 * asynchronous flow of a handler by themselves, so no plugin passes them on by hand.
 */
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
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
  /** A request from outside: of this trace if it is a valid traceparent, else of a fresh one. */
  entering(traceparent: string | undefined): Part;
  /** Runs `work` outside any request. */
  detached<T>(work: () => T): T;
}

/** A handler's part of a trace. What still runs when it has ended is nobody's request any more: the deadline does not follow it. */
export interface Part {
  /** The traceparent in use. */
  readonly trace: string;
  /** Calls `work` with what is given, as this part. */
  run<Given extends readonly unknown[], T>(work: (...given: Given) => T, ...given: Given): T;
  end(): void;
}

/** Makes the tracing of one installation. */
export function createTracing(clock: Clock): Tracing {
  const flow = {
    scopes: new AsyncLocalStorage<Scope>(),
    // Made outside any scope, and for ever.
    outside: new AsyncResource("tracing", { requireManualDestroy: true }),
  };

  const ids = hexIds();
  const freshTrace = (): string => `00-${ids.next()}${ids.next()}-${ids.next()}-01`;
  /** The same trace id and flags under a new span id. */
  const nextSpan = (trace: string): string =>
    `${trace.slice(0, 36)}${ids.next()}${trace.slice(52)}`;

  return {
    stamp(from, deadlineMs) {
      const scope = flow.scopes.getStore();
      const latest = clock.now().getTime() + deadlineMs;
      if (!scope?.open) return { from, trace: freshTrace(), deadlineAtMs: latest };
      return {
        from,
        trace: nextSpan(scope.trace),
        deadlineAtMs: Math.min(latest, scope.deadlineAtMs),
      };
    },
    async answering(envelope, work) {
      const scope = new Scope(flow, envelope);
      try {
        return await scope.run(work);
      } finally {
        scope.end();
      }
    },
    part: (envelope) => new Scope(flow, envelope),
    entering(traceparent) {
      const trace = isTraceparent(traceparent) ? nextSpan(traceparent) : freshTrace();
      return new Scope(flow, { trace, deadlineAtMs: Number.POSITIVE_INFINITY });
    },
    detached: (work) => flow.outside.runInAsyncScope(work),
  };
}

/** By what a scope follows the asynchronous flow. */
interface Flow {
  readonly scopes: AsyncLocalStorage<Scope>;
  readonly outside: AsyncResource;
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
  readonly #flow: Flow;
  #open = true;

  constructor(flow: Flow, { trace, deadlineAtMs }: Pick<Envelope, "trace" | "deadlineAtMs">) {
    this.trace = trace;
    this.deadlineAtMs = deadlineAtMs;
    this.#flow = flow;
  }

  get open(): boolean {
    return this.#open;
  }

  /**
   * What Node keeps for a flow is a table, which `AsyncLocalStorage.run` copies twice: for `work`, and again for whoever called. From
   * outside it begins with an empty one, and the caller's own is put back. (True of the tables that Node has used since version 24, and not
   * of what `--no-async-context-frame` brings back.)
   */
  run<Given extends readonly unknown[], T>(work: (...given: Given) => T, ...given: Given): T {
    const { scopes, outside } = this.#flow;
    return outside.runInAsyncScope(() => {
      scopes.enterWith(this);
      return work(...given);
    });
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
