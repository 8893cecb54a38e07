import { expect, it } from "vitest";
import type { Pending } from "../../plugins/log/pending.ts";
import { RecentEntries } from "../../plugins/log/recent.ts";

function published(index: number, sizeBytes = 100): Pending {
  const entry = new Uint8Array(sizeBytes).fill(index);
  return {
    name: entry.toHex(),
    identity: entry,
    candidate: null,
    sizeBytes,
    placed: { index: BigInt(index), entry, extraData: new Uint8Array(), integratedAtMs: 0n },
    leafHash: entry,
    promise: Uint8Array.of(index),
    published: true,
    waiters: [],
  };
}

function filled(count: number, sizeBytes?: number): RecentEntries {
  const recent = new RecentEntries();
  for (let index = 0; index < count; index++) recent.add(published(index, sizeBytes));
  return recent;
}

it("gives consecutive entries with their promises, all that are asked for or none", () => {
  const recent = filled(10);
  const some = recent.slice(3n, 2) ?? [];
  expect(some.map(({ index, promise }) => [index, promise?.[0]])).toEqual([
    [3n, 3],
    [4n, 4],
  ]);
  expect(recent.slice(9n, 1)).toHaveLength(1);
  expect(recent.slice(9n, 2)).toBeNull();
  expect(recent.slice(10n, 1)).toBeNull();
  expect(new RecentEntries().slice(0n, 1)).toBeNull();
});

it("forgets the oldest beyond 1,024 entries or a mebibyte", () => {
  const many = filled(1_024);
  expect(many.slice(0n, 1)).toHaveLength(1);
  many.add(published(1_024));
  expect(many.slice(0n, 1)).toBeNull();
  expect(many.slice(1_000n, 25)).toHaveLength(25);
  const large = filled(16, 65_536);
  expect(large.slice(0n, 16)).toHaveLength(16);
  large.add(published(16, 65_536));
  expect(large.slice(0n, 1)).toBeNull();
  expect(large.slice(16n, 1)).toHaveLength(1);
});

it("begins anew where an entry does not follow the one before it", () => {
  const recent = filled(5);
  recent.add(published(9));
  expect(recent.slice(4n, 1)).toBeNull();
  expect(recent.slice(9n, 1)).toHaveLength(1);
});
