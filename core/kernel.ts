/** Resolve, configure, load, start, drain, dispose: the whole life of an installation. */
import { type Ask, factsAfter, reportHealth, reportMetrics } from "../events/contract.ts";
import { isMeasured } from "./acl.ts";
import type { Answerer } from "./bus.ts";
import { answeringWith } from "./answerer.ts";
import { check } from "./check.ts";
import { askAs, contextFor } from "./context.ts";
import { answerFacts, followRoom } from "./facts.ts";
import { CompositionError, startOrder } from "./graph.ts";
import { describeHealth, worst } from "./health.ts";
import { createMeter } from "./meter.ts";
import { quick } from "./plain-check.ts";
import type { Health, Manifest, Plugin, Running } from "./plugin.ts";
import { ownStores, type OwnStores, streamsOf } from "./stores.ts";
import type { House, Surroundings } from "./surroundings.ts";
import { createTracing } from "./trace.ts";
import type { Turn } from "./turn.ts";

/** A plugin that may run here. Its code is loaded only if it does. */
export interface Entry {
  readonly manifest: Manifest;
  load(): Promise<{ readonly default: Plugin }>;
}

/** A running installation. Disposing it drains it. */
export interface Installation extends AsyncDisposable {
  /** The health of the plugins in this process. */
  readonly health: () => { readonly [plugin: string]: Health };
  /** Puts an ask in the name of `asker`, as a plugin's context would. For the process itself and for tests. */
  readonly ask: (ask: Ask, question: unknown, asker: string) => Promise<unknown>;
  /** Rejects when it cannot go on: rooms whose turn it became did not start, or the turn is another process's. */
  readonly failed: Promise<never>;
}

/**
 * Starts the plugins placed in this process and returns once all of them answer; where processes take turns, once all of those answer
 * that run in every process.
 *
 * @param config One section per plugin, by name. A section that belongs to nobody is an error.
 * @param here Which plugins run in this process; the others are reached over the bus.
 * @throws {CompositionError} before any plugin code has run, if the set or its configuration is wrong.
 */
export async function boot(
  entries: readonly Entry[],
  config: { readonly [section: string]: unknown },
  surroundings: Surroundings,
  here: (name: string) => boolean = () => true,
): Promise<Installation> {
  const manifests = startOrder(entries.map(({ manifest }) => manifest));
  const sections = await configure(manifests, config);
  const tracing = createTracing(surroundings.clock);
  const { turn } = surroundings;
  const present = (name: string): boolean => here(name) && turn?.isAway(name) !== true;
  const house = { manifests, sections, surroundings, tracing, here: present };
  const placed = manifests.filter(({ name }) => here(name));
  const plugins = await Promise.all(placed.map((manifest) => load(entries, manifest)));

  await using stack = new AsyncDisposableStack();
  const draining = new AbortController();
  // Deferred first, so undone last, after every plugin has been disposed; also when a start fails.
  stack.defer(() => draining.abort());
  const tenants = new Map<string, Tenant>();
  const moving = { house, tenants, draining: draining.signal };
  const isSingle = ({ manifest }: Plugin): boolean => turn?.isSingle(manifest.name) === true;
  const single = turn && takeTurn(turn, plugins.filter(isSingle), { ...moving, stack });
  const failed = single ?? new Promise<never>(() => undefined);
  const residents = plugins.filter((plugin) => !isSingle(plugin));
  await Promise.race([moveAll(residents, { ...moving, stack }), failed]);

  const owned = stack.move();
  return {
    health: () => Object.fromEntries([...tenants].map(([name, { health }]) => [name, health()])),
    ask: async (ask, question, asker) =>
      await askAs(asker, { bus: surroundings.bus, tracing, clock: surroundings.clock })(
        ask,
        question,
      ),
    failed,
    async [Symbol.asyncDispose]() {
      // The way in first: what it has accepted still needs every room at work.
      await Promise.allSettled([...tenants.values()].map(async ({ drain }) => await drain()));
      draining.abort();
      await surroundings.bus.drain(surroundings.drainMs ?? 10_000);
      await owned.disposeAsync();
    },
  };
}

/**
 * Every plugin's configuration, defaults filled in.
 *
 * @throws {CompositionError} naming the section and the key that is wrong.
 */
export async function configure(
  manifests: readonly Manifest[],
  config: { readonly [section: string]: unknown },
): Promise<ReadonlyMap<string, unknown>> {
  const stray = Object.keys(config).find((name) => !manifests.some((m) => m.name === name));
  if (stray !== undefined) {
    throw new CompositionError(
      `config section "${stray}" belongs to no plugin: there are ${manifests.map(({ name }) => name).join(", ")}`,
    );
  }
  const sections = new Map<string, unknown>();
  for (const { name, config: schema } of manifests) {
    // One after the other, so that the first mistake in the file's order of plugins is the one reported.
    const { issues, value } = await check(schema, config[name] ?? {});
    if (issues !== undefined) throw new CompositionError(`config of "${name}": ${issues}`);
    sections.set(name, value);
  }
  return sections;
}

interface Tenant {
  readonly health: () => Health;
  /** Begins to follow facts. */
  readonly follow: () => void;
  /** Finishes what came in from outside. */
  readonly drain: () => Promise<void>;
}

async function load(entries: readonly Entry[], manifest: Manifest): Promise<Plugin> {
  const entry = entries.find((candidate) => candidate.manifest === manifest);
  const plugin = (await entry?.load())?.default;
  if (plugin?.manifest !== manifest) {
    throw new CompositionError(
      `"${manifest.name}" has no implementation: its plugin.ts must export default ${manifest.name}.implement(…)`,
    );
  }
  return plugin;
}

interface Moving {
  readonly house: House;
  readonly tenants: Map<string, Tenant>;
  readonly stack: AsyncDisposableStack;
  readonly draining: AbortSignal;
}

/** Started one after the other: each may ask those before it. */
async function moveAll(plugins: readonly Plugin[], moving: Moving): Promise<void> {
  const { house, tenants } = moving;
  const { bus, turn } = house.surroundings;
  const moved: Tenant[] = [];
  for (const plugin of plugins) {
    const { name } = plugin.manifest;
    const tenant = await move(plugin, house, moving);
    turn?.arrived(name);
    tenants.set(name, tenant);
    moved.push(tenant);
  }
  await bus.ready();
  for (const tenant of moved) tenant.follow();
}

/** Moves the rooms in that run in one process at a time, once it is this one's turn. Never resolves; rejects when that fails or ends. */
function takeTurn(
  { lease }: Turn,
  plugins: readonly Plugin[],
  { stack, draining, ...moving }: Moving,
): Promise<never> {
  // Undone after the rooms of every process, which ask these.
  const own = stack.use(new AsyncDisposableStack());
  const moved = (async () => {
    if (!(await lease.taken(draining))) return;
    moving.house.surroundings.journal("core").info("turn-taken");
    await moveAll(plugins, { ...moving, stack: own, draining });
  })();
  stack.defer(async () => await moved.catch(() => undefined));
  const failed = Promise.race([moved.then(() => new Promise<never>(() => undefined)), lease.lost]);
  failed.catch(() => undefined);
  return failed;
}

async function move(
  plugin: Plugin,
  house: House,
  { stack, draining }: { readonly stack: AsyncDisposableStack; readonly draining: AbortSignal },
): Promise<Tenant> {
  const { manifest } = plugin;
  const { bus, clock, storage, journal, fatal } = house.surroundings;
  const config = house.sections.get(manifest.name);
  let doubt: Health | null = null;
  const stores = ownStores(manifest, config, {
    storage,
    wake: () => bus.wake(manifest.name),
    fatal: (reason, cause) => {
      doubt ??= { status: "failed", reason, since: clock.now() };
      journal(manifest.name).error("commit-in-doubt", { reason, cause });
      fatal?.(reason, cause);
    },
  });
  stack.use(stores);
  const readers = stack.use(new AsyncDisposableStack());
  await awaitNeeds(manifest, house);
  const context = contextFor({ manifest, config, stores, draining, readers }, house);
  const running = await plugin.start(context);
  stack.defer(async () => await running[Symbol.asyncDispose]?.());

  const healths: (() => Health)[] = [() => doubt ?? running.health?.() ?? { status: "ok" }];
  const health = (): Health => worst(healths.map((ask) => ask()));
  serve(manifest, running, { house, stores, health });
  return {
    health,
    follow: () => follow(manifest, running, { house, stores, healths, stack }),
    drain: async () => await running.drain?.(),
  };
}

/** Need order reaches across processes: a plugin starts when those it needs elsewhere answer. */
async function awaitNeeds({ name, needs }: Manifest, { surroundings, here }: House): Promise<void> {
  const { needWithinMs = 30_000 } = surroundings;
  if (needWithinMs === 0) return;
  const elsewhere = needs.filter(({ room }) => !here(room));
  const first = new Map(elsewhere.map((ask) => [ask.room, ask]));
  const waits = [...first.values()].map((ask) =>
    surroundings.bus.awaitAnswerer(ask, name, needWithinMs),
  );
  await Promise.all(waits);
}

/** Registers an answerer for each offered ask and for those the kernel answers in the room's name. */
function serve(
  manifest: Manifest,
  running: Running,
  {
    house,
    stores,
    health,
  }: { readonly house: House; readonly stores: OwnStores; readonly health: () => Health },
): void {
  const { bus, journal } = house.surroundings;
  const meter = isMeasured(house.manifests) ? createMeter(manifest.name) : null;
  const answer = (ask: Ask, answerer: Answerer): void => {
    const { tracing } = house;
    const question = quick(ask.question);
    const answering = { ask, question, answerer, tracing, journal: journal(manifest.name), meter };
    bus.answer(ask, answeringWith(answering));
  };
  for (const ask of manifest.offers) {
    const handler = running.handlers[ask.name];
    if (!handler) {
      throw new CompositionError(
        `"${manifest.name}" offers ${ask.name} but has no handler of that name`,
      );
    }
    // The manifest's types tie the handler to this ask's question; the schema checks it at run time.
    answer(ask, handler as Answerer);
  }
  if (manifest.emits.length > 0) answer(factsAfter(manifest.name), answerFacts(stores));
  answer(reportHealth(manifest.name), async () => describeHealth(health()));
  if (meter === null) return;
  answer(reportMetrics(manifest.name), async () => ({
    metrics: [...(await meter.metrics()), ...((await running.metrics?.()) ?? [])],
  }));
}

function follow(
  manifest: Manifest,
  running: Running,
  {
    house,
    stores,
    healths,
    stack,
  }: {
    readonly house: House;
    readonly stores: OwnStores;
    readonly healths: (() => Health)[];
    readonly stack: AsyncDisposableStack;
  },
): void {
  const { bus, clock, journal, pollMs = 5_000 } = house.surroundings;
  const stop = new AbortController();
  for (const room of new Set(manifest.follows.map((fact) => fact.room))) {
    const emitter = house.manifests.find(({ name }) => name === room);
    const loop = followRoom({
      room,
      streams: emitter ? streamsOf(emitter, house.sections.get(room)) : [],
      facts: manifest.follows
        .filter((fact) => fact.room === room)
        .map((fact) => ({ ...fact, body: quick(fact.body) })),
      follower: manifest.name,
      stores,
      handlers: running.handlers,
      settle: running.settle && (async () => await running.settle?.()),
      ask: askAs(manifest.name, { bus, clock, tracing: house.tracing }),
      bus,
      clock,
      journal: journal(manifest.name),
      tracing: house.tracing,
      pollMs,
      signal: stop.signal,
    });
    healths.push(loop.health);
    // Undone before the plugin is disposed and before its stores close.
    stack.defer(async () => await loop.done);
  }
  stack.defer(() => stop.abort());
}
