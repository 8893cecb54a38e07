/** One run of one operation against a running instance, with what it cost. */
import type { Instance } from "../support/instance.ts";
import { countSyncs } from "./fsyncs.ts";
import type { Job } from "./generator-child.ts";
import type { Generator } from "./generator.ts";
import type { Placement } from "./house.ts";
import type { Load } from "./load.ts";
import { loadAverage } from "./machine.ts";
import type { Operation } from "./operations.ts";
import { type ByProcess, cpuBetween, machineBusyMs, usage } from "./processes.ts";
import { type Cost, startProfiling } from "./profile.ts";

/** How requests are put: so many at a time, or at a constant rate. */
export type Mode = { readonly lanes: number } | { readonly perSecond: number };

/** One run. */
export interface Sample {
  readonly placement: Placement;
  readonly operation: string;
  readonly mode: Mode;
  readonly load: Load;
  /** CPU time of each process for one successful request, ms. */
  readonly cpuMs: ByProcess<number>;
  /** CPU time of everything that is neither the instance nor the generator, in cores. */
  readonly foreignCores: number;
  readonly loadAverageBefore: string;
}

/** Syncs for one successful request, of each process that made any. */
export interface SyncCount {
  readonly placement: Placement;
  readonly operation: string;
  readonly lanes: number;
  readonly requests: number;
  readonly perRequest: ByProcess<number>;
}

/** Where the time of one process went while an operation ran in a closed loop. */
export interface ProcessProfile {
  readonly operation: string;
  readonly process: string;
  readonly costs: readonly Cost[];
}

/** An instance under measurement. */
export interface Subject {
  readonly placement: Placement;
  readonly instance: Instance;
  readonly generator: Generator;
}

/** Makes `count` requests, then puts them for about `seconds`. */
export async function measure(
  subject: Subject,
  operation: Operation,
  {
    mode,
    count,
    seconds,
  }: { readonly mode: Mode; readonly count: number; readonly seconds: number },
): Promise<Sample> {
  const { instance, generator, placement } = subject;
  await make(subject, operation, count);
  const loadAverageBefore = loadAverage();
  const before = await usage(instance.home);
  const own = process.cpuUsage();
  const [busyBeforeMs, startedAt] = [machineBusyMs(), performance.now()];
  const job: Job = "lanes" in mode ? { closed: { lanes: mode.lanes, seconds } } : { open: mode };
  const { load, cpuMs: generatorMs } = await generator.perform(job);
  const [elapsedMs, busyMs] = [performance.now() - startedAt, machineBusyMs() - busyBeforeMs];
  const used = cpuBetween(before, await usage(instance.home));
  if (load === null) throw new Error("a run came to nothing");
  const { user, system } = process.cpuUsage(own);
  const ours = Object.values(used).reduce(
    (sum, ms) => sum + ms,
    generatorMs + (user + system) / 1_000,
  );
  const each = Object.entries({ ...used, generator: generatorMs })
    .filter(([name]) => name !== "supervisor")
    .map(([name, ms]) => [name, ms / Math.max(1, load.requests)] as const);
  return {
    placement,
    operation: operation.name,
    mode,
    load,
    cpuMs: Object.fromEntries(each),
    foreignCores: Math.max(0, (busyMs - ours) / elapsedMs),
    loadAverageBefore,
  };
}

/** Counts syncs in a run of its own, in which strace slows everything: batches are smaller than without it, never larger. */
export async function measureSyncs(
  subject: Subject,
  operation: Operation,
  { lanes, count }: { readonly lanes: number; readonly count: number },
): Promise<SyncCount> {
  const { instance, generator, placement } = subject;
  await make(subject, operation, count);
  const { supervisor: _, ...processes } = await usage(instance.home);
  let requests = 0;
  const counts = await countSyncs(processes, async () => {
    const { load } = await generator.perform({ closed: { lanes, seconds: 30 } });
    if (load === null || load.errors > 0) throw new Error(`under strace: ${load?.firstError}`);
    requests = load.requests;
  });
  const perRequest = Object.entries(counts)
    .filter(([, syncs]) => syncs > 0)
    .map(([name, syncs]) => [name, syncs / requests] as const);
  return {
    placement,
    operation: operation.name,
    lanes,
    requests,
    perRequest: Object.fromEntries(perRequest),
  };
}

/** Profiles one process while the operation runs in a closed loop. */
export async function measureProfile(
  subject: Subject,
  operation: Operation,
  {
    process,
    count,
    seconds,
  }: { readonly process: string; readonly count: number; readonly seconds: number },
): Promise<ProcessProfile> {
  await make(subject, operation, count);
  const profiling = await startProfiling(await subject.instance.pid(process));
  await subject.generator.perform({ closed: { lanes: operation.lanes, seconds } });
  return { operation: operation.name, process, costs: (await profiling.stop()).slice(0, 20) };
}

/** Has requests made, which the next run puts. */
export async function make(
  { instance: { home, origin }, generator }: Subject,
  { name: operation }: Operation,
  count: number,
): Promise<void> {
  await generator.perform({ make: { home, origin }, operation, count });
}
