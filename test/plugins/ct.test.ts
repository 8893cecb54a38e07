import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { definePlugin } from "../../core/plugin.ts";
import type { AnswerOf, Ask, QuestionOf } from "../../events/contract.ts";
import {
  addPreChain,
  getEntries,
  getEntryAndProof,
  getProofByHash,
  getRoots,
  getSth,
  getSthConsistency,
} from "../../events/ct.ts";
import { Failure, type FailureCode } from "../../events/failure.ts";
import {
  appendEntry,
  findLeaf,
  latestHead,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";
import ct from "../../plugins/ct/plugin.ts";
import { bootForTest } from "../support/boot.ts";
import { issuerRooms } from "./issuer-rooms.ts";
import "../support/matchers.ts";

const hash = (fill: number) => new Uint8Array(32).fill(fill);
const log = "ct";
const size = 300n;
const head = {
  size,
  root: hash(1),
  checkpoint: "",
  treeHead: { timestampMs: 9n, signature: Uint8Array.of(4, 3, 0, 0) },
};

/** Answers of a log of 300 entries; a test may have it fail or answer otherwise. */
interface LogAnswers {
  latestHead: () => AnswerOf<typeof latestHead>;
  readEntries: (question: QuestionOf<typeof readEntries>) => AnswerOf<typeof readEntries>;
  findLeaf: () => AnswerOf<typeof findLeaf>;
  proveInclusion: (question: QuestionOf<typeof proveInclusion>) => AnswerOf<typeof proveInclusion>;
  proveConsistency: (
    question: QuestionOf<typeof proveConsistency>,
  ) => AnswerOf<typeof proveConsistency>;
}

const beyond = (asked: bigint) => {
  if (asked > size) throw new Failure("out-of-range", "beyond the tree");
};

function answers(): LogAnswers {
  return {
    latestHead: () => ({ logId: hash(3), head }),
    readEntries: ({ from, limit }) => ({
      entries: Array.from(
        { length: Math.max(0, Math.min(limit, Number(size - from))) },
        (_, at) => ({
          index: from + BigInt(at),
          entry: Uint8Array.of(at % 256),
          extraData: Uint8Array.of(7),
          integratedAtMs: 0n,
        }),
      ),
    }),
    findLeaf: () => ({ index: 5n }),
    proveInclusion({ size: asked }) {
      beyond(asked);
      return { root: hash(1), proof: [hash(2)] };
    },
    proveConsistency({ first, second }) {
      beyond(second);
      return { root: hash(1), proof: first === second ? [] : [hash(4)] };
    },
  };
}

async function boot(change: Partial<LogAnswers> = {}) {
  const given = { ...answers(), ...change };
  const rooms = issuerRooms();
  const log = definePlugin({
    name: "log",
    summary: "answers what a test says",
    config: v.strictObject({}),
    offers: [appendEntry, readEntries, findLeaf, latestHead, proveInclusion, proveConsistency],
    needs: [],
    emits: [],
    follows: [],
    reaches: [],
  }).implement(async () => {
    await Promise.resolve();
    return {
      handlers: {
        appendEntry: async () => await Promise.reject(new Failure("not-found", "no such log")),
        readEntries: async (question) => await Promise.resolve(given.readEntries(question)),
        findLeaf: async () => await Promise.resolve(given.findLeaf()),
        latestHead: async () => await Promise.resolve(given.latestHead()),
        proveInclusion: async (question) => await Promise.resolve(given.proveInclusion(question)),
        proveConsistency: async (question) =>
          await Promise.resolve(given.proveConsistency(question)),
      },
    };
  });
  const vault = rooms.plugins.filter(({ manifest }) => manifest.name === "hsm");
  const installation = await bootForTest({ entries: [ct, log, ...vault], clock: rooms.clock });
  return {
    rooms,
    ask: async <A extends Ask>(ask: A, question: QuestionOf<A>) =>
      await installation.ask(ask, question),
    [Symbol.asyncDispose]: async () => await installation.dispose(),
  };
}

const fails = (code: FailureCode) => (): never => {
  throw new Failure(code, "as the test wants");
};

test("get-sth gives the published tree head", async () => {
  await using house = await boot();
  expect(await house.ask(getSth, { log })).toEqual({ size, root: hash(1), ...head.treeHead });
});

test("get-roots gives the root, and no CA below it", async () => {
  await using house = await boot();
  const { certificates } = await house.ask(getRoots, { log });
  expect(certificates).toEqual([house.rooms.authority.root.der]);
});

describe("get-sth-consistency", () => {
  test.each([
    [1n, 300n, 1],
    [300n, 300n, 0],
  ])("from %i to %i", async (first, second, length) => {
    await using house = await boot();
    const { consistency } = await house.ask(getSthConsistency, { log, first, second });
    expect(consistency).toHaveLength(length);
  });

  test.each([
    [0n, 5n],
    [0n, 0n],
    [6n, 5n],
    [5n, 301n],
  ])("refuses %i to %i", async (first, second) => {
    await using house = await boot();
    await expect(house.ask(getSthConsistency, { log, first, second })).toFailWith("out-of-range");
  });
});

describe("get-proof-by-hash", () => {
  test("gives index and path", async () => {
    await using house = await boot();
    const proof = await house.ask(getProofByHash, { log, hash: hash(8), treeSize: 6n });
    expect(proof).toEqual({ leafIndex: 5n, auditPath: [hash(2)] });
  });

  test.each<[string, bigint, FailureCode, Partial<LogAnswers>]>([
    ["a tree of no leaves", 0n, "out-of-range", {}],
    ["a tree before the leaf", 5n, "not-found", {}],
    ["a tree that is not there yet", 301n, "out-of-range", {}],
    ["an unknown leaf", 6n, "not-found", { findLeaf: fails("not-found") }],
  ])("refuses %s", async (_, treeSize, code, change) => {
    await using house = await boot(change);
    await expect(house.ask(getProofByHash, { log, hash: hash(8), treeSize })).toFailWith(code);
  });
});

describe("get-entry-and-proof", () => {
  test("gives the entry with its proof", async () => {
    await using house = await boot();
    expect(await house.ask(getEntryAndProof, { log, leafIndex: 5n, treeSize: 6n })).toEqual({
      leafInput: Uint8Array.of(0),
      extraData: Uint8Array.of(7),
      auditPath: [hash(2)],
    });
  });

  test.each([
    [0n, 0n],
    [6n, 6n],
    [5n, 301n],
  ])("refuses leaf %i of a tree of %i", async (leafIndex, treeSize) => {
    await using house = await boot();
    await expect(house.ask(getEntryAndProof, { log, leafIndex, treeSize })).toFailWith(
      "out-of-range",
    );
  });
});

describe("get-entries", () => {
  test.each([
    [0n, 0n, 1],
    [0n, 255n, 256],
    [0n, 256n, 256],
    [0n, 2n ** 63n - 1n, 256],
    [299n, 300n, 1],
    [290n, 1_000_000_000n, 10],
  ])("from %i to %i gives %i", async (start, end, length) => {
    await using house = await boot();
    const { entries } = await house.ask(getEntries, { log, start, end });
    expect(entries).toHaveLength(length);
    expect(entries[0]).toEqual({ leafInput: Uint8Array.of(0), extraData: Uint8Array.of(7) });
  });

  test.each([
    [1n, 0n],
    [300n, 300n],
    [301n, 400n],
  ])("refuses %i to %i", async (start, end) => {
    await using house = await boot();
    await expect(house.ask(getEntries, { log, start, end })).toFailWith("out-of-range");
  });
});

test.each<[Ask, Partial<LogAnswers>]>([
  [getSth, { latestHead: fails("not-found") }],
  [
    getSth,
    { latestHead: () => ({ logId: hash(3), head: { size, root: hash(1), checkpoint: "" } }) },
  ],
  [getSth, { latestHead: fails("log-unavailable") }],
])("a log that cannot answer is unavailable", async (ask, change) => {
  await using house = await boot(change);
  await expect(house.ask(ask, { log })).toFailWith("log-unavailable");
});

test.each([
  ["an empty chain", []],
  ["eleven certificates", Array.from({ length: 11 }, () => Uint8Array.of(1))],
  ["64 KiB and a byte", [new Uint8Array(65_537)]],
])("add-pre-chain refuses %s before looking inside", async (_, chain) => {
  await using house = await boot();
  await expect(house.ask(addPreChain, { chain })).toFailWith("malformed");
});

test("add-pre-chain refuses a strange chain", async () => {
  await using house = await boot();
  await expect(house.ask(addPreChain, { chain: [Uint8Array.of(1)] })).toFailWith("chain-rejected");
});
