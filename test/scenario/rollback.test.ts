/** State that went back in time: an old copy of one file beside new ones is found at the start, and nothing is signed over it. */
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runStart } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";

let place: Awaited<ReturnType<typeof preparedPlace>>;
const copies = { old: "", new: "" };

beforeAll(async () => {
  place = await preparedPlace();
  copies.old = `${place.home}.old`;
  copies.new = `${place.home}.new`;
  // Each start signs its proof, as the one that made the home did; both ended before they are copied.
  await cp(place.home, copies.old, { recursive: true });
  expect((await runStart(place)).code).toBe(0);
  await cp(place.home, copies.new, { recursive: true });
});

afterAll(async () => await place.remove());

async function put(copy: string, file: string): Promise<void> {
  for (const suffix of ["", "-wal", "-shm"]) {
    await rm(join(place.home, `${file}${suffix}`), { force: true });
  }
  await cp(join(copy, file), join(place.home, file));
}

test.for([
  ["data/log-rekor.db", /log "rekor": .* the store is older than the vault/],
  ["data/log-ct.db", /log "ct": .* the store is older than the vault/],
  ["vault/vault.db", /the vault's state is older than the log/],
] as const)("an older %s keeps everything down, with its sentence", async ([file, sentence]) => {
  await put(copies.old, file);
  const refused = await runStart(place);
  expect(refused.stdout + refused.stderr).toMatch(sentence);
  expect(refused.code).toBe(3);
  await put(copies.new, file);
});

test("with everything back in place it starts as if nothing had been", async () => {
  expect((await runStart(place)).code).toBe(0);
});
