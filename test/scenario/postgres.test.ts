/**
 * A home is moved from SQLite to PostgreSQL, a second service process joins it, and services, primary and standby die under it:
 * nothing that was acknowledged is lost on the way, and nothing forks.
 */
import { appendFile, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import {
  chancery,
  freshPlace,
  type Instance,
  joinInstance,
  type Place,
  runStart,
  startInstance,
} from "../support/instance.ts";
import { expectKept } from "../support/oracle.ts";
import { freePort } from "../support/ports.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { signSteadily, type SteadyStream } from "../support/steady-stream.ts";

const email = "ada@example.com";
const patienceMs = 45_000;

let place: Place & { readonly remove: () => Promise<void> };
let second: Place;
let balancer: Balancer;
let primary: TestPostgres;
let standby: TestPostgres;
let folder: string;
let first: Instance;
let other: Instance;
let stream: SteadyStream;

beforeAll(async () => {
  const frontPort = await freePort();
  place = { ...(await freshPlace()), publicUrl: `http://localhost:${frontPort}` };
  folder = dirname(place.home);
  second = { home: join(folder, "second"), port: await freePort(), tlsPort: await freePort() };
  balancer = await startBalancer(frontPort);
  balancer.route([place.port]);
  primary = await startPostgres({ wal_keep_size: "64MB" });
  standby = await primary.standby("second");
  primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'second'");
  primary.sql("SELECT pg_reload_conf()");
  primary.sql("CREATE DATABASE chancery");
}, 120_000);
afterAll(async () => {
  await stream?.end();
  await other?.[Symbol.asyncDispose]();
  await first?.[Symbol.asyncDispose]();
  await balancer?.[Symbol.asyncDispose]();
  await standby?.[Symbol.asyncDispose]();
  await primary?.[Symbol.asyncDispose]();
  await place?.remove();
}, 60_000);

async function sign(name: string): Promise<number | null> {
  const path = join(folder, name);
  await writeFile(path, name);
  const args = ["--demo-email", email, "--bundle", `${path}.json`];
  return (await chancery(place.home, "sign", path, ...args)).code;
}

async function verify({ origin }: Pick<Instance, "origin">, name: string): Promise<number | null> {
  const path = join(folder, name);
  const who = ["--certificate-identity", email];
  const whose = ["--certificate-oidc-issuer", `${origin}/oidc`];
  const args = ["--bundle", `${path}.json`, ...who, ...whose];
  return (await chancery(place.home, "verify", path, ...args)).code;
}

/** Every room answers through this process; while it starts, nobody does. */
async function ready({ port }: Place): Promise<void> {
  const status = async () => (await fetch(`http://localhost:${port}/readyz`)).status;
  await expect.poll(status, { timeout: patienceMs, interval: 100 }).toBe(200);
}

/** What a process wrote into its journal, or its supervisor did. */
async function journalled(home: string, name: string, text: string): Promise<void> {
  const file = join(home, "journal", `${name}.jsonl`);
  await expect
    .poll(async () => await readFile(file, "utf8"), { timeout: patienceMs })
    .toContain(text);
}

/** Moves what the stopped instance keeps. */
async function moveToPostgres(): Promise<void> {
  const section = join(folder, "storage.yaml");
  const servers = [primary, standby].map(({ host, port }) => ({ host, port }));
  const storage = { driver: "postgresql", servers, database: "chancery", user: "postgres" };
  await writeFile(section, `storage: ${JSON.stringify(storage)}\n`);
  const copied = await chancery(place.home, "storage", "copy", section);
  expect(copied).toMatchObject({ code: 0 });
  expect(copied.stdout).toMatch(/copied and compared \d+ partitions/);
  await appendFile(join(place.home, "config.yaml"), await readFile(section, "utf8"));
  // Whatever still looked at the old files would not start.
  await rename(join(place.home, "data"), join(folder, "data-before"));
}

const timing = { timeout: 120_000 };

test(
  "a home is moved from SQLite, and then a second service process joins it",
  timing,
  async () => {
    {
      await using before = await startInstance(place);
      expect(await sign("before")).toBe(0);
      const early = await runStart(second, ["--join", place.home]);
      expect(early).toMatchObject({ code: 3 });
      expect(early.stderr).toContain("chancery storage copy");
      expect(await before.stop()).toBe(0);
    }
    await moveToPostgres();
    first = await startInstance(place);
    other = await joinInstance(second, place.home);
    // What opens the token stays where the token is.
    expect(await readdir(second.home)).not.toContain("tokens");
    expect(await readdir(join(second.home, "secrets"))).not.toContain("pin");
    expect(await verify(first, "before")).toBe(0);
    stream = signSteadily({ origin: first.origin, home: place.home }, email);
    balancer.route([second.port]);
    await stream.grown(5, patienceMs);
  },
);

test("when the process whose turn it is dies, the other takes over", timing, async () => {
  balancer.route([place.port, second.port]);
  process.kill(await first.pid("services"), "SIGKILL");
  await journalled(second.home, "services", "turn-taken");
  await stream.grown(10, patienceMs);
  await ready(place);
});

test(
  "one that is paused and comes back after its turn writes nothing more, and waits",
  timing,
  async () => {
    const paused = await other.pid("services");
    process.kill(paused, "SIGSTOP");
    balancer.route([place.port]);
    await stream.grown(10, patienceMs);
    process.kill(paused, "SIGCONT");
    await journalled(second.home, "supervisor", '"reason":"6"');
    await expect.poll(async () => await other.pid("services").catch(() => paused)).not.toBe(paused);
    await ready(second);
    balancer.route([place.port, second.port]);
  },
);

test("the standby dies, the primary dies, and the old primary is refused", timing, async () => {
  await standby.kill();
  await standby.start();
  await stream.grown(10, patienceMs);

  await primary.kill();
  standby.promote();
  await stream.grown(10, patienceMs);
  await primary.start();
  const refused = await chancery(place.home, "fsck");
  expect(refused.code).toBe(3);
  expect(refused.stderr).toContain("both accept writes");
  await primary.kill();
  await stream.grown(10, patienceMs);
});

test(
  "after all that nothing that was acknowledged is lost, and nothing has forked",
  timing,
  async () => {
    const kept = await stream.end();
    await expectKept(first.origin, kept);
    expect(await sign("after")).toBe(0);
    for (const name of ["before", "after"]) expect(await verify(first, name)).toBe(0);
    expect(await other.stop()).toBe(0);
    const alone = await runStart(second);
    expect(alone).toMatchObject({ code: 3 });
    expect(alone.stderr).toContain(`start it with: npm start -- --join ${place.home}`);
    expect(await chancery(place.home, "fsck")).toMatchObject({ code: 0 });
    expect(await first.stop()).toBe(0);
  },
);

test("a server that is not there ends the start in a sentence", async () => {
  await standby.kill();
  const refused = await runStart(place);
  expect(refused.code).toBe(3);
  expect(refused.stderr).toContain("no PostgreSQL server of the configuration accepts writes");
});
