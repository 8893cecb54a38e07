/** The static checks: types, lint, layout, dead code. The import rules are tests (test/architecture). */
import { spawnSync } from "node:child_process";

/** One check's outcome. */
export interface CheckResult {
  readonly name: string;
  readonly passed: boolean;
  readonly output: string;
  readonly seconds: number;
}

const rooms = ["events", "core", "hsm", "plugins", "config", "deploy", "test"];

const checks: readonly { readonly name: string; readonly command: readonly string[] }[] = [
  { name: "types", command: ["tsc"] },
  { name: "lint", command: ["oxlint", "-c", "test/oxlint.json", ...rooms] },
  { name: "layout", command: ["prettier", "--check", "--log-level", "warn", "."] },
  { name: "dead code", command: ["knip"] },
];

/** Runs every check, printing a line each, and what it said if it failed. */
export function runChecks(print: (text: string) => void): readonly CheckResult[] {
  return checks.map(({ name, command: [program = "", ...args] }) => {
    const startedAt = performance.now();
    const { status, stdout, stderr, error } = spawnSync(`node_modules/.bin/${program}`, args, {
      encoding: "utf8",
      env: { ...process.env, PATH: `${nodeFolder()}:${process.env["PATH"] ?? ""}` },
    });
    const seconds = (performance.now() - startedAt) / 1000;
    const output = `${stdout ?? ""}${stderr ?? ""}${error ? String(error) : ""}`.trim();
    const passed = status === 0;
    print(`${passed ? "ok  " : "FAIL"} ${name} (${program}, ${seconds.toFixed(1)} s)\n`);
    if (!passed) print(`${output}\n`);
    return { name, passed, output, seconds };
  });
}

/** The tools' launchers say `#!/usr/bin/env node`: they must meet this Node, not the machine's. */
function nodeFolder(): string {
  return process.execPath.slice(0, process.execPath.lastIndexOf("/"));
}
