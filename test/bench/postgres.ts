/**
 * Entries a second of Rekor v2 through HTTP, kept in PostgreSQL with a synchronous standby, all on this machine: a home is moved there,
 * every request has its own key and digest, and the trees are recomputed afterwards.
 *
 * `node test/bench/postgres.ts [--seconds N] [--lanes N] [--entries N] [--alone]`; `--alone` leaves the standby out.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { appendFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { chancery } from "../support/instance.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { expectSound, makeHouse } from "./house.ts";
import { postJson, type Prepared, sender } from "./http.ts";
import { closedLoop } from "./load.ts";
import { cpuBetween, usage } from "./processes.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    lanes: { type: "string", default: "128" },
    entries: { type: "string", default: "20000" },
    alone: { type: "boolean", default: false },
  },
});

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

/** A primary, and unless told otherwise a standby that every commit waits for. */
async function servers(stack: AsyncDisposableStack): Promise<readonly TestPostgres[]> {
  const primary = stack.use(await startPostgres({ wal_keep_size: "256MB" }));
  primary.sql("CREATE DATABASE chancery");
  if (values.alone) return [primary];
  const standby = stack.use(await primary.standby("second"));
  primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'second'");
  primary.sql("SELECT pg_reload_conf()");
  return [primary, standby];
}

async function move(home: string, to: readonly TestPostgres[]): Promise<void> {
  const places = to.map(({ host, port }) => ({ host, port }));
  const own = { driver: "postgresql", servers: places, database: "chancery", user: "postgres" };
  const storage = { ...own, requiresStandby: places.length > 1 };
  const section = `storage: ${JSON.stringify(storage)}\n`;
  const file = join(dirname(home), "storage.yaml");
  await writeFile(file, section);
  const { code, stderr } = await chancery(home, "storage", "copy", file);
  if (code !== 0) throw new Error(stderr);
  await appendFile(join(home, "config.yaml"), section);
}

await using stack = new AsyncDisposableStack();
const to = await servers(stack);
const house = stack.use(await makeHouse({ placement: "together", ca: "ecdsa-p256", raised: true }));
await move(house.place.home, to);
const { instance } = await house.start();
stack.use(instance);
const material = Array.from({ length: Number(values.entries) }, entry);
const [lanes, seconds] = [Number(values.lanes), Number(values.seconds)];
using client = sender(instance.origin, lanes);
const target = { material: material.slice(0, 1_000), expected: [200, 201] };
await closedLoop(client.send, target, { lanes, seconds });
const before = await usage(instance.home);
const load = await closedLoop(
  client.send,
  { ...target, material: material.slice(1_000) },
  { lanes, seconds },
);
const used = cpuBetween(before, await usage(instance.home));
await expectSound(instance);
const cpu = Object.entries(used).map(([name, ms]) => `${name} ${(ms / load.requests).toFixed(2)}`);
process.stdout.write(
  `${Math.round(load.perSecond)} entries/s, ${lanes} at once, ${values.alone ? "no" : "synchronous"} standby, ` +
    `p50 ${load.p50?.toFixed(1)} ms, p99 ${load.p99?.toFixed(1)} ms, ${load.errors} errors${load.firstError === null ? "" : ` (${load.firstError})`}; ` +
    `CPU ms an entry: ${cpu.join(", ")}\n`,
);
