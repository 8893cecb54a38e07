/**
 * Two ways to load a service. Closed loop: so many requests under way at any time, which finds the ceiling. Open loop: requests are
 * due at fixed times whatever the service does, and a latency counts from when its request was due, so that a stall is felt by
 * everybody who would have come during it (no coordinated omission).
 */
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { Prepared, Send } from "./http.ts";

/** One run's figures; latencies in milliseconds, null where too few requests were made to know. */
export interface Load {
  readonly perSecond: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly p999: number | null;
  readonly requests: number;
  readonly errors: number;
  /** The first thing that went wrong, for whoever reads the report. */
  readonly firstError: string | null;
  /** Answers that refuse, by status. */
  readonly refused: Readonly<{ [status: string]: number }>;
  /** Answers that neither succeed nor say, as 429 or 503, when to come back; and requests without an answer. */
  readonly rude: number;
  /** Open loop: how long after the last request was due the last answer came; a backlog that grows shows here. */
  readonly tailSeconds: number | null;
  /** Open loop: requests that were on their way by the time the last was due, a second; less than was due if the generator was short of connections or of time. */
  readonly putPerSecond: number | null;
  /** Open loop: how late the generator itself sent, p99; part of the latencies above. */
  readonly latenessP99: number | null;
}

/** What a run sends, and the status that counts as success. */
export interface Ammunition {
  readonly material: readonly Prepared[];
  readonly expected: readonly number[];
}

/** Sends the material once each over `lanes`, until it is used up or `seconds` are over. */
export async function closedLoop(
  send: Send,
  { material, expected }: Ammunition,
  { lanes, seconds }: { readonly lanes: number; readonly seconds: number },
): Promise<Load> {
  const tally = new Tally(expected);
  let next = 0;
  const startedAt = performance.now();
  const endAt = startedAt + seconds * 1_000;
  const lane = async (): Promise<void> => {
    while (performance.now() < endAt) {
      const prepared = material[next++];
      if (prepared === undefined) return;
      await tally.take(send, prepared, performance.now());
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return tally.load((performance.now() - startedAt) / 1_000);
}

/** Sends one request of the material every 1/`perSecond` s, and waits for all answers. */
export async function openLoop(
  send: Send,
  { material, expected }: Ammunition,
  perSecond: number,
): Promise<Load> {
  const tally = new Tally(expected);
  const underWay: Promise<void>[] = [];
  const startedAt = performance.now();
  for (const [at, prepared] of material.entries()) {
    const dueAt = startedAt + (at * 1_000) / perSecond;
    await until(dueAt, perSecond);
    tally.late(performance.now() - dueAt);
    underWay.push(tally.take(send, prepared, dueAt));
  }
  await Promise.all(underWay);
  const elapsed = (performance.now() - startedAt) / 1_000;
  const tailSeconds = elapsed - (material.length - 1) / perSecond;
  const dueSeconds = material.length / perSecond;
  const putPerSecond = tally.putUntil(startedAt + dueSeconds * 1_000) / dueSeconds;
  return { ...tally.load(Math.max(elapsed, dueSeconds)), tailSeconds, putPerSecond };
}

/** Timers of Node are up to a millisecond late: where it costs little, the rest is spent turning the event loop. */
async function until(dueAt: number, perSecond: number): Promise<void> {
  for (;;) {
    const leftMs = dueAt - performance.now();
    if (leftMs <= 0) return;
    if (leftMs > 2) await sleep(leftMs - 1.5);
    else if (perSecond <= 100) await nextTurn();
    else await sleep(1);
  }
}

class Tally {
  readonly #expected: readonly number[];
  readonly #latencies: number[] = [];
  readonly #lateness: number[] = [];
  readonly #putAt: number[] = [];
  readonly #refused: { [status: string]: number } = {};
  #errors = 0;
  #rude = 0;
  #firstError: string | null = null;

  constructor(expected: readonly number[]) {
    this.#expected = expected;
  }

  late(ms: number): void {
    this.#lateness.push(ms);
  }

  putUntil(ms: number): number {
    return this.#putAt.filter((at) => at <= ms).length;
  }

  async take(send: Send, prepared: Prepared, fromMs: number): Promise<void> {
    try {
      const { status, text, retryAfter } = await send(prepared, () =>
        this.#putAt.push(performance.now()),
      );
      if (this.#expected.includes(status)) {
        this.#latencies.push(performance.now() - fromMs);
        return;
      }
      this.#refused[status] = (this.#refused[status] ?? 0) + 1;
      if (!retryAfter || (status !== 429 && status !== 503)) this.#rude++;
      this.#fail(`${status}: ${text.slice(0, 200)}`);
    } catch (thrown) {
      this.#rude++;
      this.#fail(thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  load(seconds: number): Load {
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const late = this.#lateness.toSorted((a, b) => a - b);
    return {
      perSecond: sorted.length / seconds,
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      p999: quantile(sorted, 0.999),
      requests: sorted.length,
      errors: this.#errors,
      firstError: this.#firstError,
      refused: this.#refused,
      rude: this.#rude,
      tailSeconds: null,
      putPerSecond: null,
      latenessP99: quantile(late, 0.99),
    };
  }

  #fail(reason: string): void {
    this.#errors++;
    this.#firstError ??= reason;
  }
}

/** The value below which the share `q` of the sorted values lies; null if there are too few to tell it from the largest. */
export function quantile(sorted: readonly number[], q: number): number | null {
  if (sorted.length * (1 - q) < 1 && q !== 0.5) return null;
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? null;
}
