/** What a plugin is given: exactly what its manifest mentions, and a clear refusal of everything else. */
import type { Ask, Schema } from "../events/contract.ts";
import { type Metric, reportMetrics } from "../events/contract.ts";
import { Failure } from "../events/failure.ts";
import { askKey, type Bus, type ReadAnswer } from "./bus.ts";
import { accept } from "./check.ts";
import type { Clock } from "./clock.ts";
import { healthOf } from "./health.ts";
import { quick } from "./plain-check.ts";
import type { Context, Manifest, Reach } from "./plugin.ts";
import { driverName, type OwnStores } from "./stores.ts";
import type { House, Surroundings } from "./surroundings.ts";
import type { Tracing } from "./trace.ts";

/** Puts asks in the name of one plugin and holds the answers against their schemas. */
export function askAs(
  from: string,
  { bus, tracing, clock }: { readonly bus: Bus; readonly tracing: Tracing; readonly clock: Clock },
): (ask: Ask, question: unknown) => Promise<unknown> {
  /** By schemas and not by asks: those of the kernel are declared anew each time. */
  const readers = new WeakMap<Schema, ReadAnswer>();
  const readerOf = ({ answer: slow }: Ask): ReadAnswer => {
    const known = readers.get(slow);
    if (known !== undefined) return known;
    const schema = quick(slow);
    const made = (answer: unknown): unknown => accept(schema, answer, "internal");
    readers.set(slow, made);
    return made;
  };
  // No asynchronous function: it is done for every ask, and many are under way.
  return (ask, question) => {
    const stamp = tracing.stamp(from, ask.deadlineMs);
    if (stamp.deadlineAtMs <= clock.now().getTime()) {
      const failure = new Failure("deadline-exceeded", `no time left to ask ${askKey(ask)}`);
      return Promise.reject(failure);
    }
    return bus.ask(ask, question, stamp, readerOf(ask));
  };
}

/** Makes the context of one plugin. */
export function contextFor(tenancy: Tenancy, house: House): Context {
  const { manifest, config, stores, draining } = tenancy;
  const { clock, journal, seals } = house.surroundings;
  return {
    config,
    clock,
    journal: journal(manifest.name),
    draining,
    ...asking(manifest, house),
    trace: (traceparent) => house.tracing.entering(traceparent),
    detached: (work) => house.tracing.detached(work),
    stores,
    reads: reading(tenancy, house.surroundings),
    seals: seals(manifest.name),
    ...reaching(manifest, house.surroundings),
  };
}

/** What is particular to one plugin. */
export interface Tenancy {
  readonly manifest: Manifest;
  readonly config: unknown;
  readonly stores: OwnStores;
  readonly draining: AbortSignal;
  /** Where handles opened on other rooms are released. */
  readonly readers: AsyncDisposableStack;
}

function asking(
  { name, needs, oversees = false, measures = false }: Manifest,
  { manifests, surroundings, tracing }: House,
): Pick<Context, "ask" | "peers" | "metrics"> {
  const { bus, clock } = surroundings;
  const needed = new Set(needs.map(askKey));
  /** Declarations that have been found to be needed: an ask is put by the same one each time. */
  const known = new WeakSet<Ask>();
  const isNeeded = (ask: Ask): boolean => {
    if (known.has(ask)) return true;
    if (!needed.has(askKey(ask))) return false;
    known.add(ask);
    return true;
  };
  const put = askAs(name, { bus, clock, tracing });
  return {
    ask: (ask, question) =>
      isNeeded(ask)
        ? (put(ask, question) as Promise<never>) // the schema of this very ask accepts the answer
        : Promise.reject(new TypeError(`"${name}" asks ${ask.name} without needing it`)),
    peers: async () => {
      if (!oversees) throw new TypeError(`"${name}" does not oversee`);
      const rooms = manifests.map((peer) => peer.name);
      return await healthOf(rooms, put, clock);
    },
    metrics: async () => {
      if (!measures) throw new TypeError(`"${name}" does not measure`);
      const asked = manifests.map(async (peer) => await put(reportMetrics(peer.name), {}));
      const answers = await Promise.allSettled(asked);
      // The schema of this very ask has accepted each answer.
      return answers.flatMap((answer) =>
        answer.status === "fulfilled" ? [(answer.value as { metrics: Metric[] }).metrics] : [],
      );
    },
  };
}

function reading(
  { manifest: { name, reads = [] }, readers }: Tenancy,
  { storage }: Surroundings,
): Context["reads"] {
  return async (room, partition) => {
    if (!reads.includes(room)) throw new TypeError(`"${name}" does not read "${room}"`);
    return readers.use(await storage.openReader(driverName(room, partition)));
  };
}

function reaching(
  { name, reaches }: Manifest,
  { fetch, home, pin }: Surroundings,
): Pick<Context, "fetch" | "home" | "pin"> {
  const demand = (what: string, ...any: readonly Reach[]): void => {
    if (any.some((reach) => reaches.includes(reach))) return;
    throw new TypeError(`"${name}" uses ${what} but does not reach ${any.join(" or ")}`);
  };
  return {
    fetch: async (url, limits) => {
      demand("fetch", "internet");
      return await fetch(url, limits);
    },
    home: () => {
      demand("home", "disk", "hsm", "listen");
      return home;
    },
    pin: async () => {
      demand("the PIN", "hsm");
      if (!pin) throw new TypeError(`this process was started without a PIN for "${name}"`);
      return await pin();
    },
  };
}
