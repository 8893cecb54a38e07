/**
 * What the kernel counts of a room: its asks, how they ended and how long they took. Latency and rates of the bus are taken here, once.
 * Counted by hand, because it is done for every ask, and prom-client would look up the labels each time.
 */
import type { Metric } from "../events/contract.ts";

/** Counts the asks that one room answers. */
export interface Meter {
  /** `outcome` is `ok` or a failure code. */
  observe(ask: string, outcome: string, seconds: number): void;
  metrics(): Promise<readonly Metric[]>;
}

/** From a tenth of a millisecond to the longest deadline. */
const buckets = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 20];
const name = "chancery_ask_duration_seconds";

/** A meter of the room, at zero. */
export function createMeter(room: string): Meter {
  const asks = new Map<string, Map<string, Series>>();
  return {
    observe(ask, outcome, seconds) {
      let outcomes = asks.get(ask);
      if (outcomes === undefined) asks.set(ask, (outcomes = new Map()));
      let series = outcomes.get(outcome);
      if (series === undefined) outcomes.set(outcome, (series = emptySeries()));
      let bucket = 0;
      while (seconds > (buckets[bucket] ?? Infinity)) bucket++;
      if (bucket < buckets.length) series.inBuckets[bucket] = (series.inBuckets[bucket] ?? 0) + 1;
      series.count += 1;
      series.sum += seconds;
    },
    async metrics() {
      const values = [...asks].flatMap(([ask, outcomes]) =>
        [...outcomes].flatMap(([outcome, series]) => samplesOf(series, { room, ask, outcome })),
      );
      const help = "Asks that rooms have answered, by how they ended";
      const metric = { name, help, type: "histogram", aggregator: "sum", values } as const;
      return await Promise.resolve([metric]);
    },
  };
}

interface Series {
  /** How many fell into each bucket and not into the one before it. */
  readonly inBuckets: number[];
  count: number;
  sum: number;
}

function emptySeries(): Series {
  return { inBuckets: buckets.map(() => 0), count: 0, sum: 0 };
}

/** A histogram's samples: buckets hold what is in the smaller ones too. */
function samplesOf(
  { inBuckets, count, sum }: Series,
  labels: { readonly [name: string]: string },
): Metric["values"] {
  let upTo = 0;
  const bounded = buckets.map((le, at) => {
    upTo += inBuckets[at] ?? 0;
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: upTo };
  });
  return [
    ...bounded,
    { metricName: `${name}_bucket`, labels: { le: "+Inf", ...labels }, value: count },
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
