/** The fault machine's short form: one group of every kind over one instance, at most 60 faults of its own choosing. */
import { expect, test } from "vitest";
import { catalogue } from "./catalogue.ts";
import { runMachine } from "./machine.ts";

const seed = 20_260_711;
/** Kinds that count every call or message that they touch are left to the soak: here a fault is one. */
const kinds = ["P1", "P1s", "P2", "P3", "D1", "D2", "D4", "C1", "N1", "N2", "K4", "K7", "K9", "R1"];

test(
  "a group of each kind of fault loses nothing, forks nothing, and recovers by itself",
  {
    timeout: 240_000,
  },
  async () => {
    expect(kinds.filter((id) => !catalogue.some((kind) => kind.id === id))).toEqual([]);
    const said: string[] = [];
    const report = await runMachine({
      seed,
      kinds,
      eachOnce: true,
      maxMs: 230_000,
      say: (line) => said.push(line),
    });
    expect(report.broken, `seed ${seed}\n${said.join("\n")}`).toBeNull();
    expect(report.verdict).toMatchObject({ lost: 0, forks: 0, unexplained: 0, violations: [] });
    expect(report.byKind.size).toBe(kinds.length);
    expect(report.faults).toBeGreaterThanOrEqual(kinds.length - 2);
    expect(report.verdict.acknowledged).toBeGreaterThan(0);
  },
);
