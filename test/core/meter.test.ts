import { Histogram, Registry } from "prom-client";
import * as v from "valibot";
import { expect, test } from "vitest";
import { createMeter } from "../../core/meter.ts";
import { metric } from "../../events/contract.ts";

test("counts as prom-client does", async () => {
  const meter = createMeter("right");
  const registry = new Registry();
  const theirs = new Histogram({
    name: "chancery_ask_duration_seconds",
    help: "Asks that rooms have answered, by how they ended",
    labelNames: ["room", "ask", "outcome"],
    buckets: [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 20],
    registers: [registry],
  });
  for (const [ask, outcome, seconds] of [
    ["echo", "ok", 0],
    ["echo", "ok", 0.0001],
    ["echo", "ok", 0.000_11],
    ["echo", "overloaded", 20],
    ["gather", "ok", 20.5],
    ["gather", "ok", 0.03],
  ] as const) {
    meter.observe(ask, outcome, seconds);
    theirs.observe({ room: "right", ask, outcome }, seconds);
  }
  const metrics = await meter.metrics();
  for (const one of metrics) expect(v.is(metric, one)).toBe(true);
  const expected = await registry.getMetricsAsJSON();
  expect(metrics).toEqual(
    expected.map(({ values, ...about }) => ({
      ...about,
      values: values.map(({ labels, value, ...named }) => ({
        metricName: "metricName" in named ? named.metricName : undefined,
        labels,
        value,
      })),
    })),
  );
});

test("has counted nothing at first", async () => {
  expect(await createMeter("right").metrics()).toMatchObject([{ values: [] }]);
});
