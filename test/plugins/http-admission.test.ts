import { afterEach, beforeEach, expect, it, vi } from "vitest";
import {
  type Admission,
  type AdmissionLimits,
  type Admitted,
  createAdmission,
  type Lane,
  type Refused,
} from "../../plugins/http/admission.ts";
import { createRate } from "../../plugins/http/rate.ts";
import { networkOf } from "../../core/formats/network.ts";
import { createMeter, slowStart } from "../../core/rate.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const limits: AdmissionLimits = {
  requestsInFlight: 3,
  requestsAtOnce: 1,
  longestWaitMs: 5_000,
  queueMs: 1_000,
  bodyBytesInFlight: 100,
};

const enter = (admission: Admission, lane: Lane = "read", bodyBytes = 0): Admitted | Refused =>
  admission.enter({ address: "192.0.2.1", lane, bodyBytes });

function admitted(one: Admitted | Refused): Admitted {
  if ("status" in one) throw new Error(`refused with ${one.status}`);
  return one;
}

it("takes the newest of those who wait, and works on as many at once as it may", async () => {
  const admission = createAdmission(limits, null);
  const [first, second, third] = [1, 2, 3].map(() => admitted(enter(admission)));
  const begun: string[] = [];
  const note = (name: string) => (go: boolean) => begun.push(`${name} ${go}`);
  void first?.turn().then(note("first"));
  void second?.turn().then(note("second"));
  void third?.turn().then(note("third"));
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toEqual(["first true"]);
  first?.[Symbol.dispose]();
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toEqual(["first true", "third true"]);
  third?.[Symbol.dispose]();
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toEqual(["first true", "third true", "second true"]);
});

it("does not begin what has waited too long, or whose client has gone", async () => {
  const admission = createAdmission(limits, null);
  const [first, gone, late] = [1, 2, 3].map(() => admitted(enter(admission)));
  expect(await first?.turn()).toBe(true);
  const [goneTurn, lateTurn] = [gone?.turn(), late?.turn()];
  gone?.[Symbol.dispose]();
  expect(await goneTurn).toBe(false);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await lateTurn).toBe(false);
  late?.[Symbol.dispose]();
  first?.[Symbol.dispose]();
  const next = admitted(enter(admission));
  expect(await next.turn()).toBe(true);
});

it("gives back the place of one who leaves in the moment it is given to him", async () => {
  const admission = createAdmission(limits, null);
  const [first, second] = [1, 2].map(() => admitted(enter(admission)));
  await first?.turn();
  const turn = second?.turn();
  first?.[Symbol.dispose]();
  second?.[Symbol.dispose]();
  await turn;
  expect(await admitted(enter(admission)).turn()).toBe(true);
});

it("lets in no more than can be begun in time, once it knows how fast that goes", async () => {
  const few = { ...limits, requestsInFlight: 1_000, requestsAtOnce: 10 };
  let now = 0;
  const admission = createAdmission(few, null, () => now);
  const working: Admitted[] = [];
  const come = () => {
    const one = enter(admission, "write");
    if ("status" in one) return false;
    void one.turn().then((go) => go && working.push(one));
    return true;
  };
  const offer = () => Array.from({ length: 200 }, come).filter(Boolean).length;
  const leave = async (count: number) => {
    for (let time = 0; time < count; time++) {
      now += 10;
      working.shift()?.[Symbol.dispose]();
      // A turn of the event loop, in which the next one is begun.
      await vi.advanceTimersByTimeAsync(1);
    }
  };
  // Nothing is known yet, so that only the number counts.
  expect(offer()).toBe(200);
  await vi.advanceTimersByTimeAsync(10);
  await leave(100);
  // A hundred a second leave: those who wait already are a second's work.
  expect(offer()).toBe(10);
  await leave(50);
  expect(offer()).toBe(50);
  expect(admission.refusal({ address: "192.0.2.1", lane: "write", bodyBytes: 0 })?.status).toBe(
    503,
  );
  // Who is worked on at once waits for nobody, however slow it was.
  await leave(200);
  expect(offer()).toBeGreaterThanOrEqual(10);
});

it("works on more writes at once the faster they leave, between bounds", async () => {
  const wide = { ...limits, requestsInFlight: 5_000, requestsAtOnce: 300, longestWaitMs: 60_000 };
  let now = 0;
  const admission = createAdmission(wide, null, () => now);
  const working: Admitted[] = [];
  for (let count = 0; count < 2_000; count++) {
    const one = admitted(enter(admission, "write"));
    void one.turn().then((go) => go && working.push(one));
  }
  await vi.advanceTimersByTimeAsync(50);
  // Nothing is known yet.
  expect(working).toHaveLength(300);
  const leave = async (count: number, eachMs: number) => {
    for (let time = 0; time < count; time++) {
      now += eachMs;
      working.shift()?.[Symbol.dispose]();
      await vi.advanceTimersByTimeAsync(1);
    }
  };
  // A thousand a second: four hundred in a moment, which is more than it may.
  await leave(300, 1);
  expect(working).toHaveLength(300);
  // A hundred a second.
  await leave(200, 10);
  expect(working).toHaveLength(256);
  await leave(300, 1);
  expect(working).toHaveLength(300);
});

it("keeps reads and writes apart, and never keeps a probe waiting", async () => {
  const admission = createAdmission(limits, null);
  for (let time = 0; time < 3; time++) void admitted(enter(admission)).turn();
  expect(enter(admission)).toMatchObject({ status: 503, retryAfterMs: 5_000 });
  expect(await admitted(enter(admission, "write")).turn()).toBe(true);
  expect(await admitted(enter(admission, "probe")).turn()).toBe(true);
});

it("takes bodies up to its budget of bytes, and more when some have left", () => {
  const admission = createAdmission(limits, null);
  const most = admitted(enter(admission, "write", 99));
  expect(enter(admission, "write", 2)).toMatchObject({ status: 503 });
  admitted(enter(admission, "write", 1));
  most[Symbol.dispose]();
  admitted(enter(admission, "write", 99));
});

it("allows a burst of a second, then the rate, and says when to come back", () => {
  let now = 0;
  const rate = createRate({ perSecond: 10 }, () => now);
  const early = Array.from({ length: 20 }, () => rate.tooEarlyMs("192.0.2.1"));
  expect(early.filter((one) => one === null)).toHaveLength(11);
  expect(early.at(-1)).toBe(100);
  expect(rate.tooEarlyMs("192.0.2.2")).toBe(null);
  now = 100;
  expect(rate.tooEarlyMs("192.0.2.1")).toBe(null);
  expect(rate.tooEarlyMs("192.0.2.1")).toBe(100);
});

it.each([
  ["::ffff:192.0.2.1", "192.0.2.1", true],
  ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true],
  ["2001:db8::1", "2001:db8:0:0:1::", true],
  ["2001:db8:0:1::1", "2001:db8:0:2::1", false],
  ["192.0.2.1", "192.0.2.2", false],
])("takes %s and %s for one client: %s", (one, other, same) => {
  const rate = createRate({ perSecond: 1 }, () => 0);
  expect([rate.tooEarlyMs(one), rate.tooEarlyMs(one)]).toEqual([null, null]);
  expect(rate.tooEarlyMs(other) !== null).toBe(same);
});

it.each([
  ["203.0.113.77", "203.0.113.0/24"],
  ["::ffff:203.0.113.77", "203.0.113.0/24"],
  ["2001:db8:1:2:3::4", "2001:db8:1::/48"],
  ["2001:db8::4", "2001:db8:0::/48"],
  [undefined, "unknown"],
])("records %s as %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});

it("rises from a tenth to all after a start", () => {
  let now = 0;
  const clock = () => now;
  const rate = createRate({ perSecond: 10, burst: 100 }, clock, slowStart(30_000, clock));
  const taken = () => Array.from({ length: 200 }, () => rate.tooEarlyMs("192.0.2.1"));
  const inTime = (answers: readonly (number | null)[]) =>
    answers.filter((one) => one === null).length;
  expect(inTime(taken())).toBe(10);
  now = 30_000;
  expect(inTime(taken())).toBeGreaterThan(90);
});

it("forgets those seen longest ago, and nobody else", () => {
  const meter = createMeter({ perSecond: 1, burst: 1 }, () => 0);
  for (let who = 0; who < 100_001; who++) meter.count(String(who));
  expect(meter.earlyMs("0")).toBeNull();
  expect(meter.earlyMs("1")).toBe(1_000);
  expect(meter.quota("1")).toEqual({ remaining: 0, resetMs: 1_000 });
});

it("gives all networks of a site together as much as sixteen clients", () => {
  const rate = createRate({ perSecond: 1 }, () => 0);
  const answers = Array.from({ length: 100 }, (_, net) =>
    rate.tooEarlyMs(`2001:db8:0:${net.toString(16)}::1`),
  );
  expect(answers.filter((one) => one === null)).toHaveLength(17);
});
