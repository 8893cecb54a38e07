/**
 * The fault machine is tested too: builds that break a promise on purpose must be caught, by its checker or because the product
 * itself finds out at a start of the run and stays down, which ends the run.
 */
import { expect, test } from "vitest";
import { brokenBuild, type Breakage } from "./broken-build.ts";
import { runMachine } from "./machine.ts";

async function machineOn(
  breakages: readonly Breakage[],
  kinds: readonly string[],
): Promise<string> {
  using build = brokenBuild(breakages);
  const report = runMachine({
    seed: 7,
    kinds,
    maxMs: 60_000,
    root: build.root,
    say: () => undefined,
  });
  return await report.then(
    ({ broken }) => broken ?? "",
    (ended: unknown) => String(ended),
  );
}

const timeout = 150_000;

test("a build that does not sync its stores is caught by a power cut", { timeout }, async () => {
  const everySetting = { from: "synchronous: 2", to: "synchronous: 0" };
  const broken = await machineOn(
    [{ file: "plugins/storage/sqlite-file.ts", ...everySetting }],
    ["D1"],
  );
  expect(broken).toMatch(/L[1289]|the instance ended/);
});

test("a build that publishes before it commits is caught by a power cut", { timeout }, async () => {
  const broken = await machineOn(
    [
      {
        file: "plugins/log/sequencer.ts",
        from: "await surroundings.store.commit({",
        to: "void later(surroundings.store, {",
      },
      {
        file: "plugins/log/sequencer.ts",
        from: "function breakDown(",
        to: "async function later(store, commit) { await sleep(300); await store.commit(commit); }\n\nfunction breakDown(",
      },
    ],
    ["D1"],
  );
  expect(broken).toMatch(/L[1289]|the instance ended: .*never sign over this one/s);
});

test("a build without the guard is caught by an old backup", { timeout }, async () => {
  const broken = await machineOn(
    [
      {
        file: "hsm/guard.ts",
        from: "if (row === undefined) return { size: 0n, root: emptyRoot(), timestampMs: 0n };",
        to: "if (row !== null) return { size: 0n, root: emptyRoot(), timestampMs: 0n };",
      },
      {
        file: "hsm/guard.ts",
        from: "if (!consistent) {",
        to: "if (!consistent && last.size < 0n) {",
      },
    ],
    ["R1"],
  );
  expect(broken).toMatch(/L8|L1|the instance ended: .*could be made to sign a fork/s);
});
