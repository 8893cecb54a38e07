import { expect, test } from "vitest";
import { Syncs } from "../../hsm/syncing.ts";

/** Syncs that end when told to. */
function manual() {
  const under: { readonly end: () => void; readonly fail: () => void }[] = [];
  const syncs = new Syncs(
    async () =>
      await new Promise((resolve, reject) => {
        under.push({ end: resolve, fail: () => reject(new Error("EIO")) });
      }),
  );
  return { under, syncs };
}

const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

test("one runs at a time, and whoever asks meanwhile shares the next", async () => {
  const { under, syncs } = manual();
  const ended: string[] = [];
  const ask = (name: string): void => void syncs.sync().then(() => ended.push(name));
  ask("first");
  ask("second");
  ask("third");
  await turn();
  expect(under).toHaveLength(1);
  under[0]?.end();
  await turn();
  // What was written during the first is not on the disk with it.
  expect(ended).toEqual(["first"]);
  expect(under).toHaveLength(2);
  ask("fourth");
  under[1]?.end();
  await turn();
  expect(ended).toEqual(["first", "second", "third"]);
  expect(under).toHaveLength(3);
  under[2]?.end();
  await turn();
  expect(ended).toEqual(["first", "second", "third", "fourth"]);
  ask("fifth");
  expect(under).toHaveLength(4);
});

test("after one has failed, all fail, and nothing is tried again", async () => {
  const { under, syncs } = manual();
  const first = syncs.sync();
  const second = syncs.sync();
  under[0]?.fail();
  await expect(first).rejects.toThrow("EIO");
  await expect(second).rejects.toThrow("EIO");
  await expect(syncs.sync()).rejects.toThrow("EIO");
  await expect(syncs.sync()).rejects.toThrow("EIO");
  expect(under).toHaveLength(1);
});
