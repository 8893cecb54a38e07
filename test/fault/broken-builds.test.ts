/** The fault machine is tested too: builds that break a promise on purpose must be caught by it. */
import { expect, test } from "vitest";
import { brokenBuild, type Breakage } from "./broken-build.ts";
import { type MachineReport, runMachine } from "./machine.ts";

async function machineOn(
  breakages: readonly Breakage[],
  kinds: readonly string[],
): Promise<MachineReport> {
  using build = brokenBuild(breakages);
  return await runMachine({
    seed: 7,
    kinds,
    maxMs: 60_000,
    root: build.root,
    say: () => undefined,
  });
}

const timeout = 150_000;

test("a build that does not sync its stores is caught by a power cut", { timeout }, async () => {
  const everySetting = { from: "synchronous: 2", to: "synchronous: 0" };
  const { broken } = await machineOn(
    [{ file: "plugins/storage/sqlite-file.ts", ...everySetting }],
    ["D1"],
  );
  expect(broken).toMatch(/L[1289]|the instance ended/);
});

test("a build that publishes before it commits is caught by a power cut", { timeout }, async () => {
  const { broken, verdict } = await machineOn(
    [
      {
        file: "plugins/log/sequencer.ts",
        from: "await surroundings.store.commit({",
        to: "void later(surroundings.store, {",
      },
      {
        file: "plugins/log/sequencer.ts",
        from: "function isEmpty(",
        to: "async function later(store, commit) { await sleep(300); await store.commit(commit); }\n\nfunction isEmpty(",
      },
    ],
    ["D1"],
  );
  expect(broken).toMatch(/L[1289]|the instance ended/);
  expect(verdict.lost).toBeGreaterThan(0);
});

test("a build without the guard is caught by an old backup", { timeout }, async () => {
  const { broken, verdict } = await machineOn(
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
  expect(broken).toMatch(/L8|L1/);
  expect(verdict.forks + verdict.violations.length).toBeGreaterThan(0);
});
