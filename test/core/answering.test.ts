import { expect, test } from "vitest";
import { Answering } from "../../core/answering.ts";
import { Asker } from "../../core/asker.ts";
import { systemClock } from "../../core/clock.ts";
import { Nonces } from "../../core/letter.ts";
import type { Line, Received } from "../../core/line.ts";
import { silentJournal } from "../support/boot.ts";
import { echo, stamp, wait } from "./bus-contract.ts";
import "../support/matchers.ts";

/** Two lines that reach each other without a server. */
function lines(): readonly [Line, Line] {
  const listeners: { subject: string; listener: (message: Received) => void }[] = [];
  const line = (name: string): Line => ({
    name,
    connected: () => true,
    maxBytes: () => 1_000_000,
    publish(subject, data, reply = "") {
      for (const { subject: pattern, listener } of listeners) {
        if (!subject.startsWith(pattern.replace(/[*]$/, ""))) continue;
        queueMicrotask(() => listener({ subject, data, reply, nobodyAnswers: false }));
      }
    },
    subscribe(subject, _group, listener) {
      listeners.push({ subject, listener });
      return async () => await Promise.resolve();
    },
    onRefused() {},
    onBack() {},
    async flush() {},
    async [Symbol.asyncDispose]() {},
  });
  return [line("left"), line("right")];
}

const shared = { pairKeys: () => new Uint8Array(32), clock: systemClock, journal: silentJournal };

function ends(limits: {
  readonly maxRemembered?: number;
  readonly maxInFlight?: number;
  readonly maxPending?: number;
}) {
  const [left, right] = lines();
  const { maxPending, ...answererLimits } = limits;
  const asker = new Asker({
    name: "left",
    line: left,
    ...shared,
    ...(maxPending && { maxPending }),
  });
  return { asker, answering: new Answering({ line: right, ...shared, ...answererLimits }) };
}

test("beyond the letters it can remember, an answerer says that it is overloaded", async () => {
  const { asker, answering } = ends({ maxRemembered: 2 });
  answering.answer(echo, async (question) => await Promise.resolve(question));
  await expect(asker.ask(echo, 1, stamp())).resolves.toBe(1);
  await expect(asker.ask(echo, 2, stamp())).resolves.toBe(2);
  await expect(asker.ask(echo, 3, stamp())).toFailWith("overloaded");
});

test("beyond the questions it can work on, an answerer says that it is overloaded", async () => {
  const { asker, answering } = ends({ maxInFlight: 2 });
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  answering.answer(echo, async () => await finished);
  const first = asker.ask(echo, 1, stamp());
  await expect(
    Promise.all([first, asker.ask(echo, 2, stamp()), asker.ask(echo, 3, stamp())]),
  ).toFailWith("overloaded");
  finish();
  await expect(first).resolves.toBeUndefined();
});

test("beyond the answers it can wait for, an asker says that it is overloaded", async () => {
  const { asker, answering } = ends({ maxPending: 2 });
  answering.answer(echo, async (question) => await Promise.resolve(question));
  const asked = [1, 2, 3].map(async (question) => await asker.ask(echo, question, stamp()));
  const outcomes = await Promise.allSettled(asked);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
});

test.each([echo, wait])("draining waits until the last answer has left: $name", async (ask) => {
  const [left, right] = lines();
  let published = 0;
  const publish: Line["publish"] = (...message) => {
    published++;
    right.publish(...message);
  };
  const asker = new Asker({ name: "left", line: left, ...shared });
  const answering = new Answering({ line: { ...right, publish }, ...shared });
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const began = new Promise<void>((resolve) => {
    answering.answer(ask, async () => {
      resolve();
      await finished;
    });
  });
  const asked = asker.ask(ask, 1, stamp());
  await began;
  const atDrained = answering.drain(10_000).then(() => published);
  // Draining waits by now, and the answer ends under its eyes.
  await new Promise((resolve) => setImmediate(resolve));
  finish();
  await expect(atDrained).resolves.toBe(1);
  await expect(asked).resolves.toBeUndefined();
});

test.each([echo, wait])("an answer that cannot be sent is written down: $name", async (ask) => {
  const [left, right] = lines();
  const told: string[] = [];
  const journal = { ...silentJournal, error: (event: string) => told.push(event) };
  const publish = (): void => {
    throw new Error("the line is closed");
  };
  const asker = new Asker({ name: "left", line: left, ...shared });
  const answering = new Answering({ line: { ...right, publish }, ...shared, journal });
  answering.answer(ask, async (question) => await Promise.resolve(question));
  const asked = asker.ask(ask, 1, { ...stamp(), deadlineAtMs: Date.now() + 200 });
  await expect(asked).toFailWith("deadline-exceeded");
  expect(told).toEqual(["answer-lost"]);
  // Nothing is under way any more, so this does not wait.
  await answering.drain(10_000_000);
});

test("a nonce is remembered until its deadline and forgotten after it", () => {
  const nonces = new Nonces(1);
  const [one, two] = [new Uint8Array([1]), new Uint8Array([2])];
  expect(nonces.take(one, 100, 0)).toBe(true);
  expect(nonces.take(one, 100, 99)).toBe(false);
  expect(nonces.take(two, 200, 99)).toBeNull();
  expect(nonces.take(two, 200, 100)).toBe(true);
});
