/**
 * The bus between processes, over NATS (client protocol 1, core messaging only: JetStream holds nothing). Every plugin has its own
 * connection and nkey, so that the server's permissions are the plugin's. The only file that speaks to the client library.
 */
import {
  connect,
  type Msg,
  type NatsConnection,
  nkeyAuthenticator,
  PermissionViolationError,
} from "@nats-io/transport-node";
import { type Ask } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import { inboxPrefix, startedSubject, wakeSubject } from "./acl.ts";
import { Answering } from "./answering.ts";
import { Asker } from "./asker.ts";
import { askKey, type Bus } from "./bus.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Journal } from "./journal.ts";
import type { Line } from "./line.ts";
import type { PairKeys } from "./seals.ts";
import { maxMessageBytes } from "./wire.ts";

/** Who is connected where. */
export interface NatsBusOptions {
  readonly servers: readonly string[];
  /** The plugins of this process, each with the seed of its nkey (SU…). */
  readonly plugins: readonly { readonly name: string; readonly seed: Uint8Array }[];
  readonly pairKeys: PairKeys;
  readonly journal: (plugin: string) => Journal;
  readonly clock?: Clock;
  /** False for rooms of which others may be answering elsewhere, and go on when this process begins. By default every room replaces. */
  readonly replaces?: (room: string) => boolean;
  /** How long the first connection may take; afterwards it is restored for ever. */
  readonly connectWithinMs?: number;
}

/**
 * Connects every plugin.
 *
 * @throws if the server cannot be reached in time or refuses an nkey.
 */
export async function natsBus(options: NatsBusOptions): Promise<Bus> {
  const { pairKeys, journal, clock = systemClock, replaces = () => true } = options;
  await using opening = new AsyncDisposableStack();
  const seats = new Map<string, Seat>();
  await Promise.all(
    options.plugins.map(async ({ name, seed }) => {
      const line = opening.use(await openLine(name, seed, options));
      const shared = { line, pairKeys, clock, journal: journal(name) };
      const asker = new Asker({ name, ...shared });
      seats.set(name, { line, asker, answering: new Answering(shared) });
    }),
  );
  const lines = opening.move();
  const seatOf = (name: string): Seat => {
    const seat = seats.get(name);
    if (!seat) throw new Failure("internal", `"${name}" has no connection in this process`);
    return seat;
  };

  return {
    ask(ask, question, stamp, read) {
      try {
        return seatOf(stamp.from).asker.ask(ask, question, stamp, read);
      } catch (thrown) {
        return Promise.reject(thrown instanceof Error ? thrown : Failure.from(thrown));
      }
    },
    async awaitAnswerer(ask, asker, withinMs) {
      await poll(ask, withinMs, async (leftMs) => await seatOf(asker).asker.probe(ask, leftMs));
    },
    answer(ask, answerer) {
      const { line, answering } = seatOf(ask.room);
      // What was asked of the room until now went to a process that is gone, or whose turn is over.
      const isFirst = answering.begin();
      if (isFirst && replaces(ask.room)) line.publish(startedSubject(ask.room), new Uint8Array());
      answering.answer(ask, answerer);
    },
    wake(room) {
      const { line } = seatOf(room);
      if (line.connected()) line.publish(wakeSubject(room), new Uint8Array());
    },
    onWake(room, follower, listener) {
      seatOf(follower).line.subscribe(wakeSubject(room), undefined, listener);
    },
    async ready() {
      await Promise.all([...seats.values()].map(async ({ line }) => await line.flush()));
    },
    async drain(withinMs) {
      await Promise.all(
        [...seats.values()].map(async (seat) => await seat.answering.drain(withinMs)),
      );
    },
    async [Symbol.asyncDispose]() {
      await lines.disposeAsync();
    },
  };
}

interface Seat {
  readonly line: Line;
  readonly asker: Asker;
  readonly answering: Answering;
}

/** Waits until a probe succeeds. Only "nobody answers" is tried again. */
async function poll(
  ask: Ask,
  withinMs: number,
  probe: (leftMs: number) => Promise<void>,
): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  // One after the other: this is a wait, not work.
  for (;;) {
    try {
      await probe(probeMs);
      return;
    } catch (thrown) {
      const { retry, message } = Failure.from(thrown);
      if (!retry) throw thrown;
      if (performance.now() > giveUpAt) {
        throw new Failure("overloaded", `${askKey(ask)} is not there: ${message}`, {
          cause: thrown,
        });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, probePauseMs));
  }
}

const probeMs = 1_000;
const probePauseMs = 50;
const reconnectMs = 250;
const pingMs = 5_000;
const drainMs = 2_000;

async function openLine(
  name: string,
  seed: Uint8Array,
  { servers, connectWithinMs = 30_000, journal }: NatsBusOptions,
): Promise<Line> {
  const connection = await connectPatiently(name, seed, [...servers], connectWithinMs);
  const line = new NatsLine(name, connection);
  void line.watch(journal(name));
  return line;
}

async function connectPatiently(
  name: string,
  seed: Uint8Array,
  servers: string[],
  withinMs: number,
): Promise<NatsConnection> {
  const giveUpAt = performance.now() + withinMs;
  for (;;) {
    try {
      return await connect({
        servers,
        name: `chancery-${name}`,
        authenticator: nkeyAuthenticator(seed),
        inboxPrefix: inboxPrefix(name),
        maxReconnectAttempts: -1,
        reconnectTimeWait: reconnectMs,
        reconnectJitter: reconnectMs,
        reconnectJitterTLS: reconnectMs,
        // A key that is refused for a moment, while the server reloads, must not end the line for ever.
        ignoreAuthErrorAbort: true,
        ignoreClusterUpdates: true,
        pingInterval: pingMs,
        maxPingOut: 2,
        timeout: pingMs,
        noAsyncTraces: true,
      });
    } catch (cause) {
      if (performance.now() > giveUpAt) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`"${name}" cannot connect to NATS at ${servers.join(", ")}: ${reason}`, {
          cause,
        });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, probePauseMs));
  }
}

/** A {@link Line} on a client connection. */
class NatsLine implements Line {
  readonly name: string;
  readonly #connection: NatsConnection;
  readonly #refused = new Set<(subject: string) => void>();
  readonly #back = new Set<() => void>();
  #connected = true;

  constructor(name: string, connection: NatsConnection) {
    this.name = name;
    this.#connection = connection;
  }

  connected(): boolean {
    return this.#connected;
  }

  maxBytes(): number {
    return Math.min(maxMessageBytes, this.#connection.info?.max_payload ?? maxMessageBytes);
  }

  publish(subject: string, data: Uint8Array, reply?: string): void {
    if (this.#connection.isClosed()) return;
    this.#connection.publish(subject, data, reply === undefined ? {} : { reply });
  }

  subscribe(
    subject: string,
    group: string | undefined,
    listener: (message: {
      subject: string;
      data: Uint8Array;
      reply: string;
      nobodyAnswers: boolean;
    }) => void,
  ): () => Promise<void> {
    const subscription = this.#connection.subscribe(subject, {
      ...(group !== undefined && { queue: group }),
      callback: (error: Error | null, message: Msg) => {
        // Errors of a subscription also arrive as a status and are journalled there.
        if (error) return;
        const nobodyAnswers = message.data.length === 0 && message.headers?.code === 503;
        listener({
          subject: message.subject,
          data: message.data,
          reply: message.reply ?? "",
          nobodyAnswers,
        });
      },
    });
    return async () => {
      if (subscription.isClosed() || !this.#connected) return;
      await Promise.race([
        subscription.drain(),
        new Promise((resolve) => setTimeout(resolve, drainMs)),
      ]);
    };
  }

  onRefused(listener: (subject: string) => void): void {
    this.#refused.add(listener);
  }

  onBack(listener: () => void): void {
    this.#back.add(listener);
  }

  async flush(): Promise<void> {
    await this.#connection.flush();
  }

  /** Follows the connection's fate until it is closed. */
  async watch(journal: Journal): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === "disconnect") {
        this.#connected = false;
        journal.warn("bus-disconnected");
      } else if (status.type === "reconnect") {
        this.#connected = true;
        journal.info("bus-reconnected");
        for (const listener of this.#back) listener();
      } else if (status.type === "error") {
        const { error } = status;
        journal.error("bus-error", { reason: error.message });
        if (error instanceof PermissionViolationError && error.operation === "publish") {
          for (const listener of this.#refused) listener(error.subject);
        }
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#connected && !this.#connection.isClosed()) {
      await Promise.race([
        this.#connection.flush(),
        new Promise((resolve) => setTimeout(resolve, drainMs)),
      ]);
    }
    await this.#connection.close();
  }
}
