/** Where a target's figure is found in what a run has found. Targets are of the services in one process. */
import type { Sample } from "./measure.ts";
import { operations } from "./operations.ts";
import type { Results } from "./report.ts";
import { median } from "./statistics.ts";

/** Finds a figure; null if it was not measured in this run. */
export type Found = (results: Results) => number | null;

/** A figure that is measured once a repeat. */
export function single(name: string): Found {
  return ({ singles }) =>
    middle(
      singles.filter((one) => one.name === name && one.placement === "together"),
      ({ value }) => value,
    );
}

function samplesOf(results: Results, operation: string): readonly Sample[] {
  return results.samples.filter(
    (sample) => sample.operation === operation && sample.placement === "together",
  );
}

function lanesOf({ mode }: Sample): number {
  return "lanes" in mode ? mode.lanes : 0;
}

/** Those of the closed loop with as many under way as the operation is measured with first. */
function loopOf(results: Results, operation: string): readonly Sample[] {
  const lanes = operations.find(({ name }) => name === operation)?.lanes;
  return samplesOf(results, operation).filter((sample) => lanesOf(sample) === lanes);
}

/** What the closed loop carried, a second. */
export function ceiling(operation: string): Found {
  return (results) => middle(loopOf(results, operation), ({ load }) => load.perSecond);
}

/** The median when one request is under way at a time, ms. */
export function alone(operation: string): Found {
  return (results) =>
    middle(
      samplesOf(results, operation).filter((sample) => lanesOf(sample) === 1),
      ({ load }) => load.p50 ?? Infinity,
    );
}

/** CPU of one request in the closed loop, all processes but the generator, ms. */
export function cpu(operation: string): Found {
  return (results) =>
    middle(loopOf(results, operation), ({ cpuMs }) =>
      Object.entries(cpuMs)
        .filter(([name]) => name !== "generator")
        .reduce((sum, [, ms]) => sum + ms, 0),
    );
}

/** A rate that was not carried, or not tried because a lower one was not, has no quantile worth telling: it is missed. */
export function offered(operation: string, perSecond: number, q: "p50" | "p99"): Found {
  return (results) => {
    const all = samplesOf(results, operation);
    if (all.length === 0) return null;
    const at = all.filter(({ mode }) => "perSecond" in mode && mode.perSecond === perSecond);
    return at.length === 0 ? Infinity : middle(at, ({ load }) => load[q] ?? Infinity);
  };
}

/** Something of the run beyond capacity. */
export function overload(value: (one: Results["overloads"][number]) => number): Found {
  return ({ overloads }) => middle(overloads, value);
}

function middle<T>(all: readonly T[], value: (one: T) => number): number | null {
  return all.length === 0 ? null : median(all.map(value));
}

/** A figure of its own. */
export function figure(name: string): Found {
  return ({ figures }) => figures.find((one) => one.name === name)?.value ?? null;
}
