/**
 * The grammar of the bus: an **ask** is a question with exactly one answerer, a **fact** is something that has happened and that
 * anybody may follow. Everything plugins say to each other is one of the two, declared in this folder, with a schema.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import * as v from "valibot";
import { bytes, uint } from "./bytes.ts";
import type { FailureCode } from "./failure.ts";

/** Any schema library that speaks Standard Schema; we use valibot. */
export type Schema = StandardSchemaV1;

/** What the sender must supply for `S`. */
export type In<S extends Schema> = StandardSchemaV1.InferInput<S>;

/** What the receiver gets once `S` has accepted it. */
export type Out<S extends Schema> = StandardSchemaV1.InferOutput<S>;

/** A question with exactly one answerer. */
export interface Ask<
  Name extends string = string,
  Question extends Schema = Schema,
  Answer extends Schema = Schema,
> {
  readonly kind: "ask";
  /** The plugin that answers. */
  readonly room: string;
  /** An imperative: `issueCertificate`. Also the export name, the handler's name and a subject token. */
  readonly name: Name;
  readonly question: Question;
  readonly answer: Answer;
  /** Every code the answerer may fail with, besides those any ask may (`malformed`, `overloaded`, `deadline-exceeded`, `internal`). */
  readonly failures: readonly FailureCode[];
  /** How long the asker waits, in milliseconds, before `deadline-exceeded`. */
  readonly deadlineMs: number;
  /**
   * Questions put by one asker in one tick travel as one message and come back as one. The answerer's handler is still called once
   * a question, all of them in one tick. Only for answerers that finish a batch together, as the vault does.
   */
  readonly batched?: boolean;
  /**
   * Of a batched ask: its answers wait for something else than the answerer's work. So each leaves as soon as it is there, without those
   * that came with it, and how many questions wait says nothing about how busy the answerer is.
   */
  readonly held?: boolean;
}

/** Something that has happened. Anybody may follow it; nobody can refuse it. */
export interface Fact<Name extends string = string, Body extends Schema = Schema> {
  readonly kind: "fact";
  /** The plugin that emits it, and in whose store it is a row. */
  readonly room: string;
  /** A past tense: `certificateIssued`. */
  readonly name: Name;
  readonly body: Body;
}

/** What an asker supplies. */
export type QuestionOf<A extends Ask> = In<A["question"]>;
/** What an asker gets. */
export type AnswerOf<A extends Ask> = Out<A["answer"]>;
/** What an emitter supplies. */
export type BodyOf<F extends Fact> = In<F["body"]>;

/** Declares an ask. Only `events/` does this. */
export function ask<const Name extends string, Question extends Schema, Answer extends Schema>(
  room: string,
  name: Name,
  terms: Omit<Ask<Name, Question, Answer>, "kind" | "room" | "name">,
): Ask<Name, Question, Answer> {
  return { kind: "ask", room, name, ...terms };
}

/** Declares a fact. Only `events/` does this. */
export function fact<const Name extends string, Body extends Schema>(
  room: string,
  name: Name,
  body: Body,
): Fact<Name, Body> {
  return { kind: "fact", room, name, body };
}

const factsQuestion = v.strictObject({
  /** A partition of the room's store that emits: a log's name, or `main`. */
  stream: v.string(),
  /** The last sequence number the follower has handled; 0 for none. */
  after: uint,
  limit: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1024)),
});

const factsAnswer = v.strictObject({
  facts: v.array(v.strictObject({ sequence: uint, name: v.string(), body: bytes })),
  /** Streams the room has begun since it started, which its configuration did not name then; absent if there are none. */
  begun: v.optional(v.pipe(v.array(v.pipe(v.string(), v.maxLength(64))), v.maxLength(1_024))),
});

/** The ask by which followers pull a room's facts. The kernel offers it for every room that emits. */
export function factsAfter(room: string) {
  return ask(room, "factsAfter", {
    question: factsQuestion,
    answer: factsAnswer,
    failures: [],
    deadlineMs: 5_000,
  });
}

/** The ask by which the door learns a room's health. The kernel offers it for every room. */
export function reportHealth(room: string) {
  return ask(room, "reportHealth", {
    question: v.strictObject({}),
    answer: v.strictObject({
      status: v.picklist(["ok", "degraded", "failed"]),
      reason: v.optional(v.string()),
      sinceMs: v.optional(uint),
    }),
    failures: [],
    deadlineMs: 2_000,
  });
}

/** One metric of a room: a family of samples, in the form in which Prometheus' client libraries hand them on. */
export const metric = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9_]{0,99}$/)),
  help: v.string(),
  type: v.picklist(["counter", "gauge", "histogram"]),
  aggregator: v.literal("sum"),
  values: v.array(
    v.strictObject({
      /** Present in histograms: with `_bucket`, `_sum` or `_count`. */
      metricName: v.optional(v.string()),
      labels: v.record(v.string(), v.union([v.string(), v.number()])),
      value: v.number(),
    }),
  ),
});

/** A {@link metric}. */
export type Metric = v.InferOutput<typeof metric>;

/** The ask by which the metrics room learns what a room counts. The kernel offers it for every room. */
export function reportMetrics(room: string) {
  return ask(room, "reportMetrics", {
    question: v.strictObject({}),
    answer: v.strictObject({ metrics: v.array(metric) }),
    failures: [],
    deadlineMs: 2_000,
  });
}
