/** What the kernel does around every handler: the question's schema before it, the trace and the meter around it, failures behind it. */
import type { Ask, Schema } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import type { Answerer } from "./bus.ts";
import { accept } from "./check.ts";
import type { Journal } from "./journal.ts";
import type { Meter } from "./meter.ts";
import type { Envelope } from "./plugin.ts";
import type { Tracing } from "./trace.ts";

/** A handler and what goes with it. */
export interface Answering {
  readonly ask: Ask;
  /** The schema of its question. */
  readonly question: Schema;
  readonly answerer: Answerer;
  readonly tracing: Tracing;
  readonly journal: Journal;
  /** Counts how asks end and how long they take; null where nobody reads that. */
  readonly meter: Meter | null;
}

/** Checks the question, runs the handler inside the asker's trace, and lets only declared failures out. */
export function answeringWith(answering: Answering): Answerer {
  const { ask, answerer, tracing, journal, meter } = answering;
  return async (question, envelope) => {
    const startedAt = performance.now();
    const part = tracing.part(envelope);
    try {
      const checked = accepting(answering, question, envelope);
      const accepted = checked instanceof Promise ? await checked : checked;
      const answer = await part.run(answerer, accepted, envelope);
      meter?.observe(ask.name, "ok", secondsSince(startedAt));
      return answer;
    } catch (thrown) {
      const failure = Failure.from(thrown).within(ask.failures);
      meter?.observe(ask.name, failure.code, secondsSince(startedAt));
      if (failure.code === "internal") {
        const { id, trace, from } = envelope;
        const cause = failure.cause ?? failure;
        journal.error("ask-failed", { ask: ask.name, id, trace, from, cause });
      }
      throw failure;
    } finally {
      part.end();
    }
  };
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1_000;
}

/** The question as its schema gives it. One that is not is refused before the plugin could write it down, so it is told here. */
function accepting(
  { ask, question: schema, journal }: Answering,
  question: unknown,
  { id, trace, from }: Envelope,
): unknown {
  try {
    return accept(schema, question, "malformed");
  } catch (thrown) {
    // Not what is wrong with it: that may quote a secret.
    journal.warn("ask-malformed", { ask: ask.name, id, trace, from });
    throw thrown;
  }
}
