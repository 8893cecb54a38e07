/** What the processes of an instance have written into their journals. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const complaint = /"level":"(warn|error|fatal)"|"event":"(restarting|gone)"/;
const shown = 8;
const longest = 600;

/** A process's journal, empty if there is none. */
export function readJournal(home: string, name: string): string {
  const path = join(home, "journal", `${name}.jsonl`);
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** What they last complained of, for whoever has to find out why a run broke. */
export function complaints(home: string): string[] {
  return ["supervisor", "vault", "services"].flatMap((name) => {
    const lines = readJournal(home, name)
      .split("\n")
      .filter((line) => complaint.test(line));
    return lines.slice(-shown).map((line) => `  ${name}: ${line.slice(0, longest)}`);
  });
}
