/** The measurer is measured: what a load must show, and what it must not hide. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Answered } from "./http.ts";
import { get } from "./http.ts";
import { closedLoop, openLoop, quantile } from "./load.ts";
import { summarise } from "./profile.ts";
import { median } from "./statistics.ts";
import { readSettings } from "./settings.ts";

const requests = (count: number) => Array.from({ length: count }, () => get("/"));
const answer: Answered = { status: 200, text: "", retryAfter: false };

describe("an open loop", () => {
  test("shows a stall to everybody who was due during it", async () => {
    let stalledUntil = 0;
    let sent = 0;
    const run = async () => {
      [stalledUntil, sent] = [0, 0];
      return await openLoop(send, { material: requests(100), expected: [200] }, 200);
    };
    const send = async (): Promise<Answered> => {
      if (++sent === 20) stalledUntil = performance.now() + 300;
      await sleep(Math.max(0, stalledUntil - performance.now()));
      return answer;
    };
    let load = await run();
    // On a busy machine something else may stall the end of it as well.
    for (let again = 0; again < 10 && (load.tailSeconds ?? 0) >= 0.25; again++) load = await run();
    // 60 of the 100 are due while nothing is answered: a closed loop would have seen a single slow request.
    expect(load.p50).toBeGreaterThan(20);
    expect(load.requests).toBe(100);
    expect(load.tailSeconds).toBeLessThan(0.25);
  });

  test("sends at its rate, however slow the answers are", async () => {
    let underWay = 0;
    let most = 0;
    const send = async (): Promise<Answered> => {
      most = Math.max(most, ++underWay);
      await sleep(200);
      underWay--;
      return answer;
    };
    const load = await openLoop(send, { material: requests(40), expected: [200] }, 100);
    expect(most).toBeGreaterThan(10);
    expect(load.tailSeconds).toBeGreaterThan(0.19);
  });

  test("counts a latency from when the request was due, also if the generator itself was late", async () => {
    let first = true;
    const send = async (): Promise<Answered> => {
      if (first) {
        first = false;
        const until = performance.now() + 100;
        while (performance.now() < until);
      }
      return await Promise.resolve(answer);
    };
    const load = await openLoop(send, { material: requests(10), expected: [200] }, 100);
    expect(load.p50).toBeGreaterThan(20);
  });
});

describe("a closed loop", () => {
  test("counts other answers than the expected as errors and keeps the first reason", async () => {
    const answers = [answer, { status: 503, text: "later", retryAfter: true }];
    let next = 0;
    const send = async (): Promise<Answered> =>
      await Promise.resolve(answers[next++ % 2] ?? answer);
    const plan = { lanes: 1, seconds: 5 };
    const load = await closedLoop(send, { material: requests(10), expected: [200] }, plan);
    expect(load).toMatchObject({ requests: 5, errors: 5, firstError: "503: later" });
  });

  test("calls rude what neither serves nor says when to come back", async () => {
    const answers: readonly (Answered | null)[] = [
      answer,
      { status: 503, text: "", retryAfter: true },
      { status: 503, text: "", retryAfter: false },
      { status: 500, text: "", retryAfter: true },
      null,
    ];
    let next = 0;
    const send = async (): Promise<Answered> => {
      const given = answers[next++] ?? null;
      if (given === null) throw new Error("no answer in time");
      return await Promise.resolve(given);
    };
    const plan = { lanes: 1, seconds: 5 };
    const load = await closedLoop(send, { material: requests(5), expected: [200] }, plan);
    expect(load).toMatchObject({ requests: 1, rude: 3, refused: { 503: 2, 500: 1 } });
  });

  test("uses each request once", async () => {
    const seen = new Set<unknown>();
    const send = async (prepared: unknown): Promise<Answered> => {
      expect(seen.has(prepared)).toBe(false);
      seen.add(prepared);
      return await Promise.resolve(answer);
    };
    const plan = { lanes: 7, seconds: 5 };
    await closedLoop(send, { material: requests(50), expected: [200] }, plan);
    expect(seen.size).toBe(50);
  });
});

test("a quantile is not told from fewer values than it needs", () => {
  const values = (count: number) => Array.from({ length: count }, (_, at) => at + 1);
  expect(quantile(values(99), 0.99)).toBeNull();
  expect(quantile(values(101), 0.99)).toBe(100);
  expect(quantile(values(999), 0.999)).toBeNull();
  expect(quantile(values(3), 0.5)).toBe(2);
  expect(quantile([], 0.5)).toBeNull();
});

test("a median is the middle, or the mean of the two in the middle", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

test("a profile is summed by function; idling and waiting are not work, natives are named with their caller", () => {
  const frame = (functionName: string, url = "", lineNumber = 0) => ({
    functionName,
    url,
    lineNumber,
  });
  const costs = summarise([
    {
      nodes: [
        { id: 1, callFrame: frame("(root)"), children: [2, 3, 5] },
        { id: 2, callFrame: frame("(idle)") },
        { id: 3, callFrame: frame("work", "file:///a/node_modules/x/y.js", 6), children: [4] },
        { id: 4, callFrame: frame("native") },
        { id: 5, callFrame: frame("", "file:///a/hsm/watchdog-worker.ts") },
      ],
      samples: [2, 3, 4, 3, 5],
      timeDeltas: [9_000, 1_000, 2_000, 1_000, 9_000],
    },
  ]);
  expect(costs).toEqual([
    { at: "work x/y.js:7", selfMs: 2, share: 0.5 },
    { at: "native < work x/y.js:7", selfMs: 2, share: 0.5 },
  ]);
});

test.for([
  [["--only", "certificates"], "there are certificate, certificate-p384, entry"],
  [["--placement", "alone"], "there are together, apart"],
  [["--seconds", "0"], "--seconds"],
  [["--repeats", "x"], "--repeats"],
  [["--quick"], "--quick"],
] as const)("refuses %j in words", ([args, says]) => {
  expect(() => readSettings(args)).toThrow(says);
});
