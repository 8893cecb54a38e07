/**
 * Figures: `npm run bench [-- --only NAME --seconds N --repeats N --placement together|apart --json --profile --write FILE]`. The load
 * generator is a process of its own on the same machine; every request has its own token, key, identity and digest, made before the
 * clock runs; repeats of the placements are interleaved; medians are reported with their range.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { Bench } from "./bench.ts";
import { benchConfiguration, type House, makeHouse } from "./house.ts";
import { describeMachine } from "./machine.ts";
import { formatReport, type Results } from "./report.ts";
import { readSettings, type Settings } from "./settings.ts";

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const settings = readSettings(process.argv.slice(2));
    // Before, because a run is long: a report that cannot be written should not be found out at its end.
    if (settings.write !== null) await mkdir(dirname(settings.write), { recursive: true });
    const results = await run(settings);
    if (settings.write !== null) await writeFile(settings.write, formatReport(results, "markdown"));
    process.stdout.write(
      settings.json ? `${JSON.stringify(results, null, 2)}\n` : formatReport(results, "text"),
    );
    return 0;
  } catch (problem) {
    process.stderr.write(
      `bench: ${problem instanceof Error ? problem.message : String(problem)}\n`,
    );
    return problem instanceof TypeError ? 2 : 1;
  }
}

async function run(settings: Settings): Promise<Results> {
  const machine = describeMachine(tmpdir());
  const bench = new Bench(settings);
  await using stack = new AsyncDisposableStack();
  const houses: House[] = [];
  for (const placement of settings.placements) {
    houses.push(stack.use(await makeHouse(placement)));
  }
  for (let repeat = 1; repeat <= settings.repeats; repeat++) {
    for (const house of houses) await bench.visit(house, repeat);
  }
  const { command, seconds, repeats } = settings;
  return { command, seconds, repeats, machine, configuration: benchConfiguration, ...bench.found };
}
