/** Every plugin in a process of its own: the installation signs, verifies, and survives kill -9 of each process. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findProcess, isRunning } from "../../deploy/processes.ts";
import { patience } from "../fault/patience.ts";
import {
  chancery,
  type Instance,
  type Place,
  runStart,
  startInstance,
} from "../support/instance.ts";
import { preparedPlace } from "../support/prepared.ts";
import { expectReady, signThroughKill } from "../support/kill-stream.ts";
import { expectKept } from "../support/oracle.ts";
import { placeApart, processesApart } from "../support/placement.ts";
import type { Acknowledged } from "../support/signer.ts";

const email = "grace@example.com";
const backWithinMs = 10_000;

let place: Place & { readonly remove: () => Promise<void> };
let instance: Instance;
const everything: Acknowledged[] = [];

beforeAll(async () => {
  place = await preparedPlace();
  await placeApart(place.home);
  // It greets after having signed and verified one artifact through its doors.
  instance = await startInstance(place);
});

afterAll(async () => {
  await instance?.[Symbol.asyncDispose]();
  await place?.remove();
});

test("each plugin has a process, a journal and a record of its own", async () => {
  const pids = await Promise.all(processesApart.map((name) => instance.pid(name)));
  expect(new Set(pids).size).toBe(processesApart.length);
  const records = await readdir(join(instance.home, "run"));
  expect(records).not.toContain("services.json");
  for (const name of processesApart) {
    const journal = await readFile(join(instance.home, "journal", `${name}.jsonl`), "utf8");
    expect(journal, name).toContain('"event":"ready"');
  }
  // Nobody but the vault is told where the token lies.
  for (const [at, pid] of pids.entries()) {
    const environment = await readFile(`/proc/${pid}/environ`, "utf8");
    expect(environment.includes("SOFTHSM2_CONF"), processesApart[at]).toBe(
      processesApart[at] === "vault",
    );
  }
});

test.for([...processesApart, "nats"])("kill -9 of the %s process loses nothing", async (victim) => {
  const plan = { email, length: 12, killAfter: 6 };
  const stream = await signThroughKill(instance, victim, plan);
  expect(stream.outageMs).toBeLessThan(patience(backWithinMs));
  await expectReady(instance.origin, backWithinMs);
  everything.push(...stream.acknowledged);
});

test("what was acknowledged through all of that is kept", async () => {
  expect(everything.length).toBeGreaterThanOrEqual(12 * processesApart.length);
  await expectKept(instance.origin, everything);
  expect(await chancery(instance.home, "fsck")).toMatchObject({ code: 0 });
  expect(await chancery(instance.home, "status")).toMatchObject({ code: 0 });
});

test("a start under another placement ends what an earlier one left behind", async () => {
  const names = [...processesApart, "nats"];
  const left = await Promise.all(names.map((name) => findProcess(instance.home, name)));
  expect(left).not.toContain(null);
  instance.supervisor.kill("SIGKILL");
  const config = join(instance.home, "config.yaml");
  const apart = await readFile(config, "utf8");
  await writeFile(config, apart.slice(0, apart.indexOf("placement:")));
  const together = await runStart(place);
  await writeFile(config, apart);
  expect(together).toMatchObject({ code: 0 });
  expect(left.filter((one) => one !== null && isRunning(one))).toEqual([]);
});
