/**
 * What a log costs that is long: a home whose Rekor v2 log is filled through its own engine, figures of the log room alone, and then of the
 * whole instance over HTTP. A second home with a short log stands beside it, because what matters is how little differs.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  chancery,
  type Instance,
  type Place,
  runStart,
  startInstance,
} from "../support/instance.ts";
import { freePort } from "../support/ports.ts";
import { filledLog } from "./entries.ts";
import type { Filled } from "./filler-child.ts";
import { Filler } from "./generator.ts";
import { type Figure, perEntry } from "./figure.ts";
import { serve } from "./served.ts";
import { median } from "./statistics.ts";

/** How long the log is, and the folder that keeps it between runs, if any. */
export interface LargeSettings {
  readonly size: number;
  readonly keep: string | null;
  /** Told of every folder that is not kept. */
  readonly made: (folder: string) => void;
  readonly tell: (text: string) => void;
}

/** Entries of the log that the long one is held against. */
const shortSize = 10_000;
const rounds = 5;
/** Appended in each round to either log. */
const roundEntries = 10_000;
const proofs = 5_000;
const chunk = 250_000;
/** Longer than this, recomputing the whole tree takes longer than everything else. */
const longestChecked = 1_000_000;

/** Measures everything that depends on the size of a log. */
export async function measureLarge(settings: LargeSettings): Promise<Figure[]> {
  const { size, tell } = settings;
  await using stack = new AsyncDisposableStack();
  const long = await placeFor(settings, stack);
  const built = await fill(long, size, tell);
  const short = await placeFor({ ...settings, size: shortSize, keep: null }, stack);
  await fill(short, shortSize, tell);
  tell("the long log beside a short one");
  tell(`built: ${JSON.stringify(built)}`);
  const engine = await compare({ long, short }, tell);
  const instance = await startInstance(long);
  await using _ = instance;
  const served = await serve(instance, tell);
  if (size <= longestChecked) await expectSoundLog(instance);
  const { seconds, cpuMs, appended } = built;
  return [
    {
      name: "engine",
      value: appended / seconds,
      detail: `${appended} entries in ${seconds.toFixed(0)} s, ${perEntry(cpuMs, appended)} CPU-µs each; vault in the same process, SoftHSM`,
    },
    ...engine,
    ...served.figures,
    await stored(long, built, served.size),
  ];
}

interface Built extends Filled {
  /** Entries that were generated. */
  readonly appended: number;
}

/** The trail begins behind the generated entries, which fsck says of it; of everything else it must find nothing. */
async function expectSoundLog({ home }: Instance): Promise<void> {
  const { stdout, stderr } = await chancery(home, "fsck");
  const found = `${stdout}\n${stderr}`.split("\n").filter((line) => line.includes("error:"));
  const other = found.filter((line) => !line.includes("error: audit: "));
  if (other.length > 0 || !stdout.includes(`log ${filledLog}`)) {
    throw new Error(`chancery fsck: ${stdout}${stderr}`);
  }
}

/** A new home, or the one that was kept. */
async function placeFor(
  { size, keep, made }: LargeSettings,
  stack: AsyncDisposableStack,
): Promise<Place> {
  const folder =
    keep === null
      ? await mkdtemp(join(tmpdir(), "chancery-large-"))
      : join(keep, `chancery-large-${size}`);
  if (keep === null) {
    made(folder);
    stack.defer(async () => await rm(folder, { recursive: true, force: true }));
  }
  const file = join(folder, "place.json");
  // Ports are part of what a home has signed.
  if (existsSync(file)) return JSON.parse(await readFile(file, "utf8")) as Place;
  await mkdir(folder, { recursive: true });
  const place = {
    home: join(folder, "home"),
    port: await freePort(),
    tlsPort: await freePort(),
  };
  const { code, stderr } = await runStart(place);
  if (code !== 0) throw new Error(`the first start failed: ${stderr}`);
  await writeFile(file, JSON.stringify(place));
  return place;
}

/** Fills the log up to its size; what a run before has done, also if it was cut off, is not done again. */
async function fill(place: Place, size: number, tell: LargeSettings["tell"]): Promise<Built> {
  const file = join(place.home, "..", "built.json");
  if (existsSync(file)) {
    return JSON.parse(await readFile(file, "utf8")) as Built;
  }
  await using filler = new Filler(place.home);
  const begun = await filler.perform({ size: true });
  const sum = { ...begun, seconds: 0, cpuMs: 0, entryBytes: 0, appended: 0 };
  while (sum.size < size) {
    const until = Math.min(size, sum.size + chunk);
    const done = await filler.perform({ append: { size: until } });
    if (size > chunk)
      tell(`${done.size} entries, ${((until - sum.size) / done.seconds).toFixed(0)}/s`);
    sum.seconds += done.seconds;
    sum.cpuMs += done.cpuMs;
    sum.entryBytes += done.entryBytes;
    sum.appended += done.size - sum.size;
    sum.size = done.size;
  }
  await filler.perform({ end: true });
  await writeFile(file, JSON.stringify(sum));
  return sum;
}

/** Appends to both by turns, and proves in the long one. */
async function compare(
  { long, short }: { readonly long: Place; readonly short: Place },
  tell: LargeSettings["tell"],
): Promise<Figure[]> {
  await using first = new Filler(long.home);
  await using second = new Filler(short.home);
  const cost = async (filler: Filler): Promise<number> => {
    const { cpuMs } = await filler.perform({ append: { count: roundEntries } });
    return (cpuMs * 1_000) / roundEntries;
  };
  await cost(first);
  await cost(second);
  const ratios: number[] = [];
  const micros: [number, number][] = [];
  for (let round = 0; round < rounds; round++) {
    // Whoever goes first changes, so that neither gains by it.
    const order = round % 2 === 0 ? [first, second] : [second, first];
    const costs = new Map<Filler, number>();
    for (const filler of order) costs.set(filler, await cost(filler));
    const [here, there] = [costs.get(first) ?? NaN, costs.get(second) ?? NaN];
    ratios.push(here / there);
    micros.push([here, there]);
  }
  const proved = await first.perform({ prove: proofs });
  await first.perform({ end: true });
  await second.perform({ end: true });
  tell(
    `append, long and short: ${micros.map(String).join("; ")}; proof ${JSON.stringify(proved.latencyMs)}`,
  );
  const each = micros.map((pair) => pair.map((one) => one.toFixed(0)).join("/")).join(", ");
  return [
    {
      name: "growth",
      value: median(ratios),
      detail: `CPU-µs of an append, long/short log of ${shortSize}, by turns: ${each}`,
    },
    {
      name: "proof",
      value: proved.latencyMs?.p99 ?? Number.NaN,
      detail: `p50 ${proved.latencyMs?.p50?.toFixed(3)} ms; asked of the log room, random entries, one at a time`,
    },
  ];
}

/** What lies on the disk beyond the entries: log with antispam, tiles, heads and facts, and the search index. */
async function stored(
  { home }: Place,
  { entryBytes, appended }: Built,
  size: number,
): Promise<Figure> {
  const bytesOf = async (...path: string[]): Promise<number> =>
    (await stat(join(home, ...path)).catch(() => ({ size: 0 }))).size;
  const log = await bytesOf("data", `log-${filledLog}.db`);
  const index = await bytesOf("index", "search.db");
  const plain = entryBytes / appended;
  return {
    name: "generated-bytes",
    value: (log + index) / size - plain,
    detail: `log ${(log / size).toFixed(0)}, index ${(index / size).toFixed(0)}, of which the entry ${plain.toFixed(0)}; bare keys, one certificate in 25`,
  };
}
