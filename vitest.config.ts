import { defineConfig } from "vitest/config";
import { LongestFirst } from "./test/support/longest-first.ts";

// Every program that a test starts reads the same sources: what they were compiled to is kept where the launcher of the CLI keeps it.
process.env["NODE_COMPILE_CACHE"] ??= new URL(
  "node_modules/.cache/chancery",
  import.meta.url,
).pathname;

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/run-folder.ts"],
    // Against what hangs, not against what is slow: on a machine that others keep busy everything takes several times as long.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
    // Two cores: more workers than that only make timings worse.
    maxWorkers: 2,
    pool: "forks",
    sequence: { sequencer: LongestFirst },
  },
});
