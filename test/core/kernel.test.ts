import * as v from "valibot";
import { expect, test } from "vitest";
import { definePlugin, emit } from "../../core/plugin.ts";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { ask, fact } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { bootForTest } from "../support/boot.ts";
import "../support/matchers.ts";

const terms = { failures: ["not-found"], deadlineMs: 30_000 } as const;
const shout = ask("loud", "shout", {
  question: v.strictObject({ text: v.string() }),
  answer: v.strictObject({ text: v.string(), trace: v.string() }),
  ...terms,
});
const write = ask("book", "write", {
  question: v.strictObject({ word: v.string(), spoil: v.optional(v.boolean()) }),
  answer: v.strictObject({}),
  ...terms,
});
const list = ask("reader", "list", {
  question: v.strictObject({}),
  answer: v.strictObject({ words: v.array(v.string()) }),
  ...terms,
});
const wordWritten = fact("book", "wordWritten", v.strictObject({ word: v.string() }));

const loud = definePlugin({
  name: "loud",
  summary: "Shouts",
  config: v.strictObject({ suffix: v.optional(v.string(), "!") }),
  offers: [shout],
  needs: [],
  emits: [],
  follows: [],
  reaches: [],
});
const loudPlugin = loud.implement(async ({ config }) => ({
  handlers: {
    async shout({ text }, { trace, from }) {
      if (text === "bug") throw new Error("a bug");
      if (text === "gone") throw new Failure("not-found", "gone");
      if (text === "undeclared") throw new Failure("guard-refused", "secret");
      return { text: `${from}: ${text.toUpperCase()}${config.suffix}`, trace };
    },
  },
}));

const book = definePlugin({
  name: "book",
  summary: "Writes words",
  config: v.strictObject({ chapters: v.array(v.string()) }),
  offers: [write],
  needs: [],
  emits: [wordWritten],
  follows: [],
  keeps: { tables: ["words"], partitioned: true },
  partitions: ({ chapters }) => chapters,
  reaches: [],
});
const bookPlugin = book.implement(async ({ stores, config }) => {
  const store = await stores.open(config.chapters[0]);
  return {
    handlers: {
      async write({ word, spoil }) {
        const key = encodeUtf8(word);
        await store.commit({
          writes: [{ table: "words", key, value: key }],
          expect: spoil ? [{ table: "words", key, value: key }] : [],
          facts: [emit(wordWritten, { word })],
        });
        return {};
      },
    },
  };
});

const readerManifest = definePlugin({
  name: "reader",
  summary: "Follows words",
  config: v.strictObject({}),
  offers: [list],
  needs: [],
  emits: [],
  follows: [wordWritten],
  keeps: { tables: [] },
  reaches: [],
});
const readerPlugin = (words: string[], refuse: (word: string) => boolean = () => false) =>
  readerManifest.implement(async () => ({
    handlers: {
      async list() {
        return { words: [...words] };
      },
      async wordWritten({ word }) {
        if (refuse(word)) throw new Error("not now");
        words.push(word);
      },
    },
  }));

const words = { book: { chapters: ["one"] } };

test("an ask reaches its answerer with the asker's name and the configured defaults", async () => {
  await using house = await bootForTest({ entries: [loudPlugin] });
  const answer = await house.ask(shout, { text: "hi" }, "me");
  expect(answer.text).toBe("me: HI!");
  expect(answer.trace).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

test.for([
  ["a question that breaks its schema", { text: 1 }, "malformed"],
  ["a declared failure", { text: "gone" }, "not-found"],
  ["a failure that was not declared", { text: "undeclared" }, "internal"],
  ["a bug", { text: "bug" }, "internal"],
] as const)("%s reaches the asker by its code alone", async ([, question, code]) => {
  await using house = await bootForTest({ entries: [loudPlugin] });
  const asked = house.ask(shout, question as { text: string });
  await expect(asked).toFailWith(code);
  const thrown = await asked.catch((failure: unknown) => failure);
  expect(thrown).not.toHaveProperty("cause");
  expect(String(thrown)).not.toMatch(/secret|a bug/);
});

test("facts arrive in order, once handled are not repeated, and survive a restart", async () => {
  const first = await bootForTest({ entries: [bookPlugin, readerPlugin([])], config: words });
  await first.ask(write, { word: "a" });
  await first.ask(write, { word: "b" });
  await expect.poll(async () => (await first.ask(list, {})).words).toEqual(["a", "b"]);
  await first.dispose();

  await using second = await bootForTest({
    entries: [bookPlugin, readerPlugin([])],
    config: words,
    storage: first.storage,
  });
  await second.ask(write, { word: "c" });
  await expect.poll(async () => (await second.ask(list, {})).words).toEqual(["c"]);
});

test("facts that come one at a time are pulled and made durable together", async () => {
  const many = Array.from({ length: 40 }, (_, at) => `word ${at}`);
  const seen: string[] = [];
  let settled = 0;
  const reader = readerManifest.implement(async () => ({
    handlers: {
      list: async () => ({ words: [...seen] }),
      wordWritten: async ({ word }) => void seen.push(word),
    },
    settle: async () => void (settled += 1),
  }));
  await using house = await bootForTest({ entries: [bookPlugin, reader], config: words });
  for (const word of many) {
    await house.ask(write, { word });
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await expect.poll(() => seen).toEqual(many);
  expect(settled).toBeLessThan(many.length / 2);
});

test("a fact that cannot be handled is tried again before the next, and shows in health", async () => {
  let refusing = true;
  const reader = readerPlugin([], (word) => refusing && word === "b");
  await using house = await bootForTest({ entries: [bookPlugin, reader], config: words });
  for (const word of ["a", "b", "c"]) await house.ask(write, { word });
  await expect.poll(() => house.health()["reader"]?.status).toBe("degraded");
  expect((await house.ask(list, {})).words).toEqual(["a"]);
  refusing = false;
  await expect.poll(async () => (await house.ask(list, {})).words).toEqual(["a", "b", "c"]);
  await expect.poll(() => house.health()["reader"]?.status).toBe("ok");
});

test("facts that a follower could not settle come again, and the cursor waits for them", async () => {
  const seen: string[] = [];
  let settled = 0;
  const reader = readerManifest.implement(async () => ({
    handlers: {
      list: async () => ({ words: [...seen] }),
      wordWritten: async ({ word }) => void seen.push(word),
    },
    async settle() {
      settled += 1;
      if (settled === 1) throw new Error("the disk is slow");
    },
  }));
  await using house = await bootForTest({ entries: [bookPlugin, reader], config: words });
  await house.ask(write, { word: "a" });
  await expect.poll(() => seen).toEqual(["a", "a"]);
  await house.ask(write, { word: "b" });
  await expect.poll(() => seen).toEqual(["a", "a", "b"]);
});

test("a commit that is refused writes neither row nor fact", async () => {
  await using house = await bootForTest({ entries: [bookPlugin, readerPlugin([])], config: words });
  await expect(house.ask(write, { word: "x", spoil: true })).toFailWith("internal");
  await house.ask(write, { word: "y" });
  await expect.poll(async () => (await house.ask(list, {})).words).toEqual(["y"]);
});

test("what was started is disposed in reverse when a later start fails", async () => {
  const events: string[] = [];
  const named = (name: string, fails: boolean) =>
    definePlugin({ ...loud.manifest, name, offers: [], config: v.any() }).implement(async () => {
      await Promise.resolve();
      events.push(`start ${name}`);
      if (fails) throw new Error("no");
      return {
        handlers: {},
        async [Symbol.asyncDispose]() {
          events.push(`dispose ${name}`);
        },
      };
    });
  const entries = [named("one", false), named("two", false), named("three", true)];
  await expect(bootForTest({ entries })).rejects.toThrow("no");
  expect(events).toEqual(["start one", "start two", "start three", "dispose two", "dispose one"]);
});

test.for([
  ["an unknown section", { loud: {}, lout: {} }, 'config section "lout" belongs to no plugin'],
  ["an unknown key", { loud: { sufix: "?" } }, 'config of "loud": sufix'],
] as const)("refuses %s before any plugin runs", async ([, config, says]) => {
  await expect(bootForTest({ entries: [loudPlugin], config })).rejects.toThrow(says);
});

test("tells the journal of a question that breaks its schema, and quotes nothing of it", async () => {
  const told: { event: string; fields: unknown }[] = [];
  const note = (event: string, fields?: unknown): void => void told.push({ event, fields });
  const journal = { debug: note, info: note, warn: note, error: note };
  await using installation = await bootForTest({
    entries: [loudPlugin],
    config: {},
    journal: () => journal,
  });
  const strange: object = { text: "x", extra: "secret" };
  await expect(installation.ask(shout, strange as { text: string }, "door")).toFailWith(
    "malformed",
  );
  expect(told).toMatchObject([{ event: "ask-malformed", fields: { ask: "shout", from: "door" } }]);
  expect(JSON.stringify(told)).not.toContain("secret");
});
