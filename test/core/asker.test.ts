/** How questions of a batched ask travel: at once while little is under way, together while much is. */
import * as v from "valibot";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startedSubject } from "../../core/acl.ts";
import { Asker } from "../../core/asker.ts";
import { systemClock } from "../../core/clock.ts";
import { openQuestion, type QuestionLetter, sealAnswer } from "../../core/letter.ts";
import type { Line, Received } from "../../core/line.ts";
import { decode, encode } from "../../core/wire.ts";
import { ask } from "../../events/contract.ts";
import { stamp } from "./bus-contract.ts";

const gather = ask("right", "gather", {
  question: v.any(),
  answer: v.any(),
  failures: [],
  deadlineMs: 2_000,
  batched: true,
});
const key = new Uint8Array(32).fill(7);

interface Sent {
  readonly subject: string;
  readonly reply: string;
  readonly letter: QuestionLetter;
  readonly questions: readonly unknown[];
}

let sent: Sent[];
let listeners: Map<string, (message: Received) => void>;
let asker: Asker;
let isClosed: boolean;

const requireOpen = (): void => {
  if (isClosed) throw new Error("closed");
};

beforeEach(() => {
  // How long anything waits is the tests' to say.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  sent = [];
  isClosed = false;
  listeners = new Map();
  const line: Line = {
    name: "left",
    connected: () => true,
    maxBytes: () => 1_000_000,
    publish(subject, data, reply = "") {
      requireOpen();
      const letter = openQuestion(key, subject, data);
      const questions = letter.items.map(({ question }) => decode(question));
      sent.push({ subject, reply, letter, questions });
    },
    subscribe(subject, _group, listener) {
      requireOpen();
      listeners.set(subject, listener);
      return async () => await Promise.resolve();
    },
    onRefused() {},
    onBack() {},
    flush: async () => await Promise.resolve(),
    [Symbol.asyncDispose]: async () => await Promise.resolve(),
  };
  const journal = { info() {}, warn() {}, error() {} };
  asker = new Asker({ name: "left", line, pairKeys: () => key, clock: systemClock, journal });
});

afterEach(() => {
  vi.useRealTimers();
});

const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

/** Questions that have been asked. */
interface Put {
  readonly settled: Promise<readonly PromiseSettledResult<unknown>[]>;
}

/** Asks, and lets the turn of the event loop end. */
async function put(...questions: readonly unknown[]): Promise<Put> {
  const asked = questions.map(async (question) => await asker.ask(gather, question, stamp()));
  await turn();
  return { settled: Promise.allSettled(asked) };
}

const fulfilled = (...values: readonly unknown[]) =>
  values.map((value) => ({ status: "fulfilled", value }));

/** Answers questions of a letter, all of them unless told which. */
async function answer(at: number, which?: readonly number[]): Promise<void> {
  const { subject, reply, letter, questions } = sent[at] ?? expect.fail(`no letter ${at}`);
  const items = (which ?? [...questions.keys()]).map((index) => ({
    at: index,
    answer: encode(questions[index]),
  }));
  const data = sealAnswer(key, subject, { id: letter.id, items });
  const inbox = [...listeners].find(([name]) => name.endsWith(".*"))?.[1];
  inbox?.({ subject: reply, data, reply: "", nobodyAnswers: false });
  await turn();
}

const lettersSent = () => sent.map(({ questions }) => questions);

test("sends at once while less than two letters are under way", async () => {
  const first = await put(1, 2);
  const second = await put(3);
  expect(lettersSent()).toEqual([[1, 2], [3]]);
  await answer(0);
  await answer(1);
  expect(await first.settled).toEqual(fulfilled(1, 2));
  expect(await second.settled).toEqual(fulfilled(3));
});

test("gathers while two letters are under way, and sends all of it when one is answered", async () => {
  await put(1);
  await put(2);
  const third = await put(3);
  const fourth = await put(4, 5);
  expect(sent).toHaveLength(2);
  await answer(1);
  expect(lettersSent()).toEqual([[1], [2], [3, 4, 5]]);
  await answer(2);
  expect(await third.settled).toEqual(fulfilled(3));
  expect(await fourth.settled).toEqual(fulfilled(4, 5));
});

test("sends held questions at once, however many letters are under way", async () => {
  const wait = { ...gather, name: "wait", held: true };
  for (const question of [1, 2, 3, 4]) {
    void asker.ask(wait, question, stamp()).catch(() => undefined);
    await turn();
  }
  expect(lettersSent()).toEqual([[1], [2], [3], [4]]);
});

test("tells whoever asks over a line that is closed, once and at once", async () => {
  isClosed = true;
  const single = { ...gather, name: "single", batched: false };
  const refusals = Promise.allSettled([
    asker.ask(single, 1, stamp()),
    asker.ask(gather, 2, stamp()),
    asker.probe(single, 2_000),
  ]);
  await turn();
  for (const refusal of await refusals) {
    expect(refusal).toMatchObject({ status: "rejected", reason: { code: "overloaded" } });
  }
  // No deadline is left that would refuse what nobody waits for.
  expect(vi.getTimerCount()).toBe(0);
});

test("takes a letter for answered when all of it is", async () => {
  await put(1, 2);
  await put(3, 4);
  await put(5);
  await answer(0, [1]);
  expect(sent).toHaveLength(2);
  await answer(0, [0]);
  expect(lettersSent().at(-1)).toEqual([5]);
});

test("lets a question wait 20 ms for an answer that does not come, and no longer", async () => {
  await put(1);
  await put(2);
  const third = await put(3);
  vi.advanceTimersByTime(19);
  expect(sent).toHaveLength(2);
  vi.advanceTimersByTime(1);
  expect(lettersSent()).toEqual([[1], [2], [3]]);
  await answer(2);
  expect(await third.settled).toEqual(fulfilled(3));
});

test("does not put a question that nobody waits for any more", async () => {
  await put(1);
  await put(2);
  const expired = asker.ask(gather, 3, stamp(10));
  await turn();
  vi.advanceTimersByTime(10);
  await expect(expired).rejects.toMatchObject({ code: "deadline-exceeded" });
  await put(4);
  await answer(0);
  expect(lettersSent()).toEqual([[1], [2], [4]]);
});

test("puts what it gathered to the process that replaces the one before it", async () => {
  const first = await put(1);
  const second = await put(2);
  const third = await put(3);
  listeners.get(startedSubject("right"))?.({
    subject: startedSubject("right"),
    data: new Uint8Array(),
    reply: "",
    nobodyAnswers: false,
  });
  await turn();
  for (const lost of [first, second]) {
    expect(await lost.settled).toMatchObject([
      { status: "rejected", reason: { code: "deadline-exceeded" } },
    ]);
  }
  expect(lettersSent()).toEqual([[1], [2], [3]]);
  await answer(2);
  expect(await third.settled).toEqual(fulfilled(3));
});
