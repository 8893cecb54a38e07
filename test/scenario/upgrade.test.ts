/** A home that an older release made: before timestamps and Rekor v2, and before the plugins that serve them had names on the bus. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { chancery, startInstance } from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";

interface Sections {
  [section: string]: unknown;
  log: { logs: { name: string }[] };
  rekor: { v2?: unknown };
  http: { rekorV2Log?: unknown };
}

let place: Awaited<ReturnType<typeof preparedPlace>>;

beforeAll(async () => {
  place = await preparedPlace();
  await makeOld(place.home);
});
afterAll(async () => await place.remove());

test("starts, signs and verifies, and has neither", async () => {
  await using instance = await startInstance(place);
  expect((await fetch(`${instance.origin}/readyz`)).status).toBe(200);
  const post = async (path: string) =>
    await fetch(`${instance.origin}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
  expect((await post("/api/v1/timestamp")).status).toBe(404);
  expect((await post("/api/v2/log/entries")).status).toBe(404);
  expect((await fetch(`${instance.origin}/checkpoint`)).status).toBe(404);
  // The audit trail is new, and tells of what was done before it was there.
  const { stores } = JSON.parse(await readFile(join(place.home, "instance.json"), "utf8")) as {
    stores: string[];
  };
  expect(stores).toEqual(["audit", "idp"]);
  const what = await chancery(place.home, "what", "ready@example.com", "--since", "2026-01-01");
  expect(what.stdout).toContain("certificate");
  // So is the search index, which may be a moment behind.
  const search = async () =>
    await chancery(place.home, "search", "san=readiness-proof@*", "--proof");
  await expect.poll(async () => (await search()).code, { timeout: 10_000 }).toBe(0);
  expect((await search()).stdout).toContain("precertificate");
  expect(await instance.stop()).toBe(0);
});

/** Takes away what the older release did not make; keys on the token that nobody names do no harm. */
async function makeOld(home: string): Promise<void> {
  const path = join(home, "config.yaml");
  const sections = parse(await readFile(path, "utf8")) as Sections;
  for (const name of ["timestamp", "policy", "audit"]) delete sections[name];
  delete sections.rekor.v2;
  delete sections.http.rekorV2Log;
  sections.log.logs = sections.log.logs.filter(({ name }) => name !== "rekor-v2");
  await writeFile(path, stringify(sections));
  for (const folder of ["nkeys", "pairs"]) {
    for (const name of await readdir(join(home, "secrets", folder))) {
      if (/timestamp|policy|audit|search/.test(name)) await rm(join(home, "secrets", folder, name));
    }
  }
  await writeFile(join(home, "nats", "nats.conf"), "# of an older release\n");
  await rm(join(home, "data", "log-rekor-v2.db"));
  for (const name of ["audit", "idp"]) await rm(join(home, "data", `${name}.db`));
  await rm(join(home, "index"), { recursive: true });
  const instance = JSON.parse(await readFile(join(home, "instance.json"), "utf8")) as object;
  await writeFile(join(home, "instance.json"), JSON.stringify({ ...instance, stores: undefined }));
  const signingConfig = join(home, "trust", "signing_config.v0.2.json");
  const config = JSON.parse(await readFile(signingConfig, "utf8")) as { [name: string]: unknown };
  delete config["tsaUrls"];
  delete config["tsaConfig"];
  await writeFile(signingConfig, JSON.stringify(config));
}
