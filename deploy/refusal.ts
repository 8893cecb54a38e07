/** Why a start is refused, in sentences for an operator. */
import { statfsSync } from "node:fs";
import { dirname } from "node:path";

/** A reason not to start, in one sentence that says what to do. The program prints it and exits with 3. */
export class Refusal extends Error {
  override readonly name: string = "Refusal";
}

/** The readiness proof was not signed because the service refused it, in a way that may be as the operator wants it. */
export class Unproven extends Refusal {
  override readonly name = "Unproven";
}

/** With less than this left, in bytes, whatever failed is put down to the full disk. */
const fewestBytes = 65_536;

/** A full disk is the operator's to see to: what the system or SQLite says about it becomes a sentence, anything else stays. */
export function refuseFullDisk(problem: unknown, home: string): unknown {
  // By its words: a ceremony has a process of its own, and only the sentence comes back from it.
  const said = problem instanceof Error ? problem.message : "";
  const isFull =
    /\b(?:ENOSPC|EDQUOT)\b|database or disk is full/.test(said) || bytesLeft(home) < fewestBytes;
  if (!isFull) return problem;
  return new Refusal(`there is no room left on the disk of ${home}; make some and start again`);
}

/** A PKCS#11 library answers "function failed" when it cannot write, so the disk is asked too. */
function bytesLeft(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return path === dirname(path) ? Infinity : bytesLeft(dirname(path));
  }
}
