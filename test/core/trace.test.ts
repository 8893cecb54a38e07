import { expect, test } from "vitest";
import { createTracing, isTraceparent } from "../../core/trace.ts";

const header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const traceId = header.slice(3, 35);
const clock = { now: () => new Date(1_000_000) };
const envelope = { id: "1", trace: header, from: "door", deadlineAtMs: 1_000_500 };
const tick = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

test("a request from outside keeps its trace id under a new span", async () => {
  const tracing = createTracing(clock);
  const part = tracing.entering(header);
  const { trace } = part;
  const stamp = await part.run(async () => {
    await tick();
    return tracing.stamp("door", 2_000);
  });
  expect(trace).not.toBe(header);
  expect(trace.slice(3, 35)).toBe(traceId);
  expect(stamp.trace.slice(3, 35)).toBe(traceId);
  expect(stamp.trace).not.toBe(trace);
  expect(stamp.deadlineAtMs).toBe(1_002_000);
});

test.for([
  ["none", undefined],
  ["rubbish", "hello"],
  ["upper case", header.toUpperCase()],
  ["an unknown version", header.replace(/^00/, "ff")],
  ["a zero trace id", header.replace(traceId, "0".repeat(32))],
  ["a zero span id", header.replace("b7ad6b7169203331", "0".repeat(16))],
  ["something behind it", `${header}-extra`],
] as const)("a request with %s gets a fresh trace", ([, value]) => {
  const { trace } = createTracing(clock).entering(value);
  expect(isTraceparent(trace)).toBe(true);
  expect(trace.slice(3, 35)).not.toBe(traceId);
});

test("what a request does not run goes on in whatever it was in", async () => {
  const tracing = createTracing(clock);
  const [one, other] = [tracing.entering(header), tracing.entering(undefined)];
  const traceIdHere = () => tracing.stamp("door", 2_000).trace.slice(3, 35);
  const later = async () => {
    await tick();
    return traceIdHere();
  };
  await one.run(async () => {
    const inner = other.run(later);
    expect(traceIdHere()).toBe(traceId);
    expect(await inner).toBe(other.trace.slice(3, 35));
    expect(traceIdHere()).toBe(traceId);
    const failing = () => {
      throw new Error("at once");
    };
    expect(() => other.run(failing)).toThrow("at once");
    expect(traceIdHere()).toBe(traceId);
  });
  expect(traceIdHere()).not.toBe(traceId);
});

test("a request that has ended is followed no more", async () => {
  const tracing = createTracing(clock);
  const part = tracing.entering(header);
  const later = part.run(async () => {
    await tick();
    return tracing.stamp("door", 2_000).trace.slice(3, 35);
  });
  part.end();
  expect(await later).not.toBe(traceId);
});

test("an ask made while answering has no more time than its asker", async () => {
  const tracing = createTracing(clock);
  await tracing.answering(envelope, async () => {
    await tick();
    expect(tracing.stamp("issuer", 9_000).deadlineAtMs).toBe(1_000_500);
    expect(tracing.stamp("issuer", 100).deadlineAtMs).toBe(1_000_100);
    expect(tracing.stamp("issuer", 100).trace.slice(3, 35)).toBe(traceId);
  });
});

test("what goes on after the answer has its full time again", async () => {
  const tracing = createTracing(clock);
  let later: Promise<number> | undefined;
  await tracing.answering(envelope, async () => {
    later = tick().then(() => tracing.stamp("log", 9_000).deadlineAtMs);
    await Promise.resolve();
  });
  expect(await later).toBe(1_009_000);
});

test("detached work has a trace and a time of its own", async () => {
  const tracing = createTracing(clock);
  await tracing.answering(envelope, async () => {
    const stamp = tracing.detached(() => tracing.stamp("log", 9_000));
    expect(stamp.deadlineAtMs).toBe(1_009_000);
    expect(stamp.trace.slice(3, 35)).not.toBe(traceId);
    await Promise.resolve();
  });
});
