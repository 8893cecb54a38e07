/**
 * Timestamps a second from SoftHSM: the authority and the vault in one process, every message through the wire codec, guard and ledger
 * fsynced, every signature verified before it is released.
 *
 * `node test/bench/timestamps.ts [--seconds N] [--concurrency N]`
 */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatTimestampRequest } from "../../core/formats/tsp.ts";
import { createTimestamp } from "../../events/timestamp.ts";
import plugin from "../../plugins/timestamp/plugin.ts";
import { bootForTest } from "../support/boot.ts";
import { softTsa } from "../support/soft-tsa.ts";
import { softVault } from "../support/vault.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    concurrency: { type: "string", default: "256" },
  },
});
const durationMs = Number(values.seconds) * 1_000;
const concurrency = Number(values.concurrency);

const vault = await softVault({
  keys: [
    {
      label: "timestamp",
      purposes: ["timestamp"],
      askers: ["timestamp"],
      policy: "1.3.6.1.4.1.57264.2",
      chain: (publicKey) => softTsa(new Date(), { publicKey }).chain,
    },
  ],
});
mkdirSync(join(vault.home, "run"), { recursive: true });
const house = await bootForTest({
  entries: [vault.entry, plugin],
  config: { hsm: vault.config, timestamp: { key: "timestamp" } },
  home: vault.home,
  pin: vault.pin,
});

const latenciesMs: number[] = [];
let until = 0;

async function client(): Promise<void> {
  while (performance.now() < until) {
    const request = formatTimestampRequest({
      hashAlgorithm: "sha256",
      messageImprint: randomBytes(32),
      policy: null,
      nonce: null,
      certReq: false,
    });
    const startedAt = performance.now();
    const { granted } = await house.ask(createTimestamp, { form: "query", request });
    if (!granted) throw new Error("not granted");
    latenciesMs.push(performance.now() - startedAt);
  }
}

async function run(ms: number): Promise<number> {
  latenciesMs.length = 0;
  const startedAt = performance.now();
  until = startedAt + ms;
  await Promise.all(Array.from({ length: concurrency }, client));
  return performance.now() - startedAt;
}

await run(1_000);
const cpuBefore = process.cpuUsage();
const tookMs = await run(durationMs);
const cpu = process.cpuUsage(cpuBefore);
const sorted = latenciesMs.toSorted((a, b) => a - b);
const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);
const cpuMs = (cpu.user + cpu.system) / 1_000 / sorted.length;
process.stdout.write(
  `${Math.round((sorted.length / tookMs) * 1_000)} timestamps/s, ${concurrency} at once, ` +
    `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ${cpuMs.toFixed(3)} ms of CPU each\n`,
);
await house.dispose();
vault.dispose();
