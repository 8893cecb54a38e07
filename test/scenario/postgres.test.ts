/** A home is moved from SQLite to PostgreSQL, and its server dies under the instance: nothing that was signed is lost on the way. */
import { appendFile, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  chancery,
  freshPlace,
  type Instance,
  runStart,
  startInstance,
} from "../support/instance.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";

let place: Awaited<ReturnType<typeof freshPlace>>;
let server: TestPostgres;
let folder: string;

beforeAll(async () => {
  place = await freshPlace();
  folder = dirname(place.home);
  server = await startPostgres();
  server.sql("CREATE DATABASE chancery");
}, 120_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await place?.remove();
});

async function sign(name: string): Promise<number | null> {
  const path = join(folder, name);
  await writeFile(path, name);
  const args = ["--demo-email", "ada@example.com", "--bundle", `${path}.json`];
  return (await chancery(place.home, "sign", path, ...args)).code;
}

async function verify({ origin }: Pick<Instance, "origin">, name: string): Promise<number | null> {
  const path = join(folder, name);
  const who = ["--certificate-identity", "ada@example.com"];
  const whose = ["--certificate-oidc-issuer", `${origin}/oidc`];
  const args = ["--bundle", `${path}.json`, ...who, ...whose];
  return (await chancery(place.home, "verify", path, ...args)).code;
}

test(
  "copied, switched and killed under load, it keeps everything it acknowledged",
  { timeout: 180_000 },
  async () => {
    {
      await using before = await startInstance(place);
      expect(await sign("before")).toBe(0);
      expect(await before.stop()).toBe(0);
    }
    const section = join(folder, "storage.yaml");
    const { host, port } = server;
    const storage = {
      driver: "postgresql",
      servers: [{ host, port }],
      database: "chancery",
      user: "postgres",
    };
    await writeFile(section, `storage: ${JSON.stringify(storage)}\n`);
    const copied = await chancery(place.home, "storage", "copy", section);
    expect(copied).toMatchObject({ code: 0 });
    expect(copied.stdout).toMatch(/copied and compared \d+ partitions/);
    await appendFile(join(place.home, "config.yaml"), await readFile(section, "utf8"));
    // Whatever still looked at the old files would not start.
    await rename(join(place.home, "data"), join(folder, "data-before"));

    await using instance = await startInstance(place);
    expect(await verify(instance, "before")).toBe(0);
    expect(await sign("after")).toBe(0);
    const kept: string[] = [];
    const stream = (async () => {
      for (let n = 0; n < 12; n++) if ((await sign(`stream-${n}`)) === 0) kept.push(`stream-${n}`);
    })();
    await expect.poll(() => kept.length, { timeout: 30_000 }).toBeGreaterThan(1);
    await server.kill();
    await server.start();
    await stream;
    await expect.poll(async () => await sign("back"), { timeout: 60_000 }).toBe(0);
    for (const name of [...kept, "after", "back"]) expect(await verify(instance, name)).toBe(0);
    expect(await chancery(place.home, "fsck")).toMatchObject({ code: 0 });
    expect(await instance.stop()).toBe(0);
  },
);

test("a server that is not there ends the start in a sentence", async () => {
  await server.kill();
  const refused = await runStart(place);
  expect(refused.code).toBe(3);
  expect(refused.stderr).toContain("no PostgreSQL server of the configuration accepts writes");
});
