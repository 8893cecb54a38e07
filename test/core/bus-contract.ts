/** What every bus must do. One suite, run over memory, NATS and both together. */
import * as v from "valibot";
import { expect, test } from "vitest";
import type { Bus, Stamp } from "../../core/bus.ts";
import { definePlugin } from "../../core/plugin.ts";
import { bytes, uint } from "../../events/bytes.ts";
import { ask, fact } from "../../events/contract.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import "../support/matchers.ts";

const anything = { question: v.any(), answer: v.any(), failures: [] } as const;
/** Answers what it is asked. */
export const echo = ask("right", "echo", { ...anything, deadlineMs: 120_000 });
/** Answers in batches. */
const gather = ask("right", "gather", { ...anything, deadlineMs: 120_000, batched: true });
/** Answers each when it is ready. */
export const wait = ask("right", "wait", {
  ...anything,
  deadlineMs: 120_000,
  batched: true,
  held: true,
});
const silent = ask("right", "silent", { ...anything, deadlineMs: 120_000 });
const happened = fact("right", "happened", v.strictObject({ size: uint, hash: bytes }));

const nothing = { summary: "", config: v.any(), reaches: [] } as const;
/** Asks. */
export const left = definePlugin({
  ...nothing,
  name: "left",
  offers: [],
  needs: [echo, gather, wait, silent],
  emits: [],
  follows: [happened],
  keeps: { tables: [] },
}).manifest;
/** Answers. */
export const right = definePlugin({
  ...nothing,
  name: "right",
  offers: [echo, gather, wait, silent],
  needs: [],
  emits: [happened],
  follows: [],
  keeps: { tables: [] },
}).manifest;

/** The two ends of a bus: the same object, or two that are connected. */
export interface Ends extends AsyncDisposable {
  readonly left: Bus;
  readonly right: Bus;
}

/** A stamp of the plugin `left`. */
export const stamp = (remainingMs = 20_000): Stamp => ({
  from: "left",
  trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  deadlineAtMs: Date.now() + remainingMs,
});

/** Declares the suite. */
export function busContract(connected: Connect): void {
  carrying(connected);
  failing(connected);
  detailing(connected);
  batching(connected);
  waking(connected);
}

type Connect = () => Promise<Ends>;

function carrying(connected: Connect): void {
  test("gives what the asker makes of an answer, and fails with what it throws at it, alone", async () => {
    await using ends = await connected();
    ends.right.answer(gather, async (question) => question);
    await ends.right.ready();
    const refused = new Failure("internal", "not that one");
    const read = (answer: unknown): unknown => {
      if (answer === 2) throw refused;
      return `read ${String(answer)}`;
    };
    const asked = [1, 2, 3].map(async (one) => await ends.left.ask(gather, one, stamp(), read));
    expect(await Promise.allSettled(asked)).toEqual([
      { status: "fulfilled", value: "read 1" },
      { status: "rejected", reason: refused },
      { status: "fulfilled", value: "read 3" },
    ]);
  });

  test.for([
    ["bytes", new Uint8Array([0, 1, 255])],
    ["a small bigint", 5n],
    ["the largest bigint of the bus", 2n ** 63n - 1n],
    ["a negative bigint", -(2n ** 64n)],
    ["a number", 5],
    ["a number beyond 32 bits", 2 ** 40 + 1],
    ["a fraction", 0.1],
    ["text", "Grüße \u{1f600}"],
    ["nesting", { a: [null, true, { b: [] }], c: undefined }],
    ["a megabyte", new Uint8Array(1_000_000).fill(7)],
  ] as const)("carries %s as it is", async ([, value]) => {
    await using ends = await connected();
    ends.right.answer(echo, async (question) => question);
    await ends.right.ready();
    const answer = await ends.left.ask(echo, value, stamp());
    expect(answer).toEqual(value);
    if (value instanceof Uint8Array) expect(answer?.constructor).toBe(Uint8Array);
  });

  test("gives the answerer the asker, the trace and the deadline", async () => {
    await using ends = await connected();
    ends.right.answer(echo, async (_question, { id, ...rest }) => ({
      ...rest,
      ids: id.length > 0,
    }));
    await ends.right.ready();
    const given = stamp();
    const expected = { ...given, ids: true };
    await expect(ends.left.ask(echo, null, given)).resolves.toEqual(expected);
  });
}

function failing(connected: Connect): void {
  test.for(["not-found", "malformed", "guard-refused"] as const satisfies FailureCode[])(
    "brings the failure %s with its message and without its cause",
    async (code) => {
      await using ends = await connected();
      ends.right.answer(echo, async () => {
        await Promise.resolve();
        throw new Failure(code, "why", { cause: new Error("secret") });
      });
      await ends.right.ready();
      const thrown = await ends.left.ask(echo, null, stamp()).catch((it: unknown) => it);
      expect(thrown).toBeInstanceOf(Failure);
      expect(thrown).toMatchObject({ code, message: "why" });
      expect(thrown).not.toHaveProperty("cause");
    },
  );

  test("turns what is no failure into a bland one", async () => {
    await using ends = await connected();
    ends.right.answer(echo, async () => {
      await Promise.resolve();
      throw new Error("secret");
    });
    await ends.right.ready();
    await expect(ends.left.ask(echo, null, stamp())).rejects.toThrow("internal error");
  });

  test("fails at once when nobody answers", async () => {
    await using ends = await connected();
    await ends.right.ready();
    const before = performance.now();
    // And not at its deadline.
    await expect(ends.left.ask(silent, null, stamp(60_000))).toFailWith("overloaded");
    expect(performance.now() - before).toBeLessThan(30_000);
  });

  test("fails at its deadline when the answerer is slow, and once only", async () => {
    await using ends = await connected();
    let calls = 0;
    ends.right.answer(echo, async () => {
      calls++;
      await new Promise((resolve) => setTimeout(resolve, 300));
    });
    await ends.right.ready();
    // On a busy machine a question may come so late that nobody begins to answer it.
    for (let withinMs = 100; calls === 0; withinMs *= 2) {
      await expect(ends.left.ask(echo, null, stamp(withinMs))).toFailWith("deadline-exceeded");
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(calls).toBe(1);
  });

  test("waits for an answerer to appear, and no longer than told", async () => {
    await using ends = await connected();
    await expect(ends.left.awaitAnswerer(echo, "left", 30)).toFailWith("overloaded");
    const waiting = ends.left.awaitAnswerer(echo, "left", 60_000);
    ends.right.answer(echo, async () => null);
    await ends.right.ready();
    await expect(waiting).resolves.toBeUndefined();
  });
}

function detailing(connected: Connect): void {
  test("brings a failure's details, unless they are too long", async () => {
    await using ends = await connected();
    const details = { hash: new Uint8Array([1, 2]), retryAfterSeconds: 7, size: 2n ** 40n };
    ends.right.answer(echo, async (question) => {
      await Promise.resolve();
      throw new Failure("not-found", "why", { details: { ...details, question } });
    });
    await ends.right.ready();
    const ask = async (question: unknown) =>
      await ends.left.ask(echo, question, stamp()).catch((it: unknown) => it);
    expect(await ask(null)).toMatchObject({ code: "not-found", details });
    expect(await ask("x".repeat(70_000))).toMatchObject({ code: "not-found", message: "why" });
  });
}

function batching(connected: Connect): void {
  test("answers many questions of one tick together, each on its own merits", async () => {
    await using ends = await connected();
    let open = 0;
    let most = 0;
    ends.right.answer(gather, async (question) => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setImmediate(resolve));
      open--;
      if (question === 13) throw new Failure("not-found", "unlucky");
      return question;
    });
    await ends.right.ready();
    const asked = Array.from({ length: 64 }, (_, i) => ends.left.ask(gather, i, stamp()));
    const settled = await Promise.allSettled(asked);
    expect(settled[12]).toEqual({ status: "fulfilled", value: 12 });
    expect(settled[13]).toMatchObject({ status: "rejected", reason: { code: "not-found" } });
    expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(63);
    expect(most).toBe(64);
  });

  test("held questions are answered one by one, and hold up nobody", async () => {
    await using ends = await connected();
    const ready = Array.from({ length: 8 }, () => Promise.withResolvers<void>());
    ends.right.answer(wait, async (question) => {
      await ready[Number(question)]?.promise;
      return question;
    });
    await ends.right.ready();
    await ends.left.awaitAnswerer(wait, "left", 5_000);
    const answered: number[] = [];
    const asked = ready.map(async (_, i) => {
      await ends.left.ask(wait, i, stamp());
      answered.push(i);
    });
    // All in one letter, the last one first; whoever asks meanwhile is not in the way.
    for (const i of [7, 3]) {
      ready[i]?.resolve();
      await asked[i];
    }
    expect(answered).toEqual([7, 3]);
    for (const { resolve } of ready) resolve();
    await Promise.all(asked);
    expect(answered).toHaveLength(8);
  });

  test("answers a batch that no single message could hold", async () => {
    await using ends = await connected();
    ends.right.answer(gather, async (question) => question);
    await ends.right.ready();
    const value = new Uint8Array(3_000_000).fill(1);
    const asked = Array.from({ length: 6 }, () => ends.left.ask(gather, value, stamp(60_000)));
    for (const answer of await Promise.all(asked)) {
      // Compared by length first: a deep comparison of megabytes is slow.
      expect(answer).toHaveLength(value.length);
    }
  });
}

function waking(connected: Connect): void {
  test("wakes followers", async () => {
    await using ends = await connected();
    let woken = 0;
    ends.left.onWake("right", "left", () => woken++);
    await ends.left.ready();
    ends.right.wake("right");
    await expect.poll(() => woken).toBe(1);
  });

  test("drains: finishes what was accepted", async () => {
    await using ends = await connected();
    let begun = (): void => undefined;
    const accepted = new Promise<void>((resolve) => (begun = resolve));
    ends.right.answer(echo, async (question) => {
      begun();
      await new Promise((resolve) => setTimeout(resolve, 100));
      return question;
    });
    await ends.right.ready();
    const answer = ends.left.ask(echo, "kept", stamp());
    await accepted;
    await ends.right.drain(20_000);
    await expect(answer).resolves.toBe("kept");
  });
}
