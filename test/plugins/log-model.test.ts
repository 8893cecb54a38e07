/**
 * The engine against a model: whatever is appended, one by one or together, known or new, with restarts between, the log is the list
 * of different entries in some order that it has told, and every proof is what RFC 6962 gives by recursion over that list.
 */
import { fc, test } from "../support/fixed-draws.ts";
import { expect } from "vitest";
import type { Candidate } from "../../events/log.ts";
import {
  findLeaf,
  latestHead,
  proveConsistency,
  proveInclusion,
  readEntries,
} from "../../events/log.ts";
import { leafOf, mth, path, proof } from "../formats/naive-merkle.ts";
import "../support/matchers.ts";
import { body, LogBench, precertificate } from "./log-fixture.ts";

/** What the log has been told, as a naive reader would write it down. */
class Model {
  /** Index by name of the entry. */
  readonly indices = new Map<number, bigint>();
  readonly leaves: Uint8Array[] = [];
}

/** Numbers name entries: few of them, so that many come twice. */
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ append: fc.array(fc.nat(400), { minLength: 1, maxLength: 40 }) }),
  },
  // So many that rows of tiles and of the antispam index become complete, and are read at the next start.
  {
    weight: 2,
    arbitrary: fc.record({ many: fc.integer({ min: 200, max: 300 }), after: fc.nat(900) }),
  },
  { weight: 1, arbitrary: fc.constant({ restart: true }) },
  { weight: 3, arbitrary: fc.record({ prove: fc.tuple(fc.nat(), fc.nat(), fc.nat()) }) },
);
type Step = {
  append?: number[];
  many?: number;
  after?: number;
  restart?: boolean;
  prove?: [number, number, number];
};

const kinds = fc.constantFrom("rekor-v1", "rekor-v2", "rfc6962");

test.prop([kinds, fc.array(step, { minLength: 1, maxLength: 8 })], { numRuns: 25, seed: 6962 })(
  "the log is what a naive reader would make of what it was told",
  async (format, steps) => {
    const bench = new LogBench(format);
    const candidate = format === "rfc6962" ? precertificate : body;
    const model = new Model();
    await bench.start();
    try {
      for (const one of steps as Step[]) {
        const { append, many, after = 0, restart, prove } = one;
        if (restart === true) await bench.restart();
        const names =
          append ?? (many === undefined ? [] : Array.from({ length: many }, (_, at) => after + at));
        await appendAll(bench, model, names, candidate);
        if (prove !== undefined) await proveOne(bench, model, prove);
      }
      await compare(bench, model);
    } finally {
      await bench.stop();
    }
  },
);

async function appendAll(
  bench: LogBench,
  model: Model,
  names: readonly number[],
  candidate: (name: number) => Candidate,
): Promise<void> {
  const answers = await Promise.all(
    names.map(async (name) => ({ name, answer: await bench.append(candidate(name)) })),
  );
  for (const { name, answer } of answers) {
    const { index, leafHash } = answer;
    const before = model.indices.get(name);
    // Known is what was there before this round; twins of one round have one index too.
    if (before !== undefined) expect(index).toBe(before);
    model.indices.set(name, index);
    const there = model.leaves[Number(index)];
    if (there === undefined) model.leaves[Number(index)] = leafHash;
    else expect(leafHash).toEqual(there);
  }
  // Indices are without gaps, and each is one entry's.
  expect(model.leaves.length).toBe(model.indices.size);
  expect(new Set(model.indices.values()).size).toBe(model.indices.size);
  expect(Object.keys(model.leaves)).toHaveLength(model.leaves.length);
}

async function proveOne(
  bench: LogBench,
  { leaves }: Model,
  [a, b, c]: readonly [number, number, number],
): Promise<void> {
  const size = a % (leaves.length + 1);
  const first = b % (size + 1);
  const consistency = { log: "one", first: BigInt(first), second: BigInt(size) };
  expect(await bench.ask(proveConsistency, consistency)).toEqual({
    root: mth(leaves.slice(0, size)),
    proof: proof(first, leaves.slice(0, size)),
  });
  const beyond = { ...consistency, second: BigInt(leaves.length + 1) };
  await expect(bench.ask(proveConsistency, beyond)).toFailWith("out-of-range");
  if (size === 0) return;
  const index = c % size;
  const inclusion = { log: "one", index: BigInt(index), size: BigInt(size) };
  expect(await bench.ask(proveInclusion, inclusion)).toEqual({
    root: mth(leaves.slice(0, size)),
    proof: path(index, leaves.slice(0, size)),
  });
  const leafHash = leaves[index] ?? new Uint8Array(32);
  expect(await bench.ask(findLeaf, { log: "one", leafHash })).toEqual({ index: BigInt(index) });
}

async function compare(bench: LogBench, { leaves }: Model): Promise<void> {
  const { head } = await bench.ask(latestHead, { log: "one" });
  expect(head).toMatchObject({ size: BigInt(leaves.length), root: mth(leaves) });
  const stored: Uint8Array[] = [];
  while (stored.length < leaves.length) {
    const from = BigInt(stored.length);
    const { entries } = await bench.ask(readEntries, { log: "one", from, limit: 1_000 });
    stored.push(...entries.map(({ entry }) => leafOf(entry)));
  }
  expect(stored).toEqual(leaves);
  // No tree that was ever signed is anything but a prefix of today's.
  for (const tree of bench.vault.signedTrees) {
    expect(tree.root).toEqual(mth(leaves.slice(0, Number(tree.size))));
  }
}
