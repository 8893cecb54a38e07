/** What NATS and the pairwise MACs refuse, on a real server. */
import { randomBytes } from "node:crypto";
import { connect, type NatsConnection, nkeyAuthenticator } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { askSubject } from "../../core/acl.ts";
import type { Bus } from "../../core/bus.ts";
import { openAnswer, type QuestionLetter, sealAnswer, sealQuestion } from "../../core/letter.ts";
import { natsBus } from "../../core/nats.ts";
import { authenticate } from "../../core/seals.ts";
import { encode } from "../../core/wire.ts";
import { startNats, type TestNats } from "../support/nats-server.ts";
import { echo, left, right, stamp } from "./bus-contract.ts";
import { happened, outsider } from "./outsider.ts";
import "../support/matchers.ts";

let nats: TestNats;
let stack: AsyncDisposableStack;
let warnings: string[];
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  warnings = [];
  nats = stack.use(await startNats([left, right, outsider]));
});
afterEach(async () => await stack.disposeAsync());

const journal = () => ({
  info() {},
  warn: (event: string, fields?: { readonly [name: string]: unknown }) => {
    warnings.push(`${event} ${String(fields?.["reason"])}`);
  },
  error() {},
});

const busOf = async (...names: readonly string[]): Promise<Bus> =>
  stack.use(
    await natsBus({
      servers: [nats.url],
      plugins: names.map((name) => ({ name, seed: nats.seeds.get(name) ?? new Uint8Array() })),
      pairKeys: nats.pairKeys,
      journal,
    }),
  );

/** The connection of a plugin whose process somebody has taken over. */
const rawAs = async (name: string): Promise<NatsConnection & AsyncDisposable> => {
  const seed = nats.seeds.get(name) ?? new Uint8Array();
  const connection = await connect({
    servers: nats.url,
    authenticator: nkeyAuthenticator(seed),
    inboxPrefix: `_INBOX.${name}`,
  });
  stack.defer(async () => await connection.close());
  return Object.assign(connection, { [Symbol.asyncDispose]: async () => await connection.close() });
};

const refusals = async (connection: NatsConnection, act: () => void): Promise<string[]> => {
  const seen: string[] = [];
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type === "error") seen.push(status.error.message);
    }
  })();
  act();
  await connection.flush();
  await expect.poll(() => seen.length).toBeGreaterThan(0);
  return seen;
};

const subject = askSubject(echo, "left");
const letterNow = (change: Partial<QuestionLetter> = {}): QuestionLetter => {
  const { trace, deadlineAtMs } = stamp();
  const items = [{ trace, deadlineAtMs, question: encode("hi") }];
  return { id: new Uint8Array(randomBytes(16)), sentAtMs: Date.now(), items, ...change };
};
const key = (): Uint8Array => nats.pairKeys("left", "right") ?? new Uint8Array();

/** Publishes messages as `left`, waits until each was answered or refused, and says how. */
const answersTo = async (make: () => readonly Uint8Array[]) => {
  const calls: unknown[] = [];
  const bus = await busOf("right");
  bus.answer(echo, async (question) => {
    calls.push(question);
    return question;
  });
  await bus.ready();
  const connection = await rawAs("left");
  const answers: Uint8Array[] = [];
  connection.subscribe("_INBOX.left.x", { callback: (_, { data }) => void answers.push(data) });
  // Made only now: what was sent before the answerer was there is refused for that alone.
  const messages = make();
  for (const message of messages) connection.publish(subject, message, { reply: "_INBOX.left.x" });
  await connection.flush();
  const settled = (): number => answers.length + warnings.length;
  await expect.poll(settled).toBeGreaterThanOrEqual(messages.length);
  // Nothing comes after that.
  await new Promise((resolve) => setTimeout(resolve, 50));
  return { calls, answers };
};

describe("permissions", () => {
  test.for([
    ["another room's ask in its own name", "chancery.v1.ask.right.echo.outsider"],
    ["an ask in another's name", "chancery.v1.ask.right.echo.left"],
    ["a wake-up of another room", "chancery.v1.wake.right"],
    ["another's inbox", "_INBOX.left.x.y"],
    ["the server's own subjects", "$SYS.REQ.SERVER.PING"],
    ["JetStream", "$JS.API.INFO"],
    ["anything else", "hello"],
  ] as const)("refuse a plugin that publishes to %s", async ([, subject]) => {
    const connection = await rawAs("outsider");
    const seen = await refusals(connection, () => connection.publish(subject, "x"));
    expect(seen.join()).toContain(`Permissions Violation for Publish to "${subject}"`);
  });

  test.for([
    ["everything", ">"],
    ["another room's asks", "chancery.v1.ask.right.echo.*"],
    ["all asks", "chancery.v1.ask.>"],
    ["another's inbox", "_INBOX.left.>"],
    ["all inboxes", "_INBOX.>"],
    ["the server's own subjects", "$SYS.>"],
  ] as const)("refuse a plugin that listens to %s", async ([, subject]) => {
    const connection = await rawAs("outsider");
    const seen = await refusals(connection, () => connection.subscribe(subject));
    expect(seen.join()).toContain(`Permissions Violation for Subscription to "${subject}"`);
  });

  test("refuse a plugin that steals work in another room's queue group", async () => {
    const connection = await rawAs("outsider");
    const subject = "chancery.v1.ask.right.echo.*";
    const seen = await refusals(connection, () =>
      connection.subscribe(subject, { queue: "right" }),
    );
    expect(seen.join()).toContain("Permissions Violation");
  });

  test("refuse whoever has no nkey, or one of another installation", async () => {
    await expect(connect({ servers: nats.url, reconnect: false })).rejects.toThrow();
    const stranger = await startNats([left]);
    stack.use(stranger);
    const authenticator = nkeyAuthenticator(stranger.seeds.get("left") ?? new Uint8Array());
    await expect(connect({ servers: nats.url, authenticator, reconnect: false })).rejects.toThrow();
  });

  test("refuse an ask that the manifest does not mention, at once", async () => {
    const bus = await busOf("outsider");
    const asked = bus.ask(echo, null, { ...stamp(), from: "outsider" });
    await expect(asked).toFailWith("internal");
  });

  test("let a follower hear of facts and ask for them", async () => {
    const ends = { emitter: await busOf("right"), follower: await busOf("outsider") };
    let woken = 0;
    ends.follower.onWake("right", "outsider", () => woken++);
    ends.emitter.answer(happened, async () => ({ facts: [] }));
    await ends.follower.ready();
    await ends.emitter.ready();
    ends.emitter.wake("right");
    await expect.poll(() => woken).toBe(1);
    const asked = ends.follower.ask(happened, {}, { ...stamp(5_000), from: "outsider" });
    await expect(asked).resolves.toEqual({ facts: [] });
  });
});

describe("letters", () => {
  test("a genuine one is answered, and the answer is bound to its nonce", async () => {
    let sent: QuestionLetter | undefined;
    const letter = (): QuestionLetter => (sent = letterNow());
    const { calls, answers } = await answersTo(() => [sealQuestion(key(), subject, letter())]);
    expect(calls).toEqual(["hi"]);
    const { id, items } = openAnswer(key(), subject, answers[0] ?? new Uint8Array());
    expect(id).toEqual(sent?.id);
    expect(items).toEqual([{ at: 0, answer: encode("hi") }]);
  });
});

describe("a letter", () => {
  test.for([
    [
      "under a wrong key",
      () => sealQuestion(new Uint8Array(32), subject, letterNow()),
      "the MAC is wrong",
    ],
    [
      "made for another ask of the same pair",
      () => sealQuestion(key(), subject.replace("echo", "gather"), letterNow()),
      "the MAC is wrong",
    ],
    [
      "that is an answer turned round",
      () => sealAnswer(key(), subject, { id: new Uint8Array(16), items: [] }),
      "the MAC is wrong",
    ],
    [
      "with one bit flipped",
      () => flipLast(sealQuestion(key(), subject, letterNow())),
      "the MAC is wrong",
    ],
    [
      "cut short",
      () => sealQuestion(key(), subject, letterNow()).subarray(0, 20),
      "the MAC is wrong",
    ],
    ["that is empty", () => new Uint8Array(), "the MAC is wrong"],
    [
      "sent before the answerer started",
      () => sealQuestion(key(), subject, letterNow({ sentAtMs: Date.now() - 60_000 })),
      "it was sent before",
    ],
    [
      "whose deadline has passed",
      () => sealQuestion(key(), subject, expiring(letterNow(), Date.now() - 1)),
      "its deadline has passed",
    ],
    [
      "whose deadline is far away",
      () => sealQuestion(key(), subject, expiring(letterNow(), Date.now() + 86_400_000)),
      "its deadline is too far away",
    ],
    [
      "that is genuine rubbish",
      () => {
        const body = encode({ nonsense: true });
        return Uint8Array.from([...authenticate(key(), `ask ${subject}`, body), ...body]);
      },
      "no letter",
    ],
  ] as const)("one %s is neither handled nor answered", async ([, message, reason]) => {
    const { calls, answers } = await answersTo(() => [message()]);
    expect(calls).toEqual([]);
    expect(answers).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining(`ask-refused ${reason}`)]);
  });
});

describe("letters, used wrongly,", () => {
  test("a replayed one is handled once", async () => {
    const { calls, answers } = await answersTo(() => {
      const message = sealQuestion(key(), subject, letterNow());
      return [message, message, message];
    });
    expect(calls).toHaveLength(1);
    expect(answers).toHaveLength(1);
    expect(warnings.filter((line) => line.includes("answered before"))).toHaveLength(2);
  });

  test("one whose answer would go to somebody else is refused", async () => {
    const bus = await busOf("right");
    let calls = 0;
    bus.answer(echo, async () => calls++);
    await bus.ready();
    const connection = await rawAs("left");
    const message = sealQuestion(key(), subject, letterNow());
    connection.publish(subject, message, { reply: "_INBOX.outsider.x" });
    await connection.flush();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(calls).toBe(0);
  });

  test("a forged answer is ignored, and the true one still counts", async () => {
    const bus = await busOf("left");
    const forger = await rawAs("right");
    forger.subscribe(subject, {
      callback: (_, { reply = "", data }) => {
        const items = [{ at: 0, answer: encode("forged") }];
        forger.publish(
          reply,
          sealAnswer(new Uint8Array(32), subject, { id: new Uint8Array(16), items }),
        );
        forger.publish(reply, sealAnswer(key(), subject, { id: new Uint8Array(16), items }));
        forger.publish(reply, data);
        const id = Uint8Array.fromHex(reply.slice(reply.lastIndexOf(".") + 1));
        const truth = [{ at: 0, answer: encode("true") }];
        setTimeout(
          () => forger.publish(reply, sealAnswer(key(), subject, { id, items: truth })),
          20,
        );
      },
    });
    await forger.flush();
    await expect(bus.ask(echo, null, stamp())).resolves.toBe("true");
    expect(warnings.filter((line) => line.startsWith("answer-refused"))).toHaveLength(3);
  });
});

describe("when the server", () => {
  test("is gone, asks fail at once; when it is back, they work again by themselves", async () => {
    const ends = { left: await busOf("left"), right: await busOf("right") };
    ends.right.answer(echo, async (question) => question);
    await ends.right.ready();
    await expect(ends.left.ask(echo, 1, stamp())).resolves.toBe(1);

    await nats.kill();
    const gone = (): number =>
      warnings.filter((line) => line.startsWith("bus-disconnected")).length;
    await expect.poll(gone).toBe(2);
    const before = performance.now();
    // At once, and not at its deadline.
    await expect(ends.left.ask(echo, 2, stamp(60_000))).toFailWith("overloaded");
    expect(performance.now() - before).toBeLessThan(30_000);

    await nats.start();
    await ends.left.awaitAnswerer(echo, "left", 60_000);
    await expect(ends.left.ask(echo, 3, stamp())).resolves.toBe(3);
  });

  test("dies in the middle of an ask, the ask fails soon after it is back", async () => {
    const ends = { left: await busOf("left"), right: await busOf("right") };
    ends.right.answer(echo, async () => await new Promise(() => undefined));
    await ends.right.ready();
    const asked = ends.left.ask(echo, 1, stamp(120_000));
    const outcome = expect(asked).toFailWith("deadline-exceeded");
    await ends.left.ready();
    await nats.kill();
    await nats.start();
    const before = performance.now();
    await outcome;
    expect(performance.now() - before).toBeLessThan(60_000);
  });
});

function expiring(letter: QuestionLetter, deadlineAtMs: number): QuestionLetter {
  return { ...letter, items: letter.items.map((item) => ({ ...item, deadlineAtMs })) };
}

function flipLast(bytes: Uint8Array): Uint8Array {
  const flipped = bytes.slice();
  flipped[flipped.length - 1] = (flipped[flipped.length - 1] ?? 0) ^ 1;
  return flipped;
}
