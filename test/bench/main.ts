/**
 * First figures: `npm run bench [-- --seconds N --json]`. One instance, everything on this machine, load generator included; every
 * request has its own token, key, identity and digest, made before the clock runs. Figures of a shared machine: read ratios.
 */
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  chancery,
  freshPlace,
  type Instance,
  runStart,
  startInstance,
} from "../support/instance.ts";
import { poster, type Prepared } from "./http.ts";
import { closedLoop, type Load, quantile } from "./load.ts";
import { certificateRequests, entryRequests } from "./material.ts";
import { usage } from "./processes.ts";

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The bound of the issue, or "" if none is set. */
  readonly bound: string;
  readonly note: string;
}

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "5" }, json: { type: "boolean", default: false } },
});
const seconds = Number(values.seconds);

const figures = await measure();
if (values.json)
  process.stdout.write(`${JSON.stringify({ machine: machine(), seconds, figures }, null, 2)}\n`);
else printTable(figures);

async function measure(): Promise<readonly Figure[]> {
  const place = await freshPlace();
  try {
    const genesisAt = performance.now();
    const first = await runStart(place);
    if (first.code !== 0) throw new Error(first.stderr);
    const genesisMs = performance.now() - genesisAt;
    const readyAt = performance.now();
    await using instance = await startInstance(place);
    const readyMs = performance.now() - readyAt;
    return [
      figure("first start, with genesis and proof", genesisMs / 1000, ["s", "< 8"]),
      figure("start of an old home, with proof", readyMs / 1000, ["s", "< 8"]),
      ...(await idle(instance)),
      ...(await loaded(instance)),
      ...(await commands(instance)),
      ...(await memory(instance)),
    ];
  } finally {
    await place.remove();
  }
}

async function idle(instance: Instance): Promise<readonly Figure[]> {
  const certificates = await certificateRequests(instance, 150);
  const one = await load(instance, certificates, { lanes: 1, expected: 200 });
  const entry = await load(instance, entryRequests(300), { lanes: 1, expected: 201 });
  return [
    figure("certificate, idle, p50", one.p50, ["ms", "< 15"], describe(one)),
    figure("entry, idle, p50", entry.p50, ["ms", "< 15"], describe(entry)),
  ];
}

async function loaded(instance: Instance): Promise<readonly Figure[]> {
  const certificates = await certificateRequests(instance, 800 * seconds);
  const beforeCertificates = await usage(instance);
  const issued = await load(instance, certificates, { lanes: 32, expected: 200 });
  const afterCertificates = await usage(instance);
  const entries = entryRequests(3000 * seconds);
  const logged = await load(instance, entries, { lanes: 64, expected: 201 });
  const afterEntries = await usage(instance);
  const cpu = (before: typeof beforeCertificates, after: typeof before, requests: number): string =>
    (["services", "vault", "nats"] as const)
      .map((name) => `${name} ${((after[name].cpuMs - before[name].cpuMs) / requests).toFixed(2)}`)
      .join(", ");
  return [
    figure("certificates, 32 at a time", issued.perSecond, ["/s", ">= 300"], describe(issued)),
    figure(
      "  CPU per certificate",
      Number.NaN,
      ["ms"],
      cpu(beforeCertificates, afterCertificates, issued.requests),
    ),
    figure("entries, 64 at a time", logged.perSecond, ["/s", ">= 600"], describe(logged)),
    figure(
      "  CPU per entry",
      Number.NaN,
      ["ms"],
      cpu(afterCertificates, afterEntries, logged.requests),
    ),
  ];
}

async function commands(instance: Instance): Promise<readonly Figure[]> {
  const artifact = join(instance.home, "run", "bench-artifact");
  await writeFile(artifact, "bench");
  const identity = [
    "--certificate-identity",
    "bench@example.com",
    "--certificate-oidc-issuer",
    `${instance.origin}/oidc`,
  ];
  const said = await chancery(instance.home, "token", "--email", "bench@example.com");
  const token = said.stdout.trim();
  // A bundle that exists is never overwritten: each round writes its own, and the last one is verified.
  const bundleOf = (round: number): string => `${artifact}.${round}.sigstore.json`;
  const sign = await wall(instance, (round) => [
    "sign",
    artifact,
    "--identity-token",
    token,
    "--bundle",
    bundleOf(round),
  ]);
  const verify = await wall(instance, () => [
    "verify",
    artifact,
    "--bundle",
    bundleOf(0),
    ...identity,
  ]);
  return [
    figure("chancery sign, wall", sign / 1000, ["s", "< 0.4"], "median of 9"),
    figure("chancery verify, wall", verify / 1000, ["s", "< 0.2"], "median of 9"),
  ];
}

async function wall(
  instance: Instance,
  argsOf: (round: number) => readonly string[],
): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 9; round++) {
    const args = argsOf(round);
    const startedAt = performance.now();
    const { code, stderr } = await chancery(instance.home, ...args);
    if (code !== 0) throw new Error(`chancery ${args[0]}: ${stderr}`);
    times.push(performance.now() - startedAt);
  }
  return quantile(
    times.sort((a, b) => a - b),
    0.5,
  );
}

async function memory(instance: Instance): Promise<readonly Figure[]> {
  const now = await usage(instance);
  return (["services", "vault", "nats"] as const).map((name) =>
    figure(
      `resident memory, ${name}`,
      now[name].rssMiB,
      ["MiB", "< 300"],
      "after all of the above",
    ),
  );
}

async function load(
  instance: Instance,
  material: readonly Prepared[],
  { lanes, expected }: { readonly lanes: number; readonly expected: number },
): Promise<Load> {
  using client = poster(instance.origin, lanes);
  return await closedLoop(client.post, material, { lanes, seconds, expected });
}

function describe({ p50, p99, requests, errors }: Load): string {
  return `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${requests} requests, ${errors} errors`;
}

function figure(
  name: string,
  value: number,
  [unit, bound = ""]: readonly [unit: string, bound?: string],
  note = "",
): Figure {
  return { name, value, unit, bound, note };
}

function machine(): string {
  return `${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} cores, Node ${process.version}`;
}

function printTable(all: readonly Figure[]): void {
  process.stdout.write(`${machine()}; ${seconds} s a run\n\n`);
  for (const { name, value, unit, bound, note } of all) {
    const shown = Number.isNaN(value)
      ? ""
      : `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ${unit}`;
    process.stdout.write(`${name.padEnd(38)}${shown.padStart(12)}   ${bound.padEnd(8)} ${note}\n`);
  }
}
