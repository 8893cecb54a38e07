/**
 * Makes an instance. Everything is built in a folder beside the home and renamed at the end, so that a home is either whole or not
 * there: a genesis that is killed on the way leaves a folder that the next one removes.
 */
import { randomInt } from "node:crypto";
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { durableWrite, syncPath } from "../core/durable.ts";
import { createStorage } from "../config/storage.ts";
import type { Instance } from "../config/schema.ts";
import { writeAccess } from "./access.ts";
import { formatConfiguration } from "./configuration.ts";
import { performGenesisCeremony } from "./ceremony.ts";
import { progress } from "./greeting.ts";
import { defaultPort, defaultTlsPort, homeFolders } from "./home.ts";
import { pickPort, stateOfPort } from "./ports.ts";
import { describeProcess, isRunning } from "./processes.ts";
import { Refusal, refuseFullDisk } from "./refusal.ts";
import { writeAdminSecret } from "./secrets.ts";
import type { Settings } from "./settings.ts";
import { writeTokenConfiguration } from "./token.ts";

/** Between a home's name and the pid of the genesis that makes it. */
const draftMark = ".genesis-";

/**
 * Performs the demo genesis at `settings.home`, which must not exist or be empty. Null if `cancelled` came first: then, as after a
 * failure, nothing is left of it.
 *
 * @throws {Refusal}
 */
export async function makeInstance(
  settings: Settings,
  cancelled: AbortSignal,
): Promise<Instance | null> {
  const instance = await chooseInstance(settings);
  progress(
    `making a new instance in ${settings.home}: keys and certificates by the demo genesis ceremony`,
  );
  await removeLeftovers(settings.home);
  const draft = await makeFolders(settings.home);
  try {
    await fillDraft(draft, instance);
    if (cancelled.aborted) return null;
    await moveIntoPlace(draft, settings.home);
    return instance;
  } catch (problem) {
    // While the draft is still there: without it a full disk is full no more.
    throw refuseFullDisk(asRefusal(problem, settings.home), settings.home);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function fillDraft(draft: string, instance: Instance): Promise<void> {
  await writeAccess(draft, instance);
  await writeAdminSecret(draft);
  await writeText(draft, "config.yaml", formatConfiguration(instance));
  await writeText(draft, "instance.json", `${JSON.stringify(instance, null, 2)}\n`);
  await writeTokenConfiguration(draft);
  await performGenesisCeremony(draft, instance);
  await createStorage(draft);
}

/** Two starts may make one home at once; the rename of the second finds it there. */
function asRefusal(problem: unknown, home: string): unknown {
  const { code } = problem as NodeJS.ErrnoException;
  if (code === "ENOTEMPTY" || code === "EEXIST") {
    return new Refusal(`${home} was made by another start meanwhile; start again to use it`);
  }
  return problem;
}

/** Drafts of a genesis that was killed hold keys that nobody will ever use. */
async function removeLeftovers(home: string): Promise<void> {
  const prefix = `${basename(home)}${draftMark}`;
  const neighbours = await readdir(dirname(home)).catch(() => []);
  for (const name of neighbours) {
    const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : 0;
    if (!Number.isSafeInteger(pid) || pid <= 0 || isRunning(describeProcess(pid))) continue;
    await rm(join(dirname(home), name), { recursive: true, force: true });
  }
}

async function chooseInstance({ port, tlsPort, publicUrl }: Settings): Promise<Instance> {
  const chosen = { port: port ?? defaultPort, tlsPort: tlsPort ?? defaultTlsPort };
  if (chosen.port === chosen.tlsPort) {
    throw new Refusal(
      "CHANCERY_PORT and CHANCERY_TLS_PORT are the same; give them different values",
    );
  }
  for (const [name, wanted] of [
    ["CHANCERY_PORT", chosen.port],
    ["CHANCERY_TLS_PORT", chosen.tlsPort],
  ] as const) {
    const state = await stateOfPort(wanted);
    if (state === "free") continue;
    throw new Refusal(
      state === "busy"
        ? `port ${wanted} is in use by another program; stop that, or choose another port with ${name}`
        : `port ${wanted} is for root alone; choose another port with ${name}, from 1024 on`,
    );
  }
  return {
    version: 1,
    id: crypto.randomUUID(),
    origin: publicUrl ?? `http://localhost:${chosen.port}`,
    ...chosen,
    natsPort: await pickPort([chosen.port, chosen.tlsPort, 4222]),
    // Rekor writes it as 16 hex digits: a full-width positive number keeps its ids 80 digits long everywhere.
    treeId: String((BigInt(randomInt(2 ** 30, 2 ** 31)) << 32n) | BigInt(randomInt(2 ** 32))),
    createdAt: new Date().toISOString(),
  };
}

async function makeFolders(home: string): Promise<string> {
  const parent = dirname(home);
  const draft = `${home}${draftMark}${process.pid}`;
  try {
    await mkdir(parent, { recursive: true });
    await mkdir(draft, { mode: 0o700 });
    for (const folder of homeFolders) await mkdir(join(draft, folder), { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Refusal(
      `${home} cannot be made (${code}); point CHANCERY_HOME at a place where you may write`,
    );
  }
  return draft;
}

async function writeText(home: string, name: string, text: string): Promise<void> {
  await durableWrite(join(home, name), text, 0o600);
}

async function moveIntoPlace(draft: string, home: string): Promise<void> {
  await writeTokenConfiguration(draft, home);
  for (const entry of await readdir(draft, { recursive: true, withFileTypes: true })) {
    // SoftHSM syncs nothing by itself: a key must not be lost by a power cut after the first signature.
    await syncPath(join(entry.parentPath, entry.name));
  }
  await syncPath(draft);
  await rmdir(home).catch(() => undefined);
  await rename(draft, home);
  await syncPath(dirname(home));
}
