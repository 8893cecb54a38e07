/**
 * Facts travel by being asked for. The emitter answers `factsAfter` from the stream its commits wrote; a follower keeps a cursor per
 * stream in its own store and moves it only after its handler is done, so facts arrive in order and at least once whatever crashes.
 * While it follows it knows the cursor by heart, and stores it once a second: what a crash makes it forget comes again.
 */
import { type Ask, type Fact, factsAfter } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import type { Answerer, Bus } from "./bus.ts";
import { accept } from "./check.ts";
import type { Clock } from "./clock.ts";
import { encodeUtf8, uintBytes, uintFrom } from "./formats/encoding.ts";
import type { Journal } from "./journal.ts";
import type { Envelope, Health } from "./plugin.ts";
import { cursorTable, factStream, type OwnStores } from "./stores.ts";
import { MissingPartition, type Partition } from "./storage.ts";
import type { Tracing } from "./trace.ts";
import { pause } from "./waiting.ts";
import { decode } from "./wire.ts";

/** Answers `factsAfter` for a room from its own stores. */
export function answerFacts(stores: OwnStores): Answerer {
  return async (question) => {
    // The kernel has held the question against its schema.
    const { stream, after, limit } = question as FactsQuestion;
    const partition = await openStream(stores, stream);
    const facts = [];
    let sizeBytes = 0;
    for (const { sequence, value } of await partition.read(factStream, after, limit)) {
      // Written by this kernel's own `commit`.
      const { name, body } = decode(value) as { readonly name: string; readonly body: Uint8Array };
      facts.push({ sequence, name, body });
      sizeBytes += value.length;
      if (sizeBytes > answerBytes) break;
    }
    const begun = stores.begun();
    return { facts, ...(begun.length > 0 && { begun: [...begun] }) };
  };
}

/** What following needs. */
export interface Following {
  /** The room whose facts are followed, and its streams. */
  readonly room: string;
  readonly streams: readonly string[];
  readonly facts: readonly Fact[];
  /** The follower's name, stores and handlers by fact name. */
  readonly follower: string;
  readonly stores: OwnStores;
  readonly handlers: { readonly [name: string]: Reaction };
  /** Makes durable what the handlers have taken; `Running.settle` says how. */
  readonly settle?: (() => Promise<void>) | undefined;
  readonly ask: (ask: Ask, question: unknown) => Promise<unknown>;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly tracing: Tracing;
  /** A follower looks for facts this often even if no wake-up arrives. */
  readonly pollMs: number;
  readonly signal: AbortSignal;
}

/** Handles one fact; must be idempotent. */
type Reaction = (
  body: unknown,
  envelope: Envelope & { readonly sequence: bigint; readonly stream: string },
) => Promise<void>;

/** Follows every stream of one room until the signal aborts. */
export function followRoom(following: Following): {
  /** `ok`, or why facts are not being handled. */
  readonly health: () => Health;
  /** Settles after the signal, when no handler runs any more. */
  readonly done: Promise<void>;
} {
  const { room, follower, bus, streams } = following;
  const followed = new Set<string>();
  const loops: ReturnType<typeof streamLoop>[] = [];
  const begin = (more: readonly string[]): void => {
    for (const stream of more) {
      if (followed.has(stream) || following.signal.aborted) continue;
      followed.add(stream);
      loops.push(streamLoop(following, stream, begin));
    }
  };
  begin(streams);
  bus.onWake(room, follower, () => {
    for (const { wake } of loops) wake();
  });
  return {
    health: () => loops.map(({ health }) => health()).find(({ status }) => status !== "ok") ?? fine,
    done: allDone(loops),
  };
}

type FactsQuestion = { readonly stream: string; readonly after: bigint; readonly limit: number };
type FactRow = { readonly sequence: bigint; readonly name: string; readonly body: Uint8Array };

/** Well below what a message may hold, so that the row that crosses it still fits. */
const answerBytes = 1024 * 1024;
const pullLimit = 256;
/**
 * Facts that come one at a time are pulled together: each pull costs as much as many facts, and so does what the follower then makes
 * durable. They wait in their emitter's store, not in memory. The first after a pause is pulled at once.
 */
const pullEveryMs = 250;
const backOff = { firstMs: 100, mostMs: 5_000 };
const fine: Health = { status: "ok" };
/** How long a cursor that has moved is not stored: each time costs the disk as much as what was followed. */
const storeEveryMs = 1_000;

async function openStream(stores: OwnStores, stream: string): Promise<Partition> {
  try {
    return await stores.partition(stream);
  } catch (thrown) {
    if (!(thrown instanceof MissingPartition)) throw thrown;
    throw new Failure("malformed", `there is no stream "${stream}"`, { cause: thrown });
  }
}

/** Also of those that are begun meanwhile. */
async function allDone(loops: readonly { readonly done: Promise<void> }[]): Promise<void> {
  for (let at = 0; at < loops.length; at++) await loops[at]?.done;
}

/** Told of streams that the room has begun while it runs. */
type Begin = (streams: readonly string[]) => void;

function streamLoop(following: Following, stream: string, begin: Begin) {
  const { follower, room, journal, signal, pollMs, clock } = following;
  let health: Health = fine;
  let failingSince: Date | null = null;
  let woken = new AbortController();
  const cursor = new Cursor(following, stream);

  const run = async (): Promise<void> => {
    let backOffMs = backOff.firstMs;
    // One stream's facts are handled one after the other: their order is the point.
    while (!signal.aborted) {
      woken = new AbortController();
      try {
        const pulledMs = performance.now();
        const more = await pull(following, stream, { begin, cursor });
        await cursor.storeIfDue();
        health = fine;
        failingSince = null;
        backOffMs = backOff.firstMs;
        const idleMs = Math.min(pollMs, cursor.dueInMs());
        if (more === "none") await pause(idleMs, AbortSignal.any([woken.signal, signal]));
        const earlyMs = pulledMs + pullEveryMs - performance.now();
        if (more !== "full" && earlyMs > 0) await pause(earlyMs, signal);
      } catch (thrown) {
        const { code, message, cause, retry: passing } = Failure.from(thrown);
        failingSince ??= clock.now();
        // An emitter that is starting or restarting is no illness of its follower until it lasts.
        const lasts = clock.now().getTime() - failingSince.getTime() >= 2 * pollMs;
        const fields = { follower, room, stream, code, message, cause };
        journal.warn("facts-delayed", fields);
        if (health.status === "ok" && (lasts || !passing)) {
          const reason = `cannot handle the facts of "${room}": ${code}`;
          health = { status: "degraded", reason, since: failingSince };
        }
        await pause(backOffMs, signal);
        backOffMs = Math.min(backOffMs * 2, backOff.mostMs);
      }
    }
    // If it cannot be stored any more, some facts come again.
    await cursor.store().catch(() => undefined);
  };
  // Each word of it makes an exception, also one that comes when it has been said.
  const wake = (): void => {
    if (!woken.signal.aborted) woken.abort();
  };
  return { wake, health: () => health, done: run() };
}

/** The last fact of a stream that has been handled. */
class Cursor {
  readonly #stores: OwnStores;
  readonly #key: Uint8Array;
  /** Null until the stored one has been read. */
  #at: bigint | null = null;
  #stored = 0n;
  #storedMs = performance.now();

  constructor({ room, stores }: Following, stream: string) {
    this.#stores = stores;
    this.#key = encodeUtf8(`${room}/${stream}`);
  }

  async at(): Promise<bigint> {
    if (this.#at !== null) return this.#at;
    const own = await this.#stores.partition();
    this.#stored = uintFrom((await own.get(cursorTable, this.#key)) ?? new Uint8Array(8));
    this.#at = this.#stored;
    return this.#at;
  }

  /** What lies before must not come again, unless this process dies. */
  move(to: bigint): void {
    this.#at = to;
  }

  /** Milliseconds until it should be stored; infinite if it is. */
  dueInMs(): number {
    if (this.#at === null || this.#at === this.#stored) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#storedMs + storeEveryMs - performance.now());
  }

  async storeIfDue(): Promise<void> {
    if (this.dueInMs() === 0) await this.store();
  }

  async store(): Promise<void> {
    const at = this.#at;
    if (at === null || at === this.#stored) return;
    const own = await this.#stores.partition();
    await own.commit({
      writes: [{ table: cursorTable, key: this.#key, value: uintBytes(at, 8) }],
    });
    this.#stored = at;
    this.#storedMs = performance.now();
  }
}

/** Handles what there is, up to a limit, and says how much that was. */
async function pull(
  following: Following,
  stream: string,
  { begin, cursor: kept }: { readonly begin: Begin; readonly cursor: Cursor },
): Promise<"none" | "some" | "full"> {
  const { room, ask, signal } = following;
  const before = await kept.at();
  const answer = await ask(factsAfter(room), { stream, after: before, limit: pullLimit });
  // The ask has held the answer against its schema.
  const { facts, begun = [] } = answer as {
    readonly facts: readonly FactRow[];
    readonly begun?: readonly string[];
  };
  begin(begun);
  let cursor = before;
  try {
    for (const row of facts) {
      if (signal.aborted) break;
      if (row.sequence !== cursor + 1n) {
        throw new Failure("internal", `fact ${cursor + 1n} is missing, ${row.sequence} came`);
      }
      await react(following, stream, row);
      cursor = row.sequence;
    }
  } finally {
    // Also after a failure: what has been handled need not come again. A crash before the cursor is stored repeats it.
    if (cursor > before) {
      await following.settle?.();
      kept.move(cursor);
    }
  }
  if (facts.length === 0) return "none";
  // An answer is also cut when its facts together are large.
  const sizeBytes = facts.reduce((sum, { body }) => sum + body.length, 0);
  return facts.length < pullLimit && sizeBytes < answerBytes / 2 ? "some" : "full";
}

async function react(following: Following, stream: string, row: FactRow): Promise<void> {
  const { room, facts, handlers, tracing, clock } = following;
  const fact = facts.find(({ name }) => name === row.name);
  const handler = handlers[row.name];
  // The room tells others more than this follower wants to know.
  if (!fact || !handler) return;
  const body = await accept(fact.body, decode(row.body), "internal");
  const id = `${room}/${stream}/${row.sequence}`;
  const { trace } = tracing.detached(() => tracing.stamp(room, 0));
  const deadlineAtMs = clock.now().getTime() + reactionMs;
  const envelope = { id, trace, from: room, deadlineAtMs, sequence: row.sequence, stream };
  await tracing.answering(envelope, async () => {
    await handler(body, envelope);
  });
}

/** How long a handler's own asks may take together. */
const reactionMs = 60_000;
