import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 150_000,
    // Two cores: more workers than that only make timings worse.
    maxWorkers: 2,
    pool: "forks",
  },
});
