/** Instances to measure: a placement, the named configuration, and the life of the processes. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import {
  chancery,
  freshPlace,
  type Instance,
  type Place,
  runStart,
  startInstance,
} from "../support/instance.ts";
import { placeApart } from "../support/placement.ts";

/** Where plugins run: the services in one process, or every plugin in a process of its own over NATS. */
export type Placement = "together" | "apart";

/** Both placements. */
export const placements: readonly Placement[] = ["together", "apart"];

/** The configuration `bench`: what it changes of a demo's, and nothing else. Open loops must meet the service, not its limits. */
export const benchConfiguration = {
  http: { limits: { connections: 20_000, requestsInFlight: 20_000 } },
} as const;

/** A home whose instance is started and stopped between runs. */
export interface House extends AsyncDisposable {
  readonly placement: Placement;
  readonly place: Place;
  /** How long the first start took: genesis, start, proof, stop. */
  readonly genesisSeconds: number;
  /** Starts the instance; `readySeconds` is how long it took to greet, with its proof. */
  start(): Promise<{ readonly instance: Instance; readonly readySeconds: number }>;
}

/** Makes an instance under the configuration `bench`. */
export async function makeHouse(placement: Placement): Promise<House> {
  const { remove, ...place } = await freshPlace();
  const startedAt = performance.now();
  const { code, stderr } = await runStart(place);
  if (code !== 0) throw new Error(`the first start failed: ${stderr}`);
  const genesisSeconds = secondsSince(startedAt);
  if (placement === "apart") await placeApart(place.home);
  await raiseLimits(join(place.home, "config.yaml"));
  return {
    placement,
    place,
    genesisSeconds,
    async start() {
      const begunAt = performance.now();
      const instance = await startInstance(place);
      return { instance, readySeconds: secondsSince(begunAt) };
    },
    [Symbol.asyncDispose]: remove,
  };
}

/** Recomputes every tree and holds every promise of the instance against it: figures of a service that forgot something are none. */
export async function expectSound({ home }: Instance): Promise<void> {
  const { code, stdout, stderr } = await chancery(home, "fsck");
  if (code !== 0) throw new Error(`chancery fsck: ${stdout}${stderr}`);
}

/** Seconds since `startedAt`, a reading of `performance.now()`. */
export function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1_000;
}

async function raiseLimits(path: string): Promise<void> {
  const sections = parse(await readFile(path, "utf8")) as { [section: string]: object };
  const raised = { ...sections, http: { ...sections["http"], ...benchConfiguration.http } };
  await writeFile(path, stringify(raised));
}
