/**
 * Two revisions side by side: `node test/bench/compare.ts --against DIR [--only NAME] [--rounds N] [--seconds N] [--lanes N] [--json]`,
 * where DIR is a checkout of the other one that has been set up. A machine's speed may move by two fifths within minutes, so rates of two
 * runs say little about two revisions. Here an instance of each stands ready, and short rounds go to them by turns, each time in the
 * other order; what is left of the machine falls out of the share: the processor time of the services for each millisecond of the
 * vault's, where the vault's own work did not change.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import type { Generator } from "./generator.ts";
import type { makeHouse } from "./house.ts";
import { endWithChildren } from "./leaving.ts";
import type { make, Subject } from "./measure.ts";
import { type Operation, operations } from "./operations.ts";
import { usage } from "./processes.ts";
import { median } from "./statistics.ts";
import { threadCpuBetween, threadsOf } from "./threads.ts";

/** What a checkout brings for itself, so that what is measured is all its own. */
interface Tree {
  readonly makeHouse: typeof makeHouse;
  readonly Generator: new () => Generator;
  readonly make: typeof make;
}

/** One revision under comparison. */
interface Side {
  readonly name: string;
  readonly tree: Tree;
  readonly subject: Subject;
  readonly operation: Operation;
  readonly rounds: Round[];
  readonly aloneMs: number[];
}

/** One round: rate, and CPU-ms a request of each process and thread. */
interface Round {
  readonly perSecond: number;
  readonly cpuMs: ReadonlyMap<string, number>;
}

/** Before the first round: until then code is compiled. */
const warmUpSeconds = 10;
/** One at a time, more than this a second are not served. */
const aloneMost = 500;
const mostShare = 100;
/** Smaller than this, a thread is not worth a line. */
const leastMs = 0.01;

const { values } = parseArgs({
  options: {
    against: { type: "string" },
    only: { type: "string", default: "certificate" },
    rounds: { type: "string", default: "6" },
    seconds: { type: "string", default: "3" },
    lanes: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

process.exitCode = await main().catch((problem: unknown) => {
  process.stderr.write(
    `compare: ${problem instanceof Error ? problem.message : String(problem)}\n`,
  );
  return 1;
});

async function main(): Promise<number> {
  const operation = operations.find(({ name }) => name === values.only);
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  const lanes = Number(values.lanes ?? operation?.lanes);
  if (values.against === undefined || operation === undefined || !(rounds * seconds * lanes > 0)) {
    const names = operations.map(({ name }) => name).join("|");
    process.stderr.write(
      `usage: node test/bench/compare.ts --against DIR [--only ${names}] [--rounds N] [--seconds N] [--lanes N] [--json]\n`,
    );
    return 2;
  }
  const folders: string[] = [];
  endWithChildren(folders);
  await using stack = new AsyncDisposableStack();
  const here = new URL("../..", import.meta.url).pathname;
  const roots = { old: resolve(values.against), new: here };
  const sides: Side[] = [];
  for (const [name, root] of Object.entries(roots)) {
    sides.push(await open({ name, root, operation, folders }, stack));
  }
  for (const side of sides) await run(side, { lanes, seconds: warmUpSeconds });
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? sides : sides.toReversed();
    for (const side of order) side.rounds.push((await run(side, { lanes, seconds })).round);
    for (const side of order) side.aloneMs.push((await run(side, { lanes: 1, seconds })).p50Ms);
  }
  const results = await Promise.all(sides.map(summary));
  process.stdout.write(values.json ? `${JSON.stringify(results, null, 2)}\n` : table(results));
  return 0;
}

async function open(
  {
    name,
    root,
    operation,
    folders,
  }: {
    readonly name: string;
    readonly root: string;
    readonly operation: Operation;
    readonly folders: string[];
  },
  stack: AsyncDisposableStack,
): Promise<Side> {
  const tree = await loadTree(root);
  const ca = operation.ca ?? "ecdsa-p256";
  const variant = { placement: "together", ca, raised: true } as const;
  const house = stack.use(await tree.makeHouse(variant, (folder) => folders.push(folder)));
  const { instance } = await house.start();
  stack.use(instance);
  const generator = stack.use(new tree.Generator());
  const subject = { placement: "together", instance, generator } as const;
  return { name, tree, subject, operation, rounds: [], aloneMs: [] };
}

async function loadTree(root: string): Promise<Tree> {
  const load = async (file: string): Promise<unknown> =>
    await import(pathToFileURL(resolve(root, "test/bench", file)).href);
  const [house, generator, measure] = await Promise.all(
    ["house.ts", "generator.ts", "measure.ts"].map(load),
  );
  return {
    ...(house as Pick<Tree, "makeHouse">),
    ...(generator as Pick<Tree, "Generator">),
    ...(measure as Pick<Tree, "make">),
  };
}

async function run(
  { name, tree, subject, operation }: Side,
  { lanes, seconds }: { readonly lanes: number; readonly seconds: number },
): Promise<{ readonly round: Round; readonly p50Ms: number }> {
  const most = lanes === 1 ? aloneMost : operation.guess;
  await tree.make(subject, operation, Math.ceil(seconds * most));
  const processes = await usage(subject.instance.home);
  const before = threadsOf(processes);
  const { load } = await subject.generator.perform({ closed: { lanes, seconds } });
  const used = threadCpuBetween(before, threadsOf(processes));
  if (load === null || load.errors > 0) throw new Error(`${name}: ${load?.firstError ?? "no run"}`);
  const cpuMs = new Map<string, number>();
  for (const [thread, ms] of used) {
    const [process = ""] = thread.split(":");
    for (const key of [process, thread]) {
      cpuMs.set(key, (cpuMs.get(key) ?? 0) + ms / load.requests);
    }
  }
  return { round: { perSecond: load.perSecond, cpuMs }, p50Ms: load.p50 ?? Number.NaN };
}

interface Summary {
  readonly name: string;
  readonly perSecond: number;
  /** Each time the other order: what it moved by, lowest and highest. */
  readonly range: readonly [number, number];
  readonly aloneMs: number;
  /** CPU-ms a request of services, vault and NATS. */
  readonly sumMs: number;
  /** The services' of the vault's. */
  readonly share: number;
  readonly servicesMiB: number;
  /** By process, and by process and thread. */
  readonly cpuMs: Readonly<{ [name: string]: number }>;
}

async function summary({ name, rounds, aloneMs, subject }: Side): Promise<Summary> {
  const rates = rounds.map(({ perSecond }) => perSecond);
  const names = [...new Set(rounds.flatMap(({ cpuMs }) => [...cpuMs.keys()]))];
  const each = (key: string): number => median(rounds.map(({ cpuMs }) => cpuMs.get(key) ?? 0));
  const { services } = await usage(subject.instance.home);
  return {
    name,
    perSecond: median(rates),
    range: [Math.min(...rates), Math.max(...rates)],
    aloneMs: median(aloneMs),
    sumMs: each("services") + each("vault") + each("nats"),
    share: median(
      rounds.map(({ cpuMs }) => (cpuMs.get("services") ?? 0) / (cpuMs.get("vault") ?? 0)),
    ),
    servicesMiB: services?.rssMiB ?? Number.NaN,
    cpuMs: Object.fromEntries(names.toSorted().map((key) => [key, each(key)])),
  };
}

function table(results: readonly Summary[]): string {
  const rows: [string, (one: Summary) => string][] = [
    [
      "requests a second",
      ({ perSecond, range: [low, high] }) =>
        `${perSecond.toFixed(0)} [${low.toFixed(0)}-${high.toFixed(0)}]`,
    ],
    ["one at a time, p50 ms", ({ aloneMs }) => aloneMs.toFixed(2)],
    ["CPU-ms a request", ({ sumMs }) => sumMs.toFixed(2)],
    // Where the vault has no part there is no such share.
    ["services' share of the vault's", ({ share }) => (share < mostShare ? share.toFixed(2) : "-")],
    ["services, MiB", ({ servicesMiB }) => servicesMiB.toFixed(0)],
  ];
  const names = [...new Set(results.flatMap(({ cpuMs }) => Object.keys(cpuMs)))].toSorted();
  for (const name of names) {
    if (results.every(({ cpuMs }) => (cpuMs[name] ?? 0) < leastMs)) continue;
    rows.push([`CPU-ms: ${name}`, ({ cpuMs }) => (cpuMs[name] ?? 0).toFixed(3)]);
  }
  const lines = [["", ...results.map(({ name }) => name)]].concat(
    rows.map(([title, show]) => [title, ...results.map(show)]),
  );
  const widths = lines[0]?.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths?.[at] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .concat("")
    .join("\n");
}
