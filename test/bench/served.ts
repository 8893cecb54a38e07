/** Figures of an instance whose Rekor v2 log is long: search over HTTP, alone and beside entries that come, and memory. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Instance } from "../support/instance.ts";
import { digestOf, filledLog, nameOf, often } from "./entries.ts";
import { type Figure, perEntry } from "./figure.ts";
import { Generator } from "./generator.ts";
import { secondsSince } from "./house.ts";
import { get, sender, type Send } from "./http.ts";
import { quantile } from "./load.ts";
import { cpuBetween, usage } from "./processes.ts";

const searches = 1_500;
/** The first entries may be those by which a start proves itself, and a hundred belong together. */
const spared = 100;
const pageLimit = 100;
/** Fewer connections than a demo takes. */
const offered = { perSecond: 1_000, seconds: 8, connections: 256, warmUp: 6_000 } as const;
const lookEveryMs = 20;

/** What the running instance does with the long log: the index that catches up, searches, memory. */
export async function serve(
  instance: Instance,
  tell: (text: string) => void,
): Promise<{ figures: Figure[]; size: number }> {
  using client = sender(instance.origin, 4);
  const caught = await catchUp(instance, client.send);
  tell(`the index has caught up, ${caught.seconds.toFixed(0)} s after the start`);
  const digest = (index: number) => ({ digest: digestOf(index) });
  const named = (index: number) => ({ san: nameOf(index - (index % 100) + 1) ?? often });
  // Compiled code is what is met by those who come later.
  await firstPages(client.send, caught.size, digest);
  await firstPages(client.send, caught.size, named);
  const byDigest = await firstPages(client.send, caught.size, digest);
  const byName = await firstPages(client.send, caught.size, named);
  const paged = await allPages(client.send);
  tell("search beside a thousand entries a second");
  const beside = await besideAppends(instance, client.send);
  const { services } = await usage(instance.home);
  const figures: Figure[] = [
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
      name: "search-behind",
      value: beside.behindSeconds,
      detail: `${beside.appends}; first pages by digest meanwhile: p50 ${beside.p50.toFixed(2)}, p99 ${beside.p99.toFixed(2)} ms`,
    },
    {
      name: "large-memory",
      value: services?.rssMiB ?? Number.NaN,
      detail: "resident, after the searches above",
    },
  ];
  for (const { name, value, detail } of figures) tell(`${name} ${value.toFixed(2)} (${detail})`);
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
    const asked = {
      ...parameters(spared + Math.floor(Math.random() * (size - 2 * spared))),
      log: filledLog,
    };
    const startedAt = performance.now();
    const { hits } = await search(send, asked);
    times.push(performance.now() - startedAt);
    if (hits.length === 0) throw new Error(`nothing found by ${JSON.stringify(asked)}`);
  }
  const sorted = times.toSorted((a, b) => a - b);
  return { p50: quantile(sorted, 0.5) ?? NaN, p99: quantile(sorted, 0.99) ?? NaN };
}

/** Searches while entries come, and how long an entry that is published is not found. */
async function besideAppends({ home, origin }: Instance, send: Send) {
  await using generator = new Generator();
  const { perSecond, seconds, connections, warmUp } = offered;
  const make = { home, origin };
  const operation = "entry-v2-key";
  await generator.perform({ make, operation, count: warmUp });
  await generator.perform({ closed: { lanes: 64, seconds } });
  await generator.perform({ make, operation, count: perSecond * seconds });
  const looks: { readonly atMs: number; readonly published: number; readonly indexed: number }[] =
    [];
  const times: number[] = [];
  let isOver = false;
  const look = async (): Promise<void> => {
    while (!isOver) {
      const published = await publishedSize(send);
      const atMs = performance.now();
      const { logs } = await search(send, { digest: digestOf(spared + looks.length), limit: "1" });
      times.push(performance.now() - atMs);
      const indexed = logs.find((one) => one.log === filledLog)?.indexed ?? 0;
      looks.push({ atMs, published, indexed });
      await sleep(lookEveryMs);
    }
  };
  const looking = look();
  const { load } = await generator.perform({ open: { perSecond, connections } });
  isOver = true;
  await looking;
  if (load === null) throw new Error("no entries came");
  const behindMs = looks.map(({ atMs, indexed }) => {
    const since = looks.find(({ published }) => published > indexed)?.atMs ?? atMs;
    return Math.max(0, atMs - since);
  });
  const sorted = times.toSorted((a, b) => a - b);
  return {
    behindSeconds: Math.max(...behindMs) / 1_000,
    appends: `${load.perSecond.toFixed(0)} entries/s, ${load.errors} errors${load.firstError === null ? "" : ` (${load.firstError})`}`,
    p50: quantile(sorted, 0.5) ?? NaN,
    p99: quantile(sorted, 0.99) ?? NaN,
  };
}

/** The second line of a checkpoint (C2SP tlog-checkpoint). */
async function publishedSize(send: Send): Promise<number> {
  const { status, text } = await send(get(`/logs/${filledLog}/checkpoint`));
  if (status !== 200) throw new Error(`the checkpoint answered ${status}: ${text}`);
  return Number(text.split("\n")[1]);
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
