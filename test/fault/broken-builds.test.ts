/**
 * The fault machine is tested too: builds that break a promise on purpose, and the check by which the product itself would find out
 * at its next start. What is left is the machine's judge, which must say from the raw rows what was lost or forked.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Breakage, brokenBuild } from "./broken-build.ts";
import { type MachineReport, runMachine } from "./machine.ts";
import { prepareHome, type PreparedHome } from "./prepared-home.ts";

/** The start checks of a log: that it is no older than the vault, and the vault no older than it. */
const startsAnyhow: readonly Breakage[] = [
  {
    file: "plugins/log/state.ts",
    from: "if (signed.size > durable.size) {",
    to: "if (signed.size > durable.size) return; if (durable.size < 0n) {",
  },
  {
    file: "plugins/log/state.ts",
    from: "if (!equalBytes(await tree.root(signed.size), signed.root)) {",
    to: "if (durable.size < 0n) {",
  },
  {
    file: "plugins/log/state.ts",
    from: "if (published.size <= signed.size) return;",
    to: "if (published.size >= 0n) return;",
  },
];
/** A start would wait half a minute for the signature that proves it; that there is none, the judge sees at once. */
const startsUnproven: Breakage = {
  file: "deploy/start.ts",
  from: "const proofMs = await prove(settings.home, instance, { cancelled: asked.signal, isWanted });",
  to: "const proofMs: number | null = 0;",
};
let home: PreparedHome;

beforeAll(async () => {
  home = await prepareHome();
});
afterAll(async () => await home?.[Symbol.asyncDispose]());

/** What the machine finds; a build that could not even be made is no finding, and rejects. */
async function machineOn(
  breakages: readonly Breakage[],
  kinds: readonly string[],
): Promise<MachineReport> {
  using build = brokenBuild([...breakages, ...startsAnyhow]);
  const say = (): void => undefined;
  const run = { seed: 7, kinds, maxMs: 60_000, home, root: build.root, say };
  // It will not recover: that it does not is no surprise, and the judge need not wait for it. What is lost does not come back either.
  return await runMachine({ ...run, recoverWithinMs: 3_000, settleWithinMs: 1_000 });
}

test("a build that does not sync its stores loses what it promised", async () => {
  // Set and read back alike: the product believes that it syncs.
  const everySetting = { from: "synchronous: 2", to: "synchronous: 0" };
  const { verdict } = await machineOn(
    [startsUnproven, { file: "plugins/storage/sqlite-file.ts", ...everySetting }],
    ["D1"],
  );
  expect(verdict.lost).toBeGreaterThan(0);
  expect(verdict.violations.join()).toMatch(/L2: \d+ promises of \S+ are not kept/);
});

test("a build that publishes before it commits loses what it promised", async () => {
  const file = "plugins/log/sequencer.ts";
  const { verdict } = await machineOn(
    [
      startsUnproven,
      {
        file,
        from: "await surroundings.store.commit({",
        to: "void later(surroundings.store, {",
      },
      {
        file,
        from: "function breakDown(",
        to: "async function later(store, commit) { await sleep(300); await store.commit(commit); }\n\nfunction breakDown(",
      },
    ],
    ["D1"],
  );
  expect(verdict.lost).toBeGreaterThan(0);
  expect(verdict.violations.join()).toMatch(/L2: \d+ promises of \S+ are not kept/);
});

test("a build without the guard forks over an old backup", async () => {
  const file = "hsm/guard.ts";
  const { verdict } = await machineOn(
    [
      { file, from: "if (claim.size < last.size) {", to: "if (claim.size < 0n) {" },
      {
        file,
        from: "if (claim.size === last.size && !equalBytes(claim.root, last.root)) {",
        to: "if (claim.size < 0n) {",
      },
      { file, from: "if (!consistent) {", to: "if (!consistent && claim.size < 0n) {" },
      // The log's own check, before each head.
      {
        file: "plugins/log/publisher.ts",
        from: "if (forked) {",
        to: "if (forked) return []; if (size < 0n) {",
      },
    ],
    ["R1"],
  );
  expect(verdict.forks).toBeGreaterThan(0);
  expect(verdict.violations.join()).toMatch(/L1: \S+ at size \d+ has the roots/);
});
