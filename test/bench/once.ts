/** Figures that are no load: how long commands take, how much memory the processes hold. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chancery, type Instance } from "../support/instance.ts";
import type { Placement } from "./house.ts";
import { quantile } from "./load.ts";
import { usage } from "./processes.ts";

/** One figure, once a repeat. */
export interface Single {
  readonly placement: Placement;
  readonly name: string;
  readonly value: number;
  readonly unit: "s" | "MiB";
  /** The bound that an issue has set, or "". */
  readonly bound: string;
}

const rounds = 9;
const email = "bench@example.com";

/** Wall time of `chancery sign` and `chancery verify`, process start included, median of nine. */
export async function measureCommands(
  instance: Instance,
  placement: Placement,
): Promise<readonly Single[]> {
  const folder = join(instance.home, "run");
  const artifact = join(folder, "bench-artifact");
  await writeFile(artifact, "bench");
  const token = (await said(instance, ["token", "--email", email])).trim();
  // A bundle that exists is never overwritten: each round writes its own, and one of them is verified.
  const stamp = Date.now();
  const bundleOf = (round: number): string => join(folder, `bench-${stamp}-${round}.sigstore.json`);
  const bundled = (round: number): readonly string[] => [artifact, "--bundle", bundleOf(round)];
  const identity = ["--certificate-identity", email];
  const issuer = ["--certificate-oidc-issuer", `${instance.origin}/oidc`];
  const sign = await wall(instance, (at) => ["sign", ...bundled(at), "--identity-token", token]);
  const verify = await wall(instance, () => ["verify", ...bundled(0), ...identity, ...issuer]);
  return [
    { placement, name: "chancery sign, wall", value: sign, unit: "s", bound: "< 0.4" },
    { placement, name: "chancery verify, wall", value: verify, unit: "s", bound: "< 0.2" },
  ];
}

/** Resident memory of each process now. */
export async function measureMemory(
  { home }: Instance,
  placement: Placement,
): Promise<readonly Single[]> {
  const processes = Object.entries(await usage(home));
  return processes.map(([name, { rssMiB }]) => ({
    placement,
    name: `resident memory, ${name}`,
    value: rssMiB,
    unit: "MiB",
    bound: name === "vault" ? "< 150" : "< 300",
  }));
}

async function wall(
  instance: Instance,
  argsOf: (round: number) => readonly string[],
): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const args = argsOf(round);
    const startedAt = performance.now();
    await said(instance, args);
    times.push((performance.now() - startedAt) / 1_000);
  }
  return (
    quantile(
      times.toSorted((a, b) => a - b),
      0.5,
    ) ?? Number.NaN
  );
}

async function said({ home }: Instance, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await chancery(home, ...args);
  if (code !== 0) throw new Error(`chancery ${args[0]}: ${stderr}`);
  return stdout;
}
