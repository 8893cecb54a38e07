/** An installation in one process, over a memory bus that takes every message through the wire codec. */
import { createHmac } from "node:crypto";
import type { Bus } from "../../core/bus.ts";
import { configure, type Entry, boot, type Installation } from "../../core/kernel.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import type { OutboundFetch } from "../../core/fetch.ts";
import { startOrder } from "../../core/graph.ts";
import type { Journal } from "../../core/journal.ts";
import { memoryBus } from "../../core/memory.ts";
import type { Plugin } from "../../core/plugin.ts";
import { sealsFrom } from "../../core/seals.ts";
import type { StorageDriver } from "../../core/storage.ts";
import { partitionsOf } from "../../core/stores.ts";
import type { Surroundings } from "../../core/surroundings.ts";
import type { AnswerOf, Ask, QuestionOf } from "../../events/contract.ts";
import { memoryStorage } from "./memory-storage.ts";

/** What a test boots. */
export interface TestBoot {
  /** Plugins as they are, or entries that load them. */
  readonly entries: readonly (Entry | Plugin)[];
  readonly config?: { readonly [section: string]: unknown };
  /** Partitions that do not exist in it yet are created. */
  readonly storage?: StorageDriver;
  readonly clock?: Clock;
  readonly fetch?: OutboundFetch;
  readonly home?: string;
  readonly pin?: () => Promise<string>;
  readonly journal?: (plugin: string) => Journal;
  /** Names of the plugins that run; the others are declared and silent. */
  readonly only?: readonly string[];
  readonly pollMs?: number;
  readonly fatal?: Surroundings["fatal"];
  /** Puts something around the bus. */
  readonly around?: (bus: Bus) => Bus;
}

/** A booted installation. */
export interface TestInstallation extends AsyncDisposable {
  /** Puts an ask in the name of `asker`, by default `test`. */
  ask<A extends Ask>(ask: A, question: QuestionOf<A>, asker?: string): Promise<AnswerOf<A>>;
  readonly health: Installation["health"];
  readonly storage: StorageDriver;
  /** Drains and disposes; also what `await using` does. */
  dispose(): Promise<void>;
}

/** Boots plugins on a memory bus. Partitions are created in `storage` (in memory by default) unless they are there. */
export async function bootForTest(test: TestBoot): Promise<TestInstallation> {
  const { config = {}, clock = systemClock, only } = test;
  const entries = test.entries.map(asEntry);
  const storage = test.storage ?? memoryStorage();
  const manifests = startOrder(entries.map(({ manifest }) => manifest));
  for (const { name, shape } of partitionsOf(manifests, await configure(manifests, config))) {
    await storage.create(name, shape).catch(() => undefined);
  }
  const inner = memoryBus({ clock, overWire: true });
  const bus = test.around?.(inner) ?? inner;
  const installation = await boot(
    entries,
    config,
    {
      bus,
      clock,
      storage,
      journal: test.journal ?? (() => silentJournal),
      seals: testSeals,
      fetch: test.fetch ?? refuseFetch,
      home: test.home ?? "/nonexistent/chancery-test-home",
      needWithinMs: 0,
      pollMs: test.pollMs ?? 50,
      ...(test.pin && { pin: test.pin }),
      ...(test.fatal && { fatal: test.fatal }),
    },
    only && ((name) => only.includes(name)),
  );
  const dispose = async (): Promise<void> => {
    await installation[Symbol.asyncDispose]();
    await bus[Symbol.asyncDispose]();
  };
  return {
    // The schema of this very ask has accepted the answer.
    ask: async (ask, question, asker = "test") =>
      (await installation.ask(ask, question, asker)) as never,
    health: installation.health,
    storage,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

/** A journal that says nothing. */
export const silentJournal: Journal = { info() {}, warn() {}, error() {} };

/** Seals whose pair keys are derived from the two names, so that every test process agrees on them. */
export const testSeals = sealsFrom((asker, answerer) =>
  createHmac("sha256", "test pair key").update(`${asker}--${answerer}`).digest(),
);

const refuseFetch: OutboundFetch = async (url) => {
  await Promise.resolve();
  throw new Error(`this test gave no fetch, and something wants ${url}`);
};

function asEntry(entry: Entry | Plugin): Entry {
  if ("load" in entry) return entry;
  return { manifest: entry.manifest, load: async () => ({ default: entry }) };
}
