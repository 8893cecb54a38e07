/**
 * `npm run soak -- --minutes N [--seed S] [--kinds P1,D1]`: faults of the catalogue, chosen by the seed, fall on a real instance
 * under traffic for that long. Ends with a table; with 1 if anything was lost, forked or unexplained, or did not recover by itself.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { catalogue } from "./catalogue.ts";
import { isSound, type MachineReport, runMachine } from "./machine.ts";

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    // Leaving runs what was registered for the exit: processes end, mounts and kernel settings go back.
    if (stop.signal.aborted) process.exit(130);
    say("ends with this group; once more to leave at once");
    stop.abort();
  });
}
process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      seed: { type: "string" },
      kinds: { type: "string" },
    },
  });
  const minutes = Number(values.minutes);
  const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed);
  const kinds = values.kinds?.split(",");
  const unknown = kinds?.find((id) => !catalogue.some((kind) => kind.id === id));
  if (!(minutes > 0) || !Number.isSafeInteger(seed) || unknown !== undefined) {
    say(`usage: npm run soak -- --minutes N [--seed S] [--kinds ${knownIds()}]`);
    return 2;
  }
  say(`seed ${seed}`);
  const chosen = kinds === undefined ? {} : { kinds };
  const report = await runMachine({
    seed,
    maxMs: minutes * 60_000,
    stop: stop.signal,
    ...chosen,
    say,
  });
  for (const line of table(report)) say(line);
  return report.broken === null && isSound(report.verdict) ? 0 : 1;
}

function knownIds(): string {
  return catalogue.map(({ id }) => id).join(",");
}

function table(report: MachineReport): string[] {
  const { verdict, byKind, faults } = report;
  const rows = catalogue.flatMap(({ id, what }) => {
    const tally = byKind.get(id);
    return tally === undefined ? [] : [row(id, tally.groups, tally.faults, what)];
  });
  return [
    "",
    row("kind", "groups", "faults", "what"),
    ...rows,
    "",
    `${faults} faults in ${report.minutes.toFixed(1)} minutes, seed ${report.seed}`,
    `instances                ${report.lives}`,
    `acknowledged             ${verdict.acknowledged}`,
    `refused or unanswered    ${report.failed}`,
    `lost                     ${verdict.lost}`,
    `forks                    ${verdict.forks}`,
    `unexplained signatures   ${verdict.unexplained}`,
    ...(report.broken === null ? [] : [`BROKEN: ${report.broken}`]),
  ];
}

function row(id: string, groups: number | string, faults: number | string, what: string): string {
  return `${id.padEnd(5)}${String(groups).padStart(7)}${String(faults).padStart(8)}  ${what}`;
}
