/**
 * Entries a second of Rekor v2 through HTTP, kept in PostgreSQL, first on one server and then with a synchronous standby, all on this
 * machine: a home is moved there, every request has its own key and digest, and the trees are recomputed afterwards.
 *
 * `node test/bench/postgres.ts [--seconds N] [--lanes N] [--entries N] [--profile]`; `--profile` names the top costs of the services.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { appendFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { chancery } from "../support/instance.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { expectSound, makeHouse } from "./house.ts";
import { postJson, type Prepared, sender } from "./http.ts";
import { closedLoop } from "./load.ts";
import { usage } from "./processes.ts";
import { startProfiling } from "./profile.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "4" },
    lanes: { type: "string", default: "128" },
    entries: { type: "string", default: "32000" },
    profile: { type: "boolean", default: false },
  },
});
const [lanes, seconds] = [Number(values.lanes), Number(values.seconds)];

/** A hashedrekord 0.0.2 with a bare key. */
function entry(): Prepared {
  const artifact = randomBytes(32);
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const rawBytes = publicKey.export({ type: "spki", format: "der" }).toString("base64");
  return postJson("/api/v2/log/entries", {
    hashedRekordRequestV002: {
      digest: createHash("sha256").update(artifact).digest("base64"),
      signature: {
        content: sign("sha256", artifact, privateKey).toString("base64"),
        verifier: { publicKey: { rawBytes }, keyDetails: "PKIX_ECDSA_P256_SHA_256" },
      },
    },
  });
}

async function move(home: string, to: readonly TestPostgres[]): Promise<void> {
  const places = to.map(({ host, port }) => ({ host, port }));
  const own = { driver: "postgresql", servers: places, database: "chancery", user: "postgres" };
  const section = `storage: ${JSON.stringify(own)}\n`;
  const file = join(dirname(home), "storage.yaml");
  await writeFile(file, section);
  const { code, stderr } = await chancery(home, "storage", "copy", file);
  if (code !== 0) throw new Error(stderr);
  await appendFile(join(home, "config.yaml"), section);
}

/** Has the primary wait for the standby with every commit. */
async function joinStandby(primary: TestPostgres, standby: TestPostgres): Promise<void> {
  await standby.start();
  primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'second'");
  primary.sql("SELECT pg_reload_conf()");
  while (primary.sql("SELECT sync_state FROM pg_stat_replication") !== "sync") await sleep(50);
}

/** CPU time of everything that is measured. */
async function allCpu(): Promise<{ readonly [name: string]: number }> {
  const ofServers = { primary: primary.cpuMs(), standby: standby.cpuMs() };
  const ofInstance = Object.entries(await usage(instance.home)).map(([name, { cpuMs }]) => [
    name,
    cpuMs,
  ]);
  const own = process.cpuUsage();
  const generator = (own.user + own.system) / 1_000;
  return { ...Object.fromEntries(ofInstance), ...ofServers, generator };
}

/** Loads it for a while that does not count and one that does, and says what came of it. */
async function measure(what: string): Promise<void> {
  const warm = material.splice(0, Number(values.entries) / 8);
  await closedLoop(client.send, { material: warm, expected }, { lanes, seconds });
  const profiling = values.profile ? await startProfiling(await instance.pid("services")) : null;
  const before = await allCpu();
  const rest = { material: material.splice(0, Number(values.entries) * (3 / 8)), expected };
  const load = await closedLoop(client.send, rest, { lanes, seconds });
  const after = await allCpu();
  const cpu = Object.entries(after).map(
    ([name, ms]) => `${name} ${((ms - (before[name] ?? 0)) / load.requests).toFixed(2)}`,
  );
  process.stdout.write(
    `${what}: ${Math.round(load.perSecond)} entries/s, ${lanes} at once, p50 ${load.p50?.toFixed(1)} ms, p99 ${load.p99?.toFixed(1)} ms, ` +
      `${load.errors} errors${load.firstError === null ? "" : ` (${load.firstError})`}; CPU ms an entry: ${cpu.join(", ")}\n`,
  );
  for (const { at, share } of (await profiling?.stop())?.slice(0, 40) ?? []) {
    process.stdout.write(`  ${(share * 100).toFixed(1).padStart(5)} % ${at}\n`);
  }
}

await using stack = new AsyncDisposableStack();
const primary = stack.use(await startPostgres({ wal_keep_size: "1GB" }));
primary.sql("CREATE DATABASE chancery");
const standby = stack.use(await primary.standby("second"));
const house = stack.use(await makeHouse({ placement: "together", ca: "ecdsa-p256", raised: true }));
await move(house.place.home, [primary, standby]);
await standby.kill();
const { instance } = await house.start();
stack.use(instance);
const expected = [200, 201];
const material = Array.from({ length: Number(values.entries) }, entry);
using client = sender(instance.origin, lanes);
await measure("one server");
await joinStandby(primary, standby);
await measure("synchronous standby");
await expectSound(instance);
