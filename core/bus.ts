/**
 * How asks and wake-ups travel. `memory.ts` carries them inside one process, `nats.ts` between processes, and `composite.ts` picks the
 * shorter way. One contract suite runs over all three.
 */
import type { Ask } from "../events/contract.ts";
import type { Envelope } from "./plugin.ts";

/** What the asker's side puts on every question. */
export interface Stamp {
  /** The plugin that asks. */
  readonly from: string;
  /** W3C traceparent of this hop. */
  readonly trace: string;
  /** When the asker stops waiting, milliseconds since the epoch. */
  readonly deadlineAtMs: number;
}

/** Answers one question; whatever it throws reaches the asker as a {@link Failure}'s code, message and details. */
export type Answerer = (question: unknown, envelope: Envelope) => Promise<unknown>;

/** What the asker makes of an answer. */
export type ReadAnswer = (answer: unknown) => unknown;

/**
 * Carries messages and checks nothing in them: the kernel validates on both ends.
 *
 * The implementer guarantees that an ask settles by its deadline, that it is put at most once (the bus never retries), that nobody
 * answering is a `overloaded` failure at once and not a wait, that of a failure only code, message and details travel, and that questions of
 * a `batched` ask that arrive together are handed to the answerer in one tick. Wake-ups are hints: any of them may be lost.
 */
export interface Bus extends AsyncDisposable {
  /**
   * Puts an ask. What comes back goes through `read`, which may refuse it by throwing: a promise of the asker's own behind this one would
   * be kept as long as the ask is under way.
   *
   * @throws {Failure}
   */
  ask(ask: Ask, question: unknown, stamp: Stamp, read?: ReadAnswer): Promise<unknown>;
  /** Resolves once somebody answers the ask. @throws {Failure} `overloaded` if nobody does within the time. */
  awaitAnswerer(ask: Ask, asker: string, withinMs: number): Promise<void>;
  /** Registers the one answerer of an ask. */
  answer(ask: Ask, answerer: Answerer): void;
  /** Tells the followers of `room` that facts exist. */
  wake(room: string): void;
  /** Calls `listener` when `room` has facts for the plugin `follower`. */
  onWake(room: string, follower: string, listener: () => void): void;
  /** Resolves once everything registered so far is in effect. */
  ready(): Promise<void>;
  /** Takes no more questions from other processes and waits, at most `withinMs`, for those being answered. */
  drain(withinMs: number): Promise<void>;
}

/** An ask's key in tables: two declarations of the same ask are the same ask. */
export const askKey = (ask: Ask): string => `${ask.room}.${ask.name}`;
