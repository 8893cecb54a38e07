/** kill -9 at each stage of the start of a log of twenty thousand entries: the next start is sound, and nothing is lost. */
import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { appendEntry, latestHead, proveInclusion } from "../../events/log.ts";
import { sqliteDriver } from "../../plugins/storage/sqlite.ts";
import { body, LogBench } from "../plugins/log-fixture.ts";
import { TestVault } from "../plugins/log-vault.ts";

const entries = 20_000;
const lanes = 2_000;
/** One after another at the end, so that the newest run is in pieces. */
const single = 20;
const child = new URL("./log-start-child.ts", import.meta.url).pathname;
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const folder = await mkdtemp(join(tmpdir(), "chancery-start-"));
const driver = sqliteDriver({ directory: folder });
const bench = new LogBench("rekor-v2", driver, new TestVault("localhost", pair));
afterAll(async () => {
  await bench.stop();
  await driver[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** Starts the log in a process of its own; null if it was killed, otherwise how many reads that took. */
async function startAndKill(read: number): Promise<number | null> {
  const { size, root } = bench.vault.last;
  const key = pair.privateKey.export({ type: "pkcs8", format: "pem" });
  const vault = JSON.stringify({ key, size: String(size), root: root.toHex() });
  const run = promisify(execFile)(process.execPath, [child, folder, vault, String(read)]);
  return await run.then(
    ({ stdout }) => Number(stdout),
    (ended: { readonly signal: string | null }) => {
      expect(ended.signal).toBe("SIGKILL");
      return null;
    },
  );
}

test("nothing is lost, and the index finds every entry", async () => {
  await bench.start();
  for (let from = 0; from < entries; from += lanes) {
    const some = Array.from({ length: lanes }, (_, at) => body(from + at));
    await Promise.all(
      some.map(
        async (entry) => await bench.ask(appendEntry, { log: "one", entry, prove: false }, "rekor"),
      ),
    );
  }
  for (let n = entries; n < entries + single; n++) {
    await bench.ask(appendEntry, { log: "one", entry: body(n), prove: false }, "rekor");
  }
  const { head } = await bench.ask(latestHead, { log: "one" });
  expect(head.size).toBe(BigInt(entries + single));
  await bench.stop();

  const reads = (await startAndKill(0)) ?? 0;
  expect(reads).toBeGreaterThan(10);
  // While the tree is read, before the hashes are read that the index is made of, and when it has been made of them.
  for (const read of [Math.floor(reads / 2), reads - 2, reads - 1]) {
    expect(await startAndKill(read)).toBeNull();
  }

  await bench.start();
  expect((await bench.ask(latestHead, { log: "one" })).head).toMatchObject({
    size: head.size,
    root: head.root,
  });
  const some = Array.from({ length: Math.ceil(entries / 499) }, (_, n) => n * 499);
  for (const n of [...some, entries, entries + single - 1]) {
    const { index, leafHash } = await bench.ask(
      appendEntry,
      { log: "one", entry: body(n), prove: false },
      "rekor",
    );
    expect((await bench.ask(proveInclusion, { log: "one", index, size: head.size })).root).toEqual(
      head.root,
    );
    expect(leafHash).toHaveLength(32);
  }
  // All of them were there: the log has not grown.
  expect((await bench.ask(latestHead, { log: "one" })).head.size).toBe(head.size);
  expect(await bench.fsck()).toEqual([]);
});
