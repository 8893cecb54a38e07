/**
 * Reads what the logs have stored again and again, slowly, and holds it against the trees in memory: entries against their leaves,
 * tiles against the tiles above them, indices against the entries. What is wrong is told in the journal, the metrics and the room's
 * health until it is right again. It changes nothing: `chancery log repair` does, with the instance stopped.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { concat, equalBytes, uintFrom } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { hashLength, leafHash } from "../../core/formats/merkle.ts";
import { tileWidth } from "../../core/formats/tile.ts";
import type { Context, Store } from "../../core/plugin.ts";
import type { Metric } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import { formats, tableOfIdentity } from "./format.ts";
import type { Log } from "./log.ts";
import type { LogConfig } from "./manifest.ts";
import { decodeEntryRow, numberKey, tables, tileKey } from "./rows.ts";
import { identityOfStored } from "./state.ts";

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
  const left = log.head().size - from;
  if (left <= 0n) return [];
  const width = left < BigInt(tileWidth) ? Number(left) : tileWidth;
  const found: Damage[] = [];
  const report = (kind: DamagedKind, what: string) => found.push({ log: name, kind, what });
  const hashes = await expectedHashes(scrubbed, index, width, report);
  const range = { from: numberKey(from), to: numberKey(from + BigInt(width)), limit: width };
  const rows = new Map(
    (await store.scan(tables.entries, range)).map((row) => [uintFrom(row.key), row.value]),
  );
  for (let at = 0; at < width; at++) {
    if (at % entriesAtOnce === 0) await nextTurn();
    const position = from + BigInt(at);
    const row = rows.get(position);
    const leaf = hashes.subarray(at * hashLength, (at + 1) * hashLength);
    const wrong = row === undefined ? "is missing" : wrongWith(row, leaf);
    if (wrong !== null) report("entry", `entry ${position} ${wrong}`);
    else if (!(await isIndexed(scrubbed, position, row ?? leaf, leaf))) {
      report("index", `the index does not lead to entry ${position}`);
    }
  }
  return found;
}

/** The leaf hashes of a tile, from the tree; the stored tile and those above that end with it are held against them. */
async function expectedHashes(
  { log, store }: Scrubbed,
  index: bigint,
  width: number,
  report: (kind: DamagedKind, what: string) => void,
): Promise<Uint8Array> {
  let hashes: Uint8Array | null = null;
  let at = index;
  for (let level = 0; ; level++) {
    const isFull = level > 0 || width === tileWidth;
    const expected = await fromTree(log, level, at, isFull ? tileWidth : width);
    const stored = await store.get(tables.tiles, tileKey(level, at));
    const isGood = expected !== null && stored !== null && startsWith(stored, expected);
    if (!isGood) report("tile", `tile ${level}/${at} is missing or different`);
    if (level === 0) hashes = expected;
    // The tile above is full with this one, or will be looked at with a later one.
    if (!isFull || at % BigInt(tileWidth) !== BigInt(tileWidth - 1)) break;
    at /= BigInt(tileWidth);
  }
  // Without their tile, entries cannot be judged until it is made again.
  return hashes ?? (await hashesOfEntries(store, index, width));
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

async function hashesOfEntries(
  store: Scrubbed["store"],
  index: bigint,
  width: number,
): Promise<Uint8Array> {
  const from = index * BigInt(tileWidth);
  const range = { from: numberKey(from), to: numberKey(from + BigInt(width)), limit: width };
  const hashes: Uint8Array[] = [];
  for (const { value } of await store.scan(tables.entries, range)) {
    hashes.push(leafHash(decodeEntryRow(value).entry));
  }
  return concat(...hashes);
}

function wrongWith(row: Uint8Array, leaf: Uint8Array): string | null {
  try {
    const { entry } = decodeEntryRow(row);
    return equalBytes(leafHash(entry), leaf) ? null : "is not what the tree holds";
  } catch (thrown) {
    if (thrown instanceof Malformed) return "cannot be read";
    throw thrown;
  }
}

async function isIndexed(
  { format, store }: Scrubbed,
  index: bigint,
  row: Uint8Array,
  leaf: Uint8Array,
): Promise<boolean> {
  const key = numberKey(index);
  const { identityIsLeafHash } = formats[format];
  const byLeaf = await store.get(tables.leaves, leaf);
  if (byLeaf === null || !equalBytes(byLeaf, key)) return false;
  if (identityIsLeafHash) return true;
  const identity = identityOfStored(formats[format], { index, ...decodeEntryRow(row) }, leaf);
  const byIdentity = await store.get(tableOfIdentity(formats[format]), identity);
  return byIdentity !== null && equalBytes(byIdentity, key);
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
