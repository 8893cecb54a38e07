/**
 * Reads what the logs have stored again and again, slowly, and holds it against the trees in memory: entries against their leaves,
 * tiles against the tiles above them, indices against the entries. What is wrong is told in the journal, the metrics and the room's
 * health until it is right again. It changes nothing: `chancery log repair` does, with the instance stopped.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { hashLength, leafHash } from "../../core/formats/merkle.ts";
import { tileWidth } from "../../core/formats/tile.ts";
import type { Context, Store } from "../../core/plugin.ts";
import type { Metric } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { formats, type LogFormat, type Placed } from "./format.ts";
import { identityOfStored } from "./identity.ts";
import type { Log } from "./log.ts";
import type { LogConfig } from "./manifest.ts";
import { prefixLength } from "./prefix-index.ts";
import { numberKey, stretch, tables } from "./rows.ts";
import { readPlaced } from "./runs.ts";
import { tileReader } from "./tree.ts";

/** Entries that are looked at in one turn: reads of the store block, and those who ask meanwhile wait for a millisecond at most. */
const entriesAtOnce = 16;

/** What can be damaged. Entries cannot be made again from anything that is stored here; the others can. */
export type DamagedKind = "entry" | "tile" | "index";

/** Something that is not what the tree says. */
export interface Damage {
  readonly log: string;
  readonly kind: DamagedKind;
  readonly what: string;
}

/** A log to be read. */
export interface Scrubbed {
  readonly name: string;
  readonly format: LogConfig["format"];
  readonly log: Pick<Log, "head" | "tile">;
  readonly store: Pick<Store, "get" | "scan">;
}

/** Everything wrong with the 256 entries of a tile, with their tile, and with the full tiles above that end with it. */
export async function scrubTile(scrubbed: Scrubbed, index: bigint): Promise<readonly Damage[]> {
  const { name, log, store } = scrubbed;
  const from = index * BigInt(tileWidth);
  const { size } = log.head();
  const left = size - from;
  if (left <= 0n) return [];
  const width = left < BigInt(tileWidth) ? Number(left) : tileWidth;
  const found: Damage[] = [];
  const report = (kind: DamagedKind, what: string) => found.push({ log: name, kind, what });
  const hashes = await checkTiles(scrubbed, index, { size, report });
  const good: Placed[] = [];
  for (let at = 0; at < width;) {
    await nextTurn();
    const position = from + BigInt(at);
    const read = await readSome(store, position, Math.min(entriesAtOnce, width - at));
    if (typeof read === "string") {
      // What lies behind it in this tile is looked at when it is right again.
      report("entry", read);
      break;
    }
    for (const placed of read) {
      const leaf = hashes?.subarray(at * hashLength, (at + 1) * hashLength);
      // Without their tile, entries cannot be judged until it is made again.
      if (!leaf || equalBytes(leafHash(placed.entry), leaf)) good.push(placed);
      else report("entry", `entry ${placed.index} is not what the tree holds`);
      at++;
    }
  }
  if (isStretchWithin(index, size)) await checkIdentities(scrubbed, from, good, report);
  return found;
}

/** The next entries, or what is wrong with them. */
async function readSome(
  store: Scrubbed["store"],
  from: bigint,
  count: number,
): Promise<readonly Placed[] | string> {
  try {
    const placed = await readPlaced(store, from, count);
    return placed.length > 0 ? placed : `entry ${from} is missing`;
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    return `entry ${from} or one behind it cannot be read`;
  }
}

/** True if the row that has this tile of level 0 is full. */
function isStretchWithin(index: bigint, size: bigint): boolean {
  return (index + 2n - (index % 2n)) * BigInt(tileWidth) <= size;
}

/** The leaf hashes of a tile, from the tree, null if it cannot tell; the stored tile and those above that end with it are held against them. */
async function checkTiles(
  { log, store }: Scrubbed,
  index: bigint,
  {
    size,
    report,
  }: { readonly size: bigint; readonly report: (kind: DamagedKind, what: string) => void },
): Promise<Uint8Array | null> {
  const readTile = tileReader(store);
  let hashes: Uint8Array | null = null;
  let at = index;
  for (let level = 0; ; level++) {
    const left = (size >> BigInt(8 * level)) - at * BigInt(tileWidth);
    const isFull = left >= BigInt(tileWidth);
    const expected = await fromTree(log, level, at, isFull ? tileWidth : Number(left));
    if (level === 0) hashes = expected;
    const isStored = level === 0 ? isStretchWithin(index, size) : isFull;
    const stored = isStored ? await readTile(level, at).catch(malformedIsNull) : null;
    const isGood = expected !== null && stored !== null && equalBytes(stored, expected);
    if (isStored && !isGood) report("tile", `tile ${level}/${at} is missing or different`);
    // The tile above is full with this one, or will be looked at with a later one.
    if (!isFull || at % BigInt(tileWidth) !== BigInt(tileWidth - 1)) return hashes;
    at /= BigInt(tileWidth);
  }
}

function malformedIsNull(thrown: unknown): null {
  if (thrown instanceof Malformed) return null;
  throw thrown;
}

/** Holds what leads to equal entries against the entries. */
async function checkIdentities(
  { format: name, store }: Scrubbed,
  from: bigint,
  placed: readonly Placed[],
  report: (kind: DamagedKind, what: string) => void,
): Promise<void> {
  const format = formats[name];
  if (format.identityIsLeafHash) return;
  const first = from - (from % BigInt(stretch));
  const row = await store.get(tables.antispam, numberKey(first));
  if (row?.length !== stretch * prefixLength) {
    report("index", `the index does not lead to entry ${from} and those behind it`);
    return;
  }
  for (const one of placed) {
    const at = Number(one.index - first) * prefixLength;
    const identity = readIdentity(format, one);
    // Without its tile nothing has vouched for the entry yet.
    if (identity === null) report("entry", `entry ${one.index} is malformed`);
    else if (!startsWith(identity, row.subarray(at, at + prefixLength))) {
      report("index", `the index does not lead to entry ${one.index}`);
    }
  }
}

function readIdentity(format: LogFormat, placed: Placed): Uint8Array | null {
  try {
    return identityOfStored(format, placed, leafHash(placed.entry));
  } catch (thrown) {
    return malformedIsNull(thrown);
  }
}

async function fromTree(
  log: Scrubbed["log"],
  level: number,
  index: bigint,
  width: number,
): Promise<Uint8Array | null> {
  try {
    const tile = await log.tile(level, index, width);
    return tile;
  } catch (thrown) {
    if (thrown instanceof Malformed) return null;
    throw thrown;
  }
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return equalBytes(bytes.subarray(0, prefix.length), prefix);
}

/** What a scrubber works with. */
export interface ScrubberSurroundings {
  readonly logs: () => Promise<readonly Scrubbed[]>;
  /** Entries a second over all logs together; 0 for none. */
  readonly entriesPerSecond: number;
  readonly clock: Context["clock"];
  readonly journal: Context["journal"];
}

/** Reads all logs in turn, a tile at a time, until disposed. */
export class Scrubber implements AsyncDisposable {
  readonly #surroundings: ScrubberSurroundings;
  readonly #stop = new AbortController();
  readonly #damages = new Map<string, readonly Damage[]>();
  /** The next tile of each log. */
  readonly #next = new Map<string, bigint>();
  #turn = 0;
  #entries = 0;
  #passes = 0;
  readonly #done: Promise<void>;

  constructor(surroundings: ScrubberSurroundings) {
    this.#surroundings = surroundings;
    this.#done = surroundings.entriesPerSecond === 0 ? Promise.resolve() : this.#run();
  }

  /** What is damaged as far as is known. */
  damages(): readonly Damage[] {
    return [...this.#damages.values()].flat();
  }

  /** The worst of it in one sentence, or null. */
  get trouble(): string | null {
    const damages = this.damages();
    const lost = damages.find(({ kind }) => kind === "entry");
    const [worst = lost] = lost ? [lost] : damages;
    if (worst === undefined) return null;
    const remedy = lost
      ? "bring it back from a replica or backup, or freeze the log and roll it"
      : `stop the instance and say: chancery log repair ${worst.log}`;
    return `log "${worst.log}": ${worst.what} (${damages.length} in all); ${remedy}`;
  }

  metrics(): readonly Metric[] {
    const counter = (name: string, help: string, value: number): Metric => ({
      name,
      help,
      type: "counter",
      aggregator: "sum",
      values: [{ labels: {}, value }],
    });
    const kinds = ["entry", "tile", "index"] as const;
    const damages = this.damages();
    return [
      counter("chancery_log_scrubbed_entries_total", "Stored entries read again", this.#entries),
      counter("chancery_log_scrub_passes_total", "Logs read again to their end", this.#passes),
      {
        name: "chancery_log_damages",
        help: "Stored things that are not what their tree says",
        type: "gauge",
        aggregator: "sum",
        values: kinds.map((kind) => ({
          labels: { kind },
          value: damages.filter((one) => one.kind === kind).length,
        })),
      },
    ];
  }

  /** Looks at the next tile of the next log; the number of entries it has read. */
  async step(): Promise<number> {
    const logs = await this.#surroundings.logs();
    const scrubbed = logs[this.#turn++ % Math.max(1, logs.length)];
    if (scrubbed === undefined) return 0;
    const { name, log } = scrubbed;
    const { size } = log.head();
    if (size === 0n) return 0;
    const tiles = (size + BigInt(tileWidth) - 1n) / BigInt(tileWidth);
    const index = this.#next.get(name) ?? this.#firstOf(tiles);
    const at = index < tiles ? index : 0n;
    this.#note(`${name}/${at}`, await scrubTile(scrubbed, at));
    this.#next.set(name, at + 1n);
    if (at + 1n >= tiles) this.#passes++;
    const left = Number(size - at * BigInt(tileWidth));
    const read = Math.min(left, tileWidth);
    this.#entries += read;
    return read;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  /** Begins elsewhere after each start, so that one that never lives for a whole pass comes everywhere too. */
  #firstOf(tiles: bigint): bigint {
    return BigInt(this.#surroundings.clock.now().getTime()) % tiles;
  }

  #note(place: string, found: readonly Damage[]): void {
    const before = this.#damages.get(place) ?? [];
    if (found.length === 0) this.#damages.delete(place);
    else this.#damages.set(place, found);
    for (const { log, kind, what } of found) {
      if (before.some((one) => one.what === what)) continue;
      this.#surroundings.journal.error("log.damaged", { log, kind, what });
    }
  }

  async #run(): Promise<void> {
    const { entriesPerSecond, journal } = this.#surroundings;
    const { signal } = this.#stop;
    let read = tileWidth;
    while (!signal.aborted) {
      const pauseMs = (1_000 * Math.max(1, read)) / entriesPerSecond;
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        read = await this.step();
      } catch (thrown) {
        // A log that stops or has no head yet; it is looked at another time.
        const { code, message } = Failure.from(thrown);
        journal.warn("log.not-scrubbed", { code, reason: message });
        read = tileWidth;
      }
    }
  }
}
