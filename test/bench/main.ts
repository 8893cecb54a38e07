/**
 * Figures: `npm run bench [-- --only NAME --seconds N --repeats N --placement together|apart --size N --keep DIR --pairs N --json --profile
 * --write FILE]`. The load generator is a process of its own on the same machine; every request has its own token, key, identity and
 * digest, made before the clock runs; repeats of the placements are interleaved; medians are reported with their range. `--size` is
 * how long the log is that `large` looks at, 100,000 entries unless said; with `--keep` its home stays, and is used again.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { Bench, progress } from "./bench.ts";
import { measureBytes } from "./bytes-figure.ts";
import { benchConfiguration, type House, makeHouse, type Variant } from "./house.ts";
import { describeMachine } from "./machine.ts";
import { operations } from "./operations.ts";
import { measureDigests } from "./digests.ts";
import type { Figure } from "./figure.ts";
import { measureLarge } from "./large.ts";
import { endWithChildren } from "./leaving.ts";
import { measurePostgres } from "./postgres-figure.ts";
import { formatReport, type Results } from "./report.ts";
import { readSettings, type Settings } from "./settings.ts";

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const settings = readSettings(process.argv.slice(2));
    // Before, because a run is long: a report that cannot be written should not be found out at its end.
    if (settings.write !== null) await mkdir(dirname(settings.write), { recursive: true });
    const { results, isWhole } = await run(settings);
    if (settings.write !== null) await writeFile(settings.write, formatReport(results, "markdown"));
    process.stdout.write(
      settings.json ? `${JSON.stringify(results, null, 2)}\n` : formatReport(results, "text"),
    );
    return isWhole ? 0 : 1;
  } catch (problem) {
    process.stderr.write(
      `bench: ${problem instanceof Error ? problem.message : String(problem)}\n`,
    );
    return problem instanceof TypeError ? 2 : 1;
  }
}

/** The instances that what was chosen needs. */
function variantsOf({ only, placements }: Settings): readonly Variant[] {
  const chosen = operations.filter(({ name }) => only.includes(name));
  const isDemoNeeded =
    only.some((name) => ["start", "commands", "memory"].includes(name)) ||
    chosen.some(({ ca }) => ca === undefined);
  const together = placements.includes("together");
  return [
    ...(isDemoNeeded ? placements : []).map((placement) => variant({ placement })),
    ...(together && chosen.some(({ ca }) => ca !== undefined)
      ? [variant({ ca: "ecdsa-p384" })]
      : []),
    ...(together && only.includes("overload") ? [variant({ raised: false })] : []),
  ];
}

function variant(different: Partial<Variant>): Variant {
  return { placement: "together", ca: "ecdsa-p256", raised: true, ...different };
}

async function run(settings: Settings): Promise<{ results: Results; isWhole: boolean }> {
  const folders: string[] = [];
  endWithChildren(folders);
  const machine = describeMachine(tmpdir());
  const bench = new Bench(settings);
  await using stack = new AsyncDisposableStack();
  const houses: House[] = [];
  for (const variant of variantsOf(settings)) {
    houses.push(stack.use(await makeHouse(variant, (folder) => folders.push(folder))));
  }
  for (let repeat = 1; repeat <= settings.repeats; repeat++) {
    for (const house of houses) await bench.visit(house, repeat);
  }
  await stack.disposeAsync();
  const { figures, isWhole } = await measureOnce(settings, folders);
  const { command, seconds, repeats } = settings;
  const found = { ...bench.found, figures };
  const configuration = benchConfiguration;
  return { results: { command, seconds, repeats, machine, configuration, ...found }, isWhole };
}

/** What has instances of its own, or none; a part that fails is told, and the others are measured all the same. */
async function measureOnce(
  { only, size, keep, pairs, seconds }: Settings,
  folders: string[],
): Promise<{ figures: Figure[]; isWhole: boolean }> {
  const figures: Figure[] = [];
  let isWhole = true;
  const large = { size, keep, made: (folder: string) => folders.push(folder), tell: progress };
  const parts = {
    large: async () => await measureLarge(large),
    bytes: async () => await measureBytes(),
    postgres: async () => [await measurePostgres(seconds)],
    digests: async () => [await measureDigests(pairs, progress)],
  };
  for (const [name, measurePart] of Object.entries(parts)) {
    if (!only.includes(name)) continue;
    try {
      figures.push(...(await measurePart()));
    } catch (thrown) {
      progress(
        `${name} was not measured: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
      );
      isWhole = false;
    }
  }
  return { figures, isWhole };
}
