/** The logs of this process by name: those that run, those that wait for their predecessor to end, and how one takes over. */
import { setTimeout as sleep } from "node:timers/promises";
import type { SteadyClock } from "../../core/clock.ts";
import type { Envelope } from "../../core/plugin.ts";
import { MissingPartition } from "../../core/storage.ts";
import { Failure } from "../../events/failure.ts";
import { lastSigned } from "../../events/hsm.ts";
import type { AnswerOf, QuestionOf } from "../../events/contract.ts";
import type { appendEntry, listLogs, LogPhase, retireLog, rollLog } from "../../events/log.ts";
import { Log } from "./log.ts";
import type { LogConfig, LogContext } from "./manifest.ts";
import type { Scrubbed } from "./scrubber.ts";
import { begin, phaseOf, requireRetirable } from "./succession.ts";

/** How long before the asker stops waiting it is told why. */
const marginMs = 250;

/** See the file's comment. */
export class Logs implements AsyncDisposable {
  readonly #context: LogContext;
  readonly #steady: SteadyClock;
  readonly #configs = new Map<string, LogConfig>();
  readonly #running = new Map<string, Log>();
  readonly #started = new AsyncDisposableStack();
  /** Logs being rolled; settles when one takes entries again, itself or by its successor. */
  readonly #rolling = new Map<string, Promise<void>>();

  private constructor(context: LogContext, steady: SteadyClock) {
    this.#context = context;
    this.#steady = steady;
  }

  /** Starts every configured log but those whose predecessor still takes entries. @throws as {@link Log.start} does */
  static async start(context: LogContext, steady: SteadyClock): Promise<Logs> {
    await using stack = new AsyncDisposableStack();
    const logs = stack.use(new Logs(context, steady));
    for (const one of context.config.logs) {
      logs.#configs.set(one.name, one);
      // Opened in any case: a partition that is missing is missing now, not when its log is to begin.
      await context.stores.open(one.name);
      const before = one.after === undefined ? undefined : logs.#running.get(one.after);
      if (one.after === undefined || before?.isFrozen === true) await logs.#begin(one);
    }
    stack.move();
    return logs;
  }

  /** The log with this name, or with `newest` the one that has taken over from it. @throws {Failure} not-found */
  find(name: string, newest = false): Log {
    return this.#at(newest ? this.#newest(name) : name);
  }

  /** Every running log with what it has stored. */
  async scrubbed(): Promise<readonly Scrubbed[]> {
    const { stores } = this.#context;
    return await Promise.all(
      [...this.#running].map(async ([name, log]) => {
        const format = this.#configs.get(name)?.format ?? "rekor-v2";
        return { name, format, log, store: await stores.open(name) };
      }),
    );
  }

  /** Every running log. */
  running(): readonly Log[] {
    return [...this.#running.values()];
  }

  /** Frozen logs whose successor is there and has not begun. */
  stuck(): readonly string[] {
    return [...this.#configs.values()].flatMap(({ name, after = "" }) => {
      const isStuck = this.#running.get(after)?.isFrozen === true && !this.#running.has(name);
      return isStuck && !this.#rolling.has(after) ? [after] : [];
    });
  }

  /** @throws {Failure} as the log does */
  async append(
    { log: named, entry, newest = false, prove }: QuestionOf<typeof appendEntry>,
    envelope: Envelope,
  ): Promise<AnswerOf<typeof appendEntry>> {
    if (!newest) return await this.#at(named).append(entry, envelope, prove);
    for (;;) {
      await this.#rolled(named, envelope);
      const name = this.#newest(named);
      try {
        const answer = await this.#at(name).append(entry, envelope, prove);
        return name === named ? answer : { ...answer, log: name };
      } catch (thrown) {
        // Frozen under our hands: its successor takes it.
        if (this.#rolling.has(name) || this.#newest(named) !== name) continue;
        const isFrozen = thrown instanceof Failure && thrown.code === "log-frozen";
        if (!isFrozen || this.#successorOf(name) === undefined) throw thrown;
        throw new Failure("log-unavailable", `the successor of log "${name}" has not begun`);
      }
    }
  }

  list(): AnswerOf<typeof listLogs>["logs"] {
    return [...this.#configs.values()].map(({ name, format, key, treeId, after }) => {
      const log = this.#running.get(name);
      const phase = this.#phaseOf(name);
      return {
        name,
        format,
        key,
        phase,
        ...(treeId !== undefined && { treeId }),
        ...(after !== undefined && { after }),
        ...(log !== undefined && { logId: log.logId }),
        firstIndex: log?.firstIndex ?? 0n,
        size: log?.head().size ?? 0n,
      };
    });
  }

  /** Retires a log that another has taken over from. @throws {Failure} operation-refused if it is not as far */
  async retire(name: string): Promise<AnswerOf<typeof retireLog>> {
    if (!this.#configs.has(name)) throw new Failure("not-found", `there is no log "${name}"`);
    if (this.#rolling.has(name)) {
      throw new Failure("log-unavailable", `log "${name}" is being rolled`);
    }
    requireRetirable(name, this.#phaseOf(name));
    return await this.#at(name).retire();
  }

  /** Freezes a log and lets another take over. @throws {Failure} and then the old log takes entries still, or the start of the new one is owed */
  async roll(
    successor: QuestionOf<typeof rollLog>,
    envelope: Envelope,
  ): Promise<AnswerOf<typeof rollLog>> {
    const { name, after } = successor;
    const before = this.#at(after);
    this.#requireSuccessor(successor);
    if (!this.#running.has(name)) {
      if (this.#rolling.has(after)) {
        throw new Failure("log-unavailable", `log "${after}" is being rolled by another ask`);
      }
      const rolled = this.#takeOver(successor, envelope);
      this.#rolling.set(
        after,
        rolled.catch(() => undefined),
      );
      try {
        await rolled;
      } finally {
        this.#rolling.delete(after);
      }
    }
    const { head, frozenAtMs } = await before.freeze(envelope);
    const { firstIndex } = this.#at(name);
    return { final: head, finalLogId: before.logId, frozenAtMs, firstIndex };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#started.disposeAsync();
  }

  /** What can be known before the old log is frozen is looked at before. */
  async #takeOver(config: LogConfig & { readonly after: string }, envelope: Envelope) {
    const { ask, stores } = this.#context;
    const { name, key, after } = config;
    await ask(lastSigned, { key });
    await stores.open(name).catch((cause: unknown) => {
      if (!(cause instanceof MissingPartition)) throw cause;
      throw new Failure("not-found", `there is no storage for a log "${name}"`, { cause });
    });
    this.#configs.set(name, config);
    await this.#at(after).freeze(envelope);
    try {
      // Killed from here on, the next start does the same.
      await this.#begin(config);
    } catch (cause) {
      const sentence = `log "${after}" is frozen and "${name}" could not begin: ask again`;
      throw new Failure("log-unavailable", sentence, { cause });
    }
  }

  async #begin(config: LogConfig): Promise<void> {
    const { ask, clock, draining, journal, stores } = this.#context;
    const { name, format, after } = config;
    const before = after === undefined ? undefined : this.#at(after);
    const firstIndex = before && String(before.firstIndex + before.head().size);
    const store = await stores.open(name);
    const own = firstIndex === undefined ? config : { ...config, firstIndex };
    const steady = this.#steady;
    await using starting = new AsyncDisposableStack();
    const surroundings = { config: own, store, ask, clock, steady, journal };
    const log = starting.use(await Log.start(surroundings, draining));
    if (before) await begin(log, before, { format, name, nowMs: clock.now().getTime() });
    this.#started.use(starting.move());
    this.#running.set(name, log);
    if (before) journal.info("log.takes-over", { log: name, after, firstIndex });
  }

  #requireSuccessor({ name, format, key, treeId, after }: QuestionOf<typeof rollLog>): void {
    const old = this.#configs.get(after);
    if (old?.format !== format || format === "rfc6962") {
      throw new Failure("malformed", "a Rekor log takes over from one of its own format");
    }
    const known = this.#configs.get(name);
    const isOther =
      known && (known.key !== key || known.treeId !== treeId || known.after !== after);
    const next = this.#successorOf(after);
    if (isOther || (next && next.name !== name)) {
      throw new Failure("malformed", `log "${after}" has another successor, or "${name}" is taken`);
    }
  }

  /** Waits while the log is rolled. @throws {Failure} when the time is over */
  async #rolled(named: string, { deadlineAtMs }: Envelope): Promise<void> {
    for (;;) {
      const rolling = this.#rolling.get(this.#newest(named));
      if (rolling === undefined) return;
      const remainingMs = deadlineAtMs - marginMs - this.#context.clock.now().getTime();
      const inTime = await Promise.race([
        rolling.then(() => true),
        sleep(Math.max(0, remainingMs), false, { ref: false }),
      ]);
      if (!inTime) throw new Failure("log-unavailable", "the log is being rolled; ask again");
    }
  }

  #phaseOf(name: string): LogPhase {
    const log = this.#running.get(name);
    const next = this.#successorOf(name);
    return phaseOf({
      hasBegun: log !== undefined,
      isFrozen: log?.isFrozen === true,
      isTakenOver: next !== undefined && this.#running.has(next.name),
      isRetired: log?.isRetired === true,
    });
  }

  #newest(named: string): string {
    for (let name = named; ;) {
      const next = this.#successorOf(name);
      if (next === undefined || !this.#running.has(next.name)) return name;
      ({ name } = next);
    }
  }

  #successorOf(name: string): LogConfig | undefined {
    return this.#configs.values().find(({ after }) => after === name);
  }

  #at(name: string): Log {
    const found = this.#running.get(name);
    if (found === undefined) throw new Failure("not-found", `there is no log "${name}"`);
    return found;
  }
}
