/**
 * `npm test [-- FILTER...]`: the static checks, then every test, then the totals alone on the last line. A filter runs only the
 * test files whose path contains it, without the checks.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runChecks } from "./checks.ts";

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numTotalTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numFailedTestSuites: number;
  readonly success: boolean;
}

/** What a run that did not even report has shown. */
const nothing = {
  numPassedTests: 0,
  numFailedTests: 0,
  numTotalTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  numFailedTestSuites: 0,
};

const filters = process.argv.slice(2);
const checks = filters.length > 0 ? [] : runChecks((text) => process.stdout.write(text));
const report = runTests(filters);

const failedChecks = checks.filter(({ passed }) => !passed).length;
const passed = checks.length - failedChecks + report.numPassedTests;
// A skipped test proves nothing, and a suite that could not load has failed even if it holds no test.
const skipped = report.numPendingTests + report.numTodoTests;
const unexplained = !report.success && report.numFailedTests === 0 ? 1 : 0;
const failed = failedChecks + report.numFailedTests + skipped + unexplained;
if (skipped > 0) process.stdout.write(`${skipped} tests were skipped and count as failed\n`);
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 && report.numTotalTests > 0 ? 0 : 1;

function runTests(only: readonly string[]): VitestReport {
  const folder = mkdtempSync(join(tmpdir(), "chancery-test-"));
  const outputFile = join(folder, "report.json");
  try {
    const { status } = spawnSync(
      process.execPath,
      [
        "node_modules/vitest/vitest.mjs",
        "run",
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${outputFile}`,
        ...only,
      ],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    const report = JSON.parse(readFileSync(outputFile, "utf8")) as VitestReport;
    return { ...report, success: report.success && status === 0 };
  } catch {
    return { ...nothing, success: false };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
