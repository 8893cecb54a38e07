/** What the kernel counts of a room: its asks, how they ended and how long they took. Latency and rates of the bus are taken here, once. */
import { Histogram, Registry } from "prom-client";
import type { Metric } from "../events/contract.ts";

/** Counts the asks that one room answers. */
export interface Meter {
  /** `outcome` is `ok` or a failure code. */
  observe(ask: string, outcome: string, seconds: number): void;
  metrics(): Promise<readonly Metric[]>;
}

/** From a tenth of a millisecond to the longest deadline. */
const buckets = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 20];

/** A meter of the room, at zero. */
export function createMeter(room: string): Meter {
  const registry = new Registry();
  const asks = new Histogram({
    name: "chancery_ask_duration_seconds",
    help: "Asks that rooms have answered, by how they ended",
    labelNames: ["room", "ask", "outcome"],
    buckets,
    registers: [registry],
  });
  return {
    observe: (ask, outcome, seconds) => asks.observe({ room, ask, outcome }, seconds),
    metrics: async () => await readMetrics(registry),
  };
}

/** A registry's metrics as they cross the bus. */
async function readMetrics(registry: Registry): Promise<readonly Metric[]> {
  // What prom-client gives has more members than cross, none of which are needed.
  const metrics = (await registry.getMetricsAsJSON()) as unknown as readonly Metric[];
  return metrics.map(({ name, help, type, values }) => ({
    name,
    help,
    type,
    aggregator: "sum",
    values: values.map(({ metricName, labels, value }) => ({
      ...(metricName !== undefined && { metricName }),
      labels: { ...labels },
      value,
    })),
  }));
}
