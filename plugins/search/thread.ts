/** The thread in which the index lives: whatever it does, and however it fails, nobody else waits for it. */
import { flushCompileCache } from "node:module";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { leafHash } from "../../core/formats/merkle.ts";
import { giveWay, patientNiceness } from "../../core/niceness.ts";
import { isDamage, lockIndex, removeIndex } from "./database.ts";
import { type Checked, checkEntries, type Read } from "./checked.ts";
import { describeEntry } from "./describe.ts";
import { Engine, type Extent, type LogEntry } from "./engine.ts";
import type { Bounds, Counted, PlacesFound, Search } from "./evaluate.ts";
import { type Condition, readConditions } from "./filter.ts";
import { type Indexed, indexedBy } from "./indexed.ts";

/** A filter as it travels. */
export interface Asked {
  readonly conditions: readonly Condition[];
  readonly log?: string | undefined;
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
}

/** What the thread does. */
export interface Calls {
  join(of: { readonly log: string; readonly logId: Uint8Array }): Extent;
  /** Searches that come meanwhile are answered first. */
  add(of: {
    readonly log: string;
    readonly first: number;
    readonly entries: readonly LogEntry[];
  }): Promise<Extent>;
  extents(of: Record<string, never>): readonly Extent[];
  find(of: {
    readonly asked: Asked;
    readonly newestFirst: boolean;
    readonly limit: number;
    readonly bounds?: Bounds | undefined;
  }): PlacesFound;
  count(of: { readonly asked: Asked; readonly facets: readonly string[] }): Counted;
  /** Null for each entry that the filter did not mean. */
  check(of: {
    readonly asked: Asked;
    readonly entries: readonly Read[];
  }): readonly (Checked | null)[];
  rebuild(of: Record<string, never>): void;
}

/** A call on its way to the thread. */
export interface Call {
  readonly id: number;
  readonly name: keyof Calls;
  readonly of: unknown;
}

/** What became of it. */
export interface Result {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { readonly message: string; readonly isDamage: boolean };
}

/** Entries that are read without a pause: a search that comes meanwhile waits for no more. */
const readAtOnce = 16;

class Desk implements Calls {
  readonly #path: string;
  #lock: Disposable | null = null;
  #engine: Engine | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  join(of: Parameters<Calls["join"]>[0]): Extent {
    return this.#open().join(of.log, of.logId);
  }

  async add({ log, first, entries }: Parameters<Calls["add"]>[0]): Promise<Extent> {
    const indexed: Indexed[] = [];
    for (let from = 0; from < entries.length; from += readAtOnce) {
      const some = entries.slice(from, from + readAtOnce);
      indexed.push(
        ...some.map(({ entry, subjects, atMs }) => indexedBy(describeEntry(entry, subjects), atMs)),
      );
      await nextTurn();
    }
    const last = entries.at(-1);
    const lastHash = last === undefined ? new Uint8Array() : leafHash(last.entry);
    // The index may have been closed or thrown away meanwhile: a log that has not joined again takes nothing.
    return this.#open().addRead(log, first, { indexed, lastHash });
  }

  extents(): readonly Extent[] {
    return this.#open().extents();
  }

  find({ asked, newestFirst, limit, bounds }: Parameters<Calls["find"]>[0]): PlacesFound {
    return this.#open().find(searchOf(asked), { newestFirst, limit, bounds });
  }

  count({ asked, facets }: Parameters<Calls["count"]>[0]): Counted {
    return this.#open().count(searchOf(asked), facets);
  }

  check({ asked, entries }: Parameters<Calls["check"]>[0]): readonly (Checked | null)[] {
    return checkEntries(asked.conditions, entries);
  }

  rebuild(): void {
    this.#close();
    this.#lock ??= lockIndex(this.#path);
    removeIndex(this.#path);
    this.#open();
  }

  /** Some of the work that is due; false if there is none. */
  step(): boolean {
    return this.#engine?.step() ?? false;
  }

  /** After an error nothing in memory is relied on: the file says what is true, unless it is what failed. */
  failed(thrown: unknown): NonNullable<Result["error"]> {
    this.#close();
    const damaged = this.#lock !== null && isDamage(thrown);
    if (damaged) removeIndex(this.#path);
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return { message, isDamage: damaged };
  }

  #open(): Engine {
    this.#lock ??= lockIndex(this.#path);
    this.#engine ??= new Engine(this.#path);
    return this.#engine;
  }

  #close(): void {
    try {
      this.#engine?.[Symbol.dispose]();
    } finally {
      this.#engine = null;
    }
  }
}

function searchOf({ conditions, ...rest }: Asked): Search {
  return { wanted: readConditions(conditions), ...rest };
}

function run(port: NonNullable<typeof parentPort>, path: string): void {
  const desk = new Desk(path);
  let isStepping = false;
  const step = (): void => {
    isStepping = false;
    try {
      if (desk.step()) later();
    } catch (thrown) {
      // The next call opens the index again, or makes it anew.
      desk.failed(thrown);
    }
  };
  const later = (): void => {
    if (isStepping) return;
    isStepping = true;
    setImmediate(step);
  };
  port.on("message", (call: Call) => {
    void perform(desk, call).then((result) => {
      port.postMessage(result);
      later();
    });
  });
  // So that a thread that is started after this one finds it compiled.
  flushCompileCache();
}

async function perform(desk: Desk, { id, name, of }: Call): Promise<Result> {
  try {
    // The one who sends calls is typed by `Calls`.
    return { id, value: await (desk[name] as (of: unknown) => unknown).call(desk, of) };
  } catch (thrown) {
    return { id, error: desk.failed(thrown) };
  }
}

// Last, because the class above must exist by then.
if (parentPort !== null) {
  giveWay(patientNiceness);
  run(parentPort, (workerData as { readonly path: string }).path); // whoever starts this thread gives exactly that
}
