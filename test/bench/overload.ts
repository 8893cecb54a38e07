/**
 * What happens beyond capacity: a service that is offered three times what it can do should do as much as ever, refuse the rest in a
 * way that clients understand, hold its memory, and be itself again soon after.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { make, measure, type Sample, type Subject } from "./measure.ts";
import { type Operation, operations } from "./operations.ts";
import { type ByProcess, cpuBetween, usage } from "./processes.ts";

/** One run beyond capacity. */
export interface Overload {
  readonly seconds: number;
  /** The ceiling of the closed loop. */
  readonly capacityPerSecond: number;
  readonly offeredPerSecond: number;
  /** What of the offer reached the service in time: a generator that falls behind offers less than it says. */
  readonly putPerSecond: number;
  readonly servedPerSecond: number;
  /**
   * Requests served for each second of the service's CPU time: at the ceiling of the closed loop, the mean of a run before and one
   * after, because files grow and machines change meanwhile, and beyond it.
   */
  readonly peakWork: number;
  readonly peakWorks: readonly [before: number, after: number];
  readonly work: number;
  /** Refusals by status. */
  readonly refused: ByProcess<number>;
  /** Requests that were neither served nor told when to come back. */
  readonly rude: number;
  readonly memoryMiB: ByProcess<Memory>;
  /** How long after the last request was due the service was as fast as before; null if it was not. */
  readonly recoverySeconds: number | null;
}

/** Resident memory of one process. */
interface Memory {
  readonly before: number;
  readonly most: number;
  readonly after: number;
}

const times = 3;
/** More than the door works on and less than it accepts, so that requests wait in the door and not in the generator. */
const connections = 1_900;
const warmUp = 300;
const looksAloneAt = 16;
const sampleMs = 250;
const longestRecoverySeconds = 30;

/** Offers certificate requests at three times the ceiling, which is measured first. */
export async function measureOverload(subject: Subject, seconds: number): Promise<Overload> {
  const { instance, generator } = subject;
  const operation = certificateOperation();
  const { lanes, guess } = operation;
  await measure(subject, operation, { mode: { lanes }, count: warmUp, seconds });
  const measurePeak = async (count: number) =>
    await measure(subject, operation, { mode: { lanes }, count, seconds });
  const peak = await measurePeak(guess * seconds);
  const alone = await latencyAlone(subject, operation);
  const offeredPerSecond = Math.ceil(times * peak.load.perSecond);
  await make(subject, operation, offeredPerSecond * seconds);
  const before = await usage(instance.home);
  const memory = new MemoryWatch(instance.home);
  const job = { open: { perSecond: offeredPerSecond, connections } };
  const startedAt = performance.now();
  const { load } = await generator.perform(job);
  if (load === null) throw new Error("a run came to nothing");
  const elapsed = (performance.now() - startedAt) / 1_000;
  const used = cpuBetween(before, await usage(instance.home));
  const most = await memory.stop();
  const recoverySeconds = await recovery(subject, operation, {
    limitMs: 2 * alone,
    sinceMs: startedAt + seconds * 1_000,
  });
  const after = await usage(instance.home);
  const memoryMiB = Object.entries(before).map(([name, { rssMiB }]) => [
    name,
    { before: rssMiB, most: most.get(name) ?? rssMiB, after: after[name]?.rssMiB ?? rssMiB },
  ]);
  const again = await measurePeak(Math.ceil(1.3 * peak.load.perSecond * seconds));
  const peakWorks = [1_000 / cpuMsOf(peak), 1_000 / cpuMsOf(again)] as const;
  const { supervisor: _, ...serving } = used;
  const cpuMs = Object.values(serving).reduce((sum, ms) => sum + ms, 0);
  return {
    seconds,
    capacityPerSecond: peak.load.perSecond,
    offeredPerSecond,
    putPerSecond: load.putPerSecond ?? 0,
    servedPerSecond: load.requests / elapsed,
    peakWork: (peakWorks[0] + peakWorks[1]) / 2,
    peakWorks,
    work: (load.requests * 1_000) / cpuMs,
    refused: load.refused,
    rude: load.rude,
    memoryMiB: Object.fromEntries(memoryMiB),
    recoverySeconds,
  };
}

function certificateOperation(): Operation {
  const operation = operations.find(({ name }) => name === "certificate");
  if (operation === undefined) throw new TypeError("there is no operation certificate");
  return operation;
}

/** CPU-ms of the service for one request. */
function cpuMsOf({ cpuMs }: Sample): number {
  const { generator: _, ...serving } = cpuMs;
  return Object.values(serving).reduce((sum, ms) => sum + ms, 0);
}

async function latencyAlone(subject: Subject, operation: Operation): Promise<number> {
  const count = looksAloneAt;
  const sample = await measure(subject, operation, { mode: { lanes: 1 }, count, seconds: 5 });
  return sample.load.errors === 0 ? (sample.load.p50 ?? Infinity) : Infinity;
}

async function recovery(
  subject: Subject,
  operation: Operation,
  { limitMs, sinceMs }: { readonly limitMs: number; readonly sinceMs: number },
): Promise<number | null> {
  const passed = (): number => (performance.now() - sinceMs) / 1_000;
  // One look after the other: they are the only load now.
  while (passed() < longestRecoverySeconds) {
    const at = passed();
    const isNormal = await latencyAlone(subject, operation).then(
      (ms) => ms <= limitMs,
      () => false,
    );
    if (isNormal) return at;
    await sleep(sampleMs);
  }
  return null;
}

/** Looks at the memory of each process now and then. */
class MemoryWatch {
  readonly #home: string;
  readonly #most = new Map<string, number>();
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(home: string) {
    this.#home = home;
    this.#done = this.#run();
  }

  async stop(): Promise<ReadonlyMap<string, number>> {
    this.#stop.abort();
    await this.#done;
    return this.#most;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      for (const [name, { rssMiB }] of Object.entries(await usage(this.#home))) {
        this.#most.set(name, Math.max(rssMiB, this.#most.get(name) ?? 0));
      }
      await sleep(sampleMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }
}
