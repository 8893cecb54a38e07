/**
 * What a log costs that is long: a home whose Rekor v2 log is filled through its own engine, figures of the log room alone, and then of the
 * whole instance over HTTP. A second home with a short log stands beside it, because what matters is how little differs.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Instance, type Place, runStart, startInstance } from "../support/instance.ts";
import { freePort } from "../support/ports.ts";
import { digestOf, filledLog, nameOf, often } from "./entries.ts";
import type { Filled } from "./filler-child.ts";
import { Filler } from "./generator.ts";
import { expectSound, secondsSince } from "./house.ts";
import { get, sender, type Send } from "./http.ts";
import { quantile } from "./load.ts";
import { cpuBetween, usage } from "./processes.ts";
import { median } from "./statistics.ts";

/** A figure, by the name under which its target is kept. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  /** How it came about, in a few words. */
  readonly detail: string;
}

/** How long the log is, and the folder that keeps it between runs, if any. */
export interface LargeSettings {
  readonly size: number;
  readonly keep: string | null;
}

/** Entries of the log that the long one is held against. */
const shortSize = 10_000;
const rounds = 5;
/** Appended in each round to either log. */
const roundEntries = 10_000;
const proofs = 5_000;
const searches = 2_000;
const chunk = 250_000;
/** Longer than this, recomputing the whole tree takes longer than everything else. */
const longestChecked = 1_000_000;
const pageLimit = 100;

/** Says how far it is. */
type Tell = (text: string) => void;

/** Measures everything that depends on the size of a log. */
export async function measureLarge(settings: LargeSettings, tell: Tell): Promise<Figure[]> {
  const { size } = settings;
  await using stack = new AsyncDisposableStack();
  const long = await placeFor(settings, stack);
  const built = await fill(long, size, tell);
  const short = await placeFor({ size: shortSize, keep: null }, stack);
  await fill(short, shortSize, tell);
  tell("the long log beside a short one");
  const engine = await compare(long, short);
  const instance = await startInstance(long);
  await using _ = instance;
  const served = await serve(instance, tell);
  if (size <= longestChecked) await expectSound(instance);
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

/** A new home, or the one that was kept. */
async function placeFor(
  { size, keep }: LargeSettings,
  stack: AsyncDisposableStack,
): Promise<Place> {
  const folder =
    keep === null
      ? await mkdtemp(join(tmpdir(), "chancery-large-"))
      : join(keep, `chancery-large-${size}`);
  if (keep === null) {
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
async function fill(place: Place, size: number, tell: Tell): Promise<Built> {
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
async function compare(long: Place, short: Place): Promise<Figure[]> {
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

/** What the running instance does. */
async function serve(instance: Instance, tell: Tell): Promise<{ figures: Figure[]; size: number }> {
  using client = sender(instance.origin, 4);
  const caught = await catchUp(instance, client.send);
  tell(`the index has caught up, ${caught.seconds.toFixed(0)} s after the start`);
  const digest = (index: number) => ({ digest: digestOf(index) });
  const named = (index: number) => ({ san: nameOf(index - (index % 100) + 1) ?? often });
  const byDigest = await firstPages(client.send, caught.size, digest);
  const byName = await firstPages(client.send, caught.size, named);
  const paged = await allPages(client.send);
  const { services } = await usage(instance.home);
  const figures = [
    {
      name: "index-cpu",
      value: perEntry(caught.cpuMs, caught.entries),
      detail: `${caught.entries} entries in ${caught.seconds.toFixed(0)} s after the start, reading them in the log included`,
    },
    { name: "search-digest", value: byDigest.p99, detail: `p50 ${byDigest.p50.toFixed(2)} ms` },
    { name: "search-identity", value: byName.p99, detail: `p50 ${byName.p50.toFixed(2)} ms` },
    {
      name: "search-page",
      value: paged.largest / 1_000,
      detail: `${paged.hits} hits on ${paged.pages} pages in ${paged.seconds.toFixed(1)} s`,
    },
    {
      name: "large-memory",
      value: services?.rssMiB ?? Number.NaN,
      detail: "resident, after the searches above",
    },
  ];
  return { figures, size: caught.size };
}

interface SearchAnswer {
  readonly hits: readonly unknown[];
  readonly cursor?: string;
  readonly logs: readonly { log: string; indexed: number; size: number }[];
}

async function search(
  send: Send,
  parameters: Readonly<{ [name: string]: string }>,
): Promise<SearchAnswer & { readonly bytes: number }> {
  const query = new URLSearchParams(parameters).toString();
  const { status, text } = await send(get(`/api/search?${query}`));
  if (status !== 200) throw new Error(`search answered ${status}: ${text}`);
  return { ...(JSON.parse(text) as SearchAnswer), bytes: Buffer.byteLength(text) };
}

/** Waits until everything is found. */
async function catchUp({ home }: Instance, send: Send) {
  const before = await usage(home);
  const startedAt = performance.now();
  let first: number | null = null;
  for (;;) {
    const { logs } = await search(send, { limit: "0" }).catch(() => ({ logs: [] }));
    const log = logs.find((one) => one.log === filledLog);
    first ??= log?.indexed ?? null;
    if (log !== undefined && log.indexed === log.size) {
      const { services = 0 } = cpuBetween(before, await usage(home));
      const entries = log.size - (first ?? 0);
      return { size: log.size, entries, seconds: secondsSince(startedAt), cpuMs: services };
    }
    await sleep(200);
  }
}

/** First pages, one after the other, over the whole length of the log. */
async function firstPages(
  send: Send,
  size: number,
  parameters: (index: number) => Readonly<{ [name: string]: string }>,
): Promise<{ readonly p50: number; readonly p99: number }> {
  const times: number[] = [];
  for (let n = 0; n < searches; n++) {
    const asked = { ...parameters(Math.floor(Math.random() * size)), log: filledLog };
    const startedAt = performance.now();
    const { hits } = await search(send, asked);
    times.push(performance.now() - startedAt);
    if (hits.length === 0) throw new Error(`nothing found by ${JSON.stringify(asked)}`);
  }
  const sorted = times.toSorted((a, b) => a - b);
  return { p50: quantile(sorted, 0.5) ?? NaN, p99: quantile(sorted, 0.99) ?? NaN };
}

/** Every page of the identity that has signed one entry in a hundred. */
async function allPages(send: Send) {
  const startedAt = performance.now();
  let [hits, pages, largest] = [0, 0, 0];
  for (let cursor: string | undefined = ""; cursor !== undefined; pages++) {
    const page = await search(send, {
      san: often,
      limit: String(pageLimit),
      ...(cursor !== "" && { cursor }),
    });
    hits += page.hits.length;
    largest = Math.max(largest, page.bytes);
    cursor = page.cursor;
  }
  return { hits, pages, largest, seconds: secondsSince(startedAt) };
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

function perEntry(cpuMs: number, entries: number): number {
  return Number(((cpuMs * 1_000) / Math.max(1, entries)).toFixed(1));
}
