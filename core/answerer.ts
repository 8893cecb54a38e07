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
  const { ask, answerer, tracing, meter } = answering;
  // No asynchronous function: it would be kept, with all that it has touched, as long as its handler is under way.
  return (question, envelope) => {
    const startedAt = performance.now();
    const part = tracing.part(envelope);
    const fail = (thrown: unknown): never => {
      part.end();
      throw failureOf(thrown, answering, { envelope, startedAt });
    };
    try {
      const accepted = accepting(answering, question, envelope);
      const answered =
        accepted instanceof Promise
          ? accepted.then((later) => part.run(answerer, later, envelope))
          : Promise.resolve(part.run(answerer, accepted, envelope));
      return answered.then((answer) => {
        part.end();
        meter?.observe(ask.name, "ok", secondsSince(startedAt));
        return answer;
      }, fail);
    } catch (thrown) {
      part.end();
      return Promise.reject(failureOf(thrown, answering, { envelope, startedAt }));
    }
  };
}

/** What the asker is told of what was thrown; counted, and told here too where it is our own fault. */
function failureOf(
  thrown: unknown,
  { ask, journal, meter }: Answering,
  { envelope, startedAt }: { readonly envelope: Envelope; readonly startedAt: number },
): Failure {
  const failure = Failure.from(thrown).within(ask.failures);
  meter?.observe(ask.name, failure.code, secondsSince(startedAt));
  if (failure.code === "internal") {
    const { id, trace, from } = envelope;
    const cause = failure.cause ?? failure;
    journal.error("ask-failed", { ask: ask.name, id, trace, from, cause });
  }
  return failure;
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
