/** The table of targets: what was measured has a verdict, and what is written by hand belongs to it. */
import { expect, test } from "vitest";
import reasons from "./reasons.json" with { type: "json" };
import type { Results } from "./report.ts";
import { targets } from "./targets.ts";
import { verdicts } from "./verdicts.ts";

const nothing: Results = {
  command: "npm run bench",
  seconds: 1,
  repeats: 1,
  machine: {},
  configuration: {},
  samples: [],
  syncs: [],
  singles: [],
  profiles: [],
  overloads: [],
  figures: [],
};

function verdictOf(name: string, value: number): string | undefined {
  const results = { ...nothing, figures: [{ name, value, detail: "so" }] };
  return verdicts(results).find((one) => one.name === name)?.verdict;
}

test("what was not measured has no line", () => {
  expect(verdicts(nothing)).toEqual([]);
});

test("a target is met at its bound and missed beyond it", () => {
  expect(verdictOf("proof", 2)).toBe("met");
  expect(verdictOf("proof", 2.001)).toMatch(/^missed: /);
  expect(verdictOf("engine", 20_000)).toBe("met");
  expect(verdictOf("engine", 19_999)).toMatch(/^missed: /);
  expect(verdictOf("digests", 0)).toBe("met");
  expect(verdictOf("digests", 1)).toMatch(/^missed: /);
});

test("every target has a name of its own, and every reason a target", () => {
  const names = targets.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names).toEqual(expect.arrayContaining(Object.keys(reasons)));
});

test("an offered rate that was not carried is missed, also if a lower one was the last that was tried", () => {
  const load = {
    perSecond: 10,
    p50: 1,
    p99: 2,
    p999: null,
    requests: 10,
    errors: 0,
    firstError: null,
    refused: {},
    rude: 0,
    tailSeconds: null,
    putPerSecond: null,
    latenessP99: null,
  };
  const sample = {
    placement: "together" as const,
    operation: "entry",
    load,
    cpuMs: { services: 0.5, vault: 0.1, generator: 9 },
    foreignCores: 0,
    loadAverageBefore: "",
  };
  const results = {
    ...nothing,
    samples: [
      { ...sample, mode: { lanes: 64 } },
      // What more at a time would bring is told beside it, and decides nothing.
      { ...sample, mode: { lanes: 256 }, cpuMs: { services: 0.1 } },
      { ...sample, mode: { lanes: 512 }, cpuMs: { services: 0.1 } },
      { ...sample, mode: { perSecond: 50 } },
    ],
  };
  const found = new Map(verdicts(results).map((one) => [one.name, one]));
  expect(found.get("entry-cpu")).toMatchObject({ value: "0.60 ms", verdict: "met" });
  expect(found.get("entry-50-p50")).toMatchObject({ value: "1.00 ms", verdict: "met" });
  expect(found.get("entry-1000-p99")?.verdict).toMatch(/^missed: /);
  expect(found.get("entry-v2")).toBeUndefined();
});
