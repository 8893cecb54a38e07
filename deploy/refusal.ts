/** A reason not to start, in one sentence that says what to do. The program prints it and exits with 3. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}

/** A full disk is the operator's to see to: what the system or SQLite says about it becomes a sentence, anything else stays. */
export function refuseFullDisk(problem: unknown, home: string): unknown {
  // By its words: a ceremony has a process of its own, and only the sentence comes back from it.
  const said = problem instanceof Error ? problem.message : "";
  if (!/\b(?:ENOSPC|EDQUOT)\b|database or disk is full/.test(said)) return problem;
  return new Refusal(`there is no room left on the disk of ${home}; make some and start again`);
}
