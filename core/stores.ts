/** A plugin's state as it sees it: partitions of its own, and facts that are written in the same commit as what they tell. */
import type { Fact } from "../events/contract.ts";
import { check } from "./check.ts";
import { factKey } from "./graph.ts";
import type { Emitted, Manifest, Store, Stores } from "./plugin.ts";
import {
  Conflict,
  MissingPartition,
  type Append,
  type Partition,
  type PartitionShape,
  type StorageDriver,
} from "./storage.ts";
import { encode } from "./wire.ts";

/** The stream in which a partition keeps its facts. */
export const factStream = "facts";
/** The table in which a follower keeps how far it has come. */
export const cursorTable = "cursors";
/** The only partition of an unpartitioned plugin. */
const mainPartition = "main";

/** A partition to be made at genesis. */
export interface NamedPartition {
  /** The driver's name for it: `room` or `room-partition`. */
  readonly name: string;
  readonly shape: PartitionShape;
}

/** Every partition an installation needs; genesis creates exactly these. `sections` are validated configurations by plugin. */
export function partitionsOf(
  manifests: readonly Manifest[],
  sections: ReadonlyMap<string, unknown>,
): NamedPartition[] {
  return manifests.flatMap((manifest) =>
    partitionNames(manifest, sections.get(manifest.name)).map((partition) => ({
      name: driverName(manifest.name, partition),
      shape: shapeOf(manifest),
    })),
  );
}

/** The names of a plugin's fact streams: its partitions. */
export function streamsOf(manifest: Manifest, config: unknown): readonly string[] {
  if (!manifest.keeps) return [];
  return manifest.partitions ? manifest.partitions(config) : [mainPartition];
}

/** The driver's name of a partition. */
export function driverName(room: string, partition = mainPartition): string {
  return partition === mainPartition ? room : `${room}-${partition}`;
}

/** What the kernel lends to a plugin's stores. */
export interface StoreSurroundings {
  readonly storage: StorageDriver;
  /** Called after each commit that wrote facts. */
  readonly wake: () => void;
  /** Called when a commit's outcome is unknown: the process must end and read back what is true. */
  readonly fatal: (reason: string, cause: unknown) => void;
}

/** The kernel's view of a plugin's stores: it also keeps cursors in them. */
export interface OwnStores extends Stores, AsyncDisposable {
  /** The raw partition, opened once. @throws {MissingPartition} */
  partition(name?: string): Promise<Partition>;
  /** Partitions that the plugin has opened beyond those its configuration named. */
  readonly begun: () => readonly string[];
}

/** Opens partitions on first use and closes them together. */
export function ownStores(
  manifest: Manifest,
  config: unknown,
  surroundings: StoreSurroundings,
): OwnStores {
  const open = new Map<string, Promise<Partition>>();
  const names = partitionNames(manifest, config);
  const begun: string[] = [];
  const wake = new Wake(surroundings.wake);

  const partition = async (name = mainPartition): Promise<Partition> => {
    if (!manifest.keeps) throw new TypeError(`"${manifest.name}" keeps no state: add "keeps"`);
    if (!names.includes(name) && !begun.includes(name)) {
      throw new MissingPartition(`"${manifest.name}" has no partition "${name}"`);
    }
    const known = open.get(name);
    if (known) return await known;
    const opening = surroundings.storage.open(driverName(manifest.name, name), shapeOf(manifest));
    open.set(name, opening);
    return await opening;
  };

  /** A partitioned plugin may begin a partition that an operation has made while it runs; storage refuses any that is not there. */
  const begin = async (name: string): Promise<void> => {
    const driver = driverName(manifest.name, name);
    const opened = await surroundings.storage.open(driver, shapeOf(manifest));
    open.set(name, Promise.resolve(opened));
    begun.push(name);
  };

  return {
    partition,
    begun: () => begun,
    async open(name) {
      const isKnown = name === undefined || names.includes(name) || begun.includes(name);
      if (!isKnown && manifest.keeps?.partitioned === true) await begin(name);
      const { fatal } = surroundings;
      return storeOn(manifest, await partition(name), { wake: () => wake.ring(), fatal });
    },
    async [Symbol.asyncDispose]() {
      wake[Symbol.dispose]();
      for (const opened of await Promise.allSettled(open.values())) {
        if (opened.status === "fulfilled") await opened.value[Symbol.asyncDispose]();
      }
    },
  };
}

/** How often followers are woken at most: they take all that has come, and a wake-up costs each of them as much as a fact. */
const wakeEveryMs = 50;

/** Wakes followers: at once after a pause, and then for all commits of a moment together. */
class Wake implements Disposable {
  readonly #wake: () => void;
  #timer: NodeJS.Timeout | null = null;
  #isOwed = false;

  constructor(wake: () => void) {
    this.#wake = wake;
  }

  ring(): void {
    if (this.#timer !== null) {
      this.#isOwed = true;
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (!this.#isOwed) return;
      this.#isOwed = false;
      this.ring();
    }, wakeEveryMs);
    // A process that ends wakes nobody: followers look for facts now and then anyway.
    this.#timer.unref();
    this.#wake();
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}

function partitionNames(manifest: Manifest, config: unknown): readonly string[] {
  const streams = streamsOf(manifest, config);
  // A partitioned plugin that follows needs a place for its cursors.
  const cursors = manifest.follows.length > 0 && !streams.includes(mainPartition);
  return cursors ? [...streams, mainPartition] : streams;
}

function shapeOf({ keeps }: Manifest): PartitionShape {
  return {
    tables: [...(keeps?.tables ?? []), cursorTable],
    streams: [...(keeps?.streams ?? []), factStream],
    ...(keeps?.largeValues === true && { largeValues: true }),
    ...(keeps?.patient === true && { patient: true }),
  };
}

function storeOn(
  manifest: Manifest,
  partition: Partition,
  { wake, fatal }: Pick<StoreSurroundings, "wake" | "fatal">,
): Store {
  const emits = new Map(manifest.emits.map((fact) => [factKey(fact), fact]));

  return {
    async commit({ writes = [], expect = [], appends = [], facts = [] }) {
      if (writes.some(({ table }) => table === cursorTable)) {
        throw new TypeError(`the table "${cursorTable}" belongs to the kernel`);
      }
      if (appends.some(({ stream }) => stream === factStream)) {
        throw new TypeError(`facts are written by "facts", not by "appends"`);
      }
      // Bad facts are refused before anything is written: a row its followers cannot read would stop them for ever.
      const rows = facts.length === 0 ? [] : await encodeFacts(emits, facts);
      try {
        const committed = await partition.commit({
          writes,
          expect,
          appends: [...appends, ...rows],
        });
        if (rows.length > 0) wake();
        return { sequences: committed.sequences.slice(0, appends.length) };
      } catch (thrown) {
        if (!(thrown instanceof Conflict) && !(thrown instanceof TypeError)) {
          fatal(`a commit of "${manifest.name}" ended in doubt`, thrown);
        }
        throw thrown;
      }
    },
    async get(table, key) {
      return await partition.get(table, key);
    },
    async scan(table, range) {
      return await partition.scan(table, range);
    },
    async read(stream, after, limit) {
      return await partition.read(stream, after, limit);
    },
  };
}

async function encodeFacts(
  emits: ReadonlyMap<string, Fact>,
  facts: readonly Emitted[],
): Promise<Append[]> {
  const rows: Append[] = [];
  for (const { fact, body } of facts) {
    if (!emits.has(factKey(fact))) throw new TypeError(`${fact.name} is not in "emits"`);
    // Checked one after the other: a batch holds few facts.
    const { issues } = await check(fact.body, body);
    if (issues !== undefined) throw new TypeError(`${fact.name}: ${issues}`);
    const value = encode({ name: fact.name, body: encode(body) });
    rows.push({ stream: factStream, value });
  }
  return rows;
}
