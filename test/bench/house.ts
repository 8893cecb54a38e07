/** Instances to measure: a placement, the named configuration, and the life of the processes. */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
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
import type { CaAlgorithm } from "./operations.ts";

/** Where plugins run: the services in one process, or every plugin in a process of its own over NATS. */
export type Placement = "together" | "apart";

const demoGenesis = new URL("../../deploy/ceremonies/demo-genesis.yaml", import.meta.url);

/** Both placements. */
export const placements: readonly Placement[] = ["together", "apart"];

/** The configuration `bench`: what it changes of a demo's, and nothing else. Open loops must meet the service, not its limits. */
export const benchConfiguration = {
  http: { limits: { connections: 20_000, requestsInFlight: 20_000 } },
} as const;

/** What sets one house apart from another. */
export interface Variant {
  readonly placement: Placement;
  readonly ca: CaAlgorithm;
  /** False leaves the door's limits as a demo has them. */
  readonly raised: boolean;
}

/** A home whose instance is started and stopped between runs. */
export interface House extends AsyncDisposable {
  readonly variant: Variant;
  readonly place: Place;
  /** How long the first start took: genesis, start, proof, stop. */
  readonly genesisSeconds: number;
  /** Starts the instance; `readySeconds` is how long it took to greet, with its proof. */
  start(): Promise<{ readonly instance: Instance; readonly readySeconds: number }>;
}

/** Makes an instance under the configuration `bench`; `made` is told its folder before anything is in it. */
export async function makeHouse(
  variant: Variant,
  made: (folder: string) => void = () => undefined,
): Promise<House> {
  const { remove, ...fresh } = await freshPlace();
  made(dirname(fresh.home));
  const place = { ...fresh, ...(await genesisOf(variant.ca, fresh.home)) };
  const startedAt = performance.now();
  const { code, stderr } = await runStart(place);
  if (code !== 0) throw new Error(`the first start failed: ${stderr}`);
  const genesisSeconds = secondsSince(startedAt);
  await expectCa(variant.ca, place.home);
  if (variant.placement === "apart") await placeApart(place.home);
  if (variant.raised) await raiseLimits(join(place.home, "config.yaml"));
  return {
    variant,
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

/** The demo's genesis with another algorithm for the issuing CA's key, written beside the home. */
async function genesisOf(ca: CaAlgorithm, home: string): Promise<Pick<Place, "genesis">> {
  if (ca === "ecdsa-p256") return {};
  const script = parse(await readFile(demoGenesis, "utf8")) as {
    readonly steps: readonly { readonly step: string; readonly label?: string }[];
  };
  const steps = script.steps.map((step) =>
    step.step === "generateKey" && step.label === "issuing-ca" ? { ...step, algorithm: ca } : step,
  );
  const genesis = join(dirname(home), "genesis.yaml");
  await writeFile(genesis, stringify({ ...script, steps }));
  return { genesis };
}

/** A figure must not be of another key than it says. */
async function expectCa(ca: CaAlgorithm, home: string): Promise<void> {
  const { keys } = JSON.parse(await readFile(join(home, "vault", "keyring.json"), "utf8")) as {
    readonly keys: readonly { readonly label: string; readonly algorithm: string }[];
  };
  const made = keys.find(({ label }) => label === "issuing-ca")?.algorithm;
  if (made !== ca) throw new Error(`the issuing CA's key is ${made}, not ${ca}`);
}

async function raiseLimits(path: string): Promise<void> {
  const sections = parse(await readFile(path, "utf8")) as { [section: string]: object };
  const raised = { ...sections, http: { ...sections["http"], ...benchConfiguration.http } };
  await writeFile(path, stringify(raised));
}
