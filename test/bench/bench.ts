/** One visit after the other: what is measured of an instance, and in which order. */
import { Generator } from "./generator.ts";
import { expectSound, type House, type Placement } from "./house.ts";
import { timestampUrl } from "./material.ts";
import {
  measure,
  measureProfile,
  measureSyncs,
  type ProcessProfile,
  type Sample,
  type Subject,
  type SyncCount,
} from "./measure.ts";
import { measureCommands, measureMemory, type Single } from "./once.ts";
import { type Operation, operations } from "./operations.ts";
import { measureOverload, type Overload } from "./overload.ts";
import { usage } from "./processes.ts";
import type { Results } from "./report.ts";
import type { Settings } from "./settings.ts";

/** Requests before a measured run, at least, so that it meets compiled code, as a service that runs for long does. */
const leastWarmUp = 300;
/** For so long, or what is answered in it by guess: V8 goes on compiling for some ten thousand certificates. */
const warmUpSeconds = 10;
/** A rate is carried if no request fails and all are answered this soon after the last was due; higher ones are not tried then. */
const longestTail = { seconds: 0.25, ofDuration: 0.05 } as const;
/** Requests a second, one at a time, at most. */
const aloneGuess = 500;
/** Requests counted under strace. */
const syncRequests = { alone: 40, loaded: 400 } as const;

/** Visits instances and keeps what it finds. */
export class Bench {
  readonly #settings: Settings;
  readonly #found = {
    samples: [] as Sample[],
    syncs: [] as SyncCount[],
    singles: [] as Single[],
    profiles: [] as ProcessProfile[],
    overloads: [] as Overload[],
  };
  /** Requests a second by placement and operation, so that enough material is made and not much more. */
  readonly #ceilings = new Map<string, number>();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** What has been found so far. */
  get found(): Pick<Results, "samples" | "syncs" | "singles" | "profiles" | "overloads"> {
    return this.#found;
  }

  /** Starts the house's instance, measures everything once, holds the instance to its promises, stops it. */
  async visit(house: House, repeat: number): Promise<void> {
    const { variant, genesisSeconds } = house;
    const { placement, ca, raised } = variant;
    const { only, repeats, profile, seconds } = this.#settings;
    const { instance, readySeconds } = await house.start();
    await using _ = instance;
    await using generator = new Generator();
    const subject: Subject = { placement, instance, generator };
    if (!raised) {
      progress("beyond capacity: making requests, which takes a while");
      this.#found.overloads.push(await measureOverload(subject, seconds));
      await expectSound(instance);
      return;
    }
    const isDemo = ca === "ecdsa-p256";
    if (isDemo && only.includes("start"))
      this.#noteStart(placement, { genesisSeconds, readySeconds, repeat });
    const hasTimestamps = (await timestampUrl(instance.home)) !== null;
    const chosen = operations.filter(
      ({ name, ca: needed = "ecdsa-p256" }) =>
        only.includes(name) && needed === ca && (name !== "timestamp" || hasTimestamps),
    );
    for (const operation of chosen) await this.#load(subject, operation);
    if (isDemo && only.includes("commands")) {
      this.#found.singles.push(...(await measureCommands(instance, placement)));
    }
    if (isDemo && only.includes("memory")) {
      this.#found.singles.push(...(await measureMemory(instance, placement)));
    }
    if (repeat === repeats) {
      for (const operation of chosen) await this.#syncs(subject, operation);
      // Apart, each plugin's share is in the table of CPU time already.
      if (profile && placement === "together") {
        for (const operation of chosen) await this.#profile(subject, operation);
      }
    }
    await expectSound(instance);
  }

  async #load(subject: Subject, operation: Operation): Promise<void> {
    const { seconds } = this.#settings;
    const { lanes, moreLanes, rates, guess, isAlone = false } = operation;
    const warmUp = Math.max(leastWarmUp, Math.ceil(warmUpSeconds * guess));
    await measure(subject, operation, { mode: { lanes }, count: warmUp, seconds: warmUpSeconds });
    const closed = await measure(subject, operation, {
      mode: { lanes },
      count: this.#count(subject, operation),
      seconds,
    });
    this.#note(closed);
    this.#ceilings.set(`${subject.placement} ${operation.name}`, closed.load.perSecond);
    if (moreLanes !== undefined) {
      const count = this.#count(subject, operation);
      this.#note(await measure(subject, operation, { mode: { lanes: moreLanes }, count, seconds }));
    }
    const alone = { mode: { lanes: 1 }, count: aloneGuess * seconds, seconds };
    if (isAlone) this.#note(await measure(subject, operation, alone));
    const held = Object.entries(await usage(subject.instance.home));
    progress(
      `MiB held: ${held.map(([name, { rssMiB }]) => `${name} ${rssMiB.toFixed(0)}`).join(", ")}`,
    );
    // Rates are of the placement that targets are set for.
    if (subject.placement === "apart") return;
    for (const perSecond of rates) {
      const count = perSecond * seconds;
      const open = await measure(subject, operation, { mode: { perSecond }, count, seconds });
      this.#note(open);
      if (!isCarried(open, seconds)) break;
    }
  }

  async #syncs(subject: Subject, operation: Operation): Promise<void> {
    const { alone, loaded } = syncRequests;
    for (const [lanes, count] of [
      [1, alone],
      [operation.lanes, loaded],
    ] as const) {
      const syncs = await measureSyncs(subject, operation, { lanes, count });
      progress(`${subject.placement}, ${operation.name}, ${lanes} at a time: syncs counted`);
      this.#found.syncs.push(syncs);
    }
  }

  async #profile(subject: Subject, operation: Operation): Promise<void> {
    const { seconds } = this.#settings;
    for (const process of operation.profiled) {
      const count = this.#count(subject, operation);
      const plan = { process, count, seconds };
      this.#found.profiles.push(await measureProfile(subject, operation, plan));
      progress(`${operation.name}: ${process} profiled`);
    }
  }

  #count({ placement }: Subject, { name, guess }: Operation): number {
    const known = this.#ceilings.get(`${placement} ${name}`);
    return Math.ceil(this.#settings.seconds * (known === undefined ? guess : 1.3 * known)) + 64;
  }

  #note(sample: Sample): void {
    this.#found.samples.push(sample);
    const { placement, operation, mode, load } = sample;
    const how = "lanes" in mode ? `${mode.lanes} at a time` : `${mode.perSecond}/s offered`;
    const failed = load.errors > 0 ? `, ${load.errors} errors (${load.firstError})` : "";
    progress(`${placement}, ${operation}, ${how}: ${load.perSecond.toFixed(0)}/s${failed}`);
  }

  #noteStart(
    placement: Placement,
    {
      genesisSeconds,
      readySeconds,
      repeat,
    }: { genesisSeconds: number; readySeconds: number; repeat: number },
  ): void {
    const unit = "s";
    const bound = "< 8";
    // The first start runs the services together whatever comes later: placement is told after genesis.
    if (repeat === 1) {
      const name = "first start: genesis, proof, stop";
      this.#found.singles.push({ placement, name, value: genesisSeconds, unit, bound });
    }
    const name = "start of an old home, with proof";
    this.#found.singles.push({ placement, name, value: readySeconds, unit, bound });
  }
}

function isCarried({ load: { errors, tailSeconds } }: Sample, seconds: number): boolean {
  const allowed = longestTail.seconds + longestTail.ofDuration * seconds;
  return errors === 0 && (tailSeconds ?? 0) <= allowed;
}

/** Tells whoever waits how far the benchmark is. */
export function progress(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
