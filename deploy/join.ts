/**
 * `npm start -- --join FOLDER`: a second service process beside an instance, on the same PostgreSQL, NATS and vault, with listeners of
 * its own. The folder is the instance's home, or on another machine a copy of it without what only the first machine needs.
 */
import { mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join as path } from "node:path";
import { durableWrite } from "../core/durable.ts";
import { type Joined, joinedFile, readJoined } from "../config/joined.ts";
import { readConfiguration, readInstance } from "../config/load.ts";
import type { Instance } from "../config/schema.ts";
import { callOf, progress } from "./greeting.ts";
import { refuseBusyPorts, refuseSecondStart, stopRequest } from "./occupied.ts";
import { readProcesses } from "./placement.ts";
import { forgetProcess, recordProcess } from "./processes.ts";
import { Refusal } from "./refusal.ts";
import type { Settings } from "./settings.ts";
import { Supervisor } from "./supervisor.ts";

/** Folders and files of a home that a joined folder has itself, or that nobody needs there: keys, their PINs and what is stored. */
const notShared: readonly string[] = [
  joinedFile,
  "run",
  "journal",
  "tokens",
  "vault",
  "data",
  "nats",
  "ceremony",
];
/** The files of `secrets/` that open tokens. */
const pins: readonly string[] = ["pin", "offline-pin"];

/** Runs the services of the instance at `source` from `settings.home`, until asked to stop. @throws {Refusal} */
export async function runJoined(settings: Settings, source: string): Promise<number> {
  const asked = stopRequest();
  const { home } = settings;
  const instance = await joinable(source);
  const own = await ownOf(settings, source);
  await refuseSecondStart(home);
  await refuseBusyPorts(own, own.metricsPort);
  await makeFolder(home, source, own);
  const processes = (await readProcesses(home)).filter(({ vault }) => !vault);
  await recordProcess(home, "supervisor", process.pid);
  const { port, tlsPort } = own;
  // What carries messages, and the vault, are the instance's.
  const supervisor = new Supervisor(home, { ...instance, port, tlsPort }, processes, false);
  try {
    await supervisor.start(asked.signal);
    if (asked.signal.aborted) return 0;
    progress(
      `joined ${source}: answers at http://localhost:${port} and on TLS port ${tlsPort}; stop it with: ${callOf(home)} stop`,
    );
    if (settings.once) return 0;
    await Promise.race([asked.wait, supervisor.failed]);
    return 0;
  } finally {
    progress("stopping");
    await supervisor.stop();
    await forgetProcess(home, "supervisor");
  }
}

/** @throws {Refusal} if the folder is one that joined an instance, and is none itself */
export async function refuseJoined(home: string): Promise<void> {
  const own = await joinedAt(home);
  if (own === null) return;
  throw new Refusal(`${home} has joined ${own.of}; start it with: npm start -- --join ${own.of}`);
}

async function joinedAt(home: string): Promise<Joined | null> {
  try {
    return await readJoined(home);
  } catch (problem) {
    throw new Refusal(problem instanceof Error ? problem.message : String(problem));
  }
}

/** The instance at `source`. @throws {Refusal} if there is none, or it cannot have a second process */
async function joinable(source: string): Promise<Instance> {
  const said = (problem: unknown): never => {
    throw new Refusal(problem instanceof Error ? problem.message : String(problem));
  };
  const instance = await readInstance(source).catch(said);
  const { storage } = await readConfiguration(source).catch(said);
  if (storage.driver === "postgresql") return instance;
  throw new Refusal(
    `${source} keeps what it has in SQLite files, which one process can use: move it to PostgreSQL first (chancery storage copy)`,
  );
}

/** What this folder has of its own: as this start asks, or else as the one that made it did. @throws {Refusal} */
async function ownOf(settings: Settings, source: string): Promise<Joined> {
  const { home, metricsPort } = settings;
  if (home === source) {
    throw new Refusal(`${home} is the home that is joined: point CHANCERY_HOME at a new folder`);
  }
  const before = await joinedAt(home);
  const content = await readdir(home).catch(() => []);
  if (before === null && content.length > 0) {
    throw new Refusal(
      `${home} holds something else; point CHANCERY_HOME at an empty or new folder`,
    );
  }
  if (before !== null && before.of !== source) {
    throw new Refusal(`${home} has joined ${before.of}; use another CHANCERY_HOME for ${source}`);
  }
  const port = settings.port ?? before?.port;
  const tlsPort = settings.tlsPort ?? before?.tlsPort;
  if (port === undefined || tlsPort === undefined) {
    throw new Refusal(
      "give this process listeners of its own: set CHANCERY_PORT and CHANCERY_TLS_PORT",
    );
  }
  const shown = metricsPort ?? before?.metricsPort;
  return {
    version: 1,
    of: source,
    port,
    tlsPort,
    ...(shown !== undefined && { metricsPort: shown }),
  };
}

/** Makes what is missing, also what has come into the instance's home since. A kill on the way leaves what the next start completes. */
async function makeFolder(home: string, source: string, own: Joined): Promise<void> {
  for (const folder of ["", "run", "journal", "secrets"]) {
    await mkdir(path(home, folder), { recursive: true, mode: 0o700 });
  }
  const file = path(home, joinedFile);
  const text = `${JSON.stringify(own, null, 2)}\n`;
  const isSame = (await readFile(file, "utf8").catch(() => null)) === text;
  if (!isSame) await durableWrite(file, text, 0o600);
  const shared = (await readdir(source)).filter((name) => !notShared.includes(name));
  const secrets = (await readdir(path(source, "secrets"))).filter((name) => !pins.includes(name));
  const names = [
    ...shared.filter((name) => name !== "secrets"),
    ...secrets.map((name) => path("secrets", name)),
  ];
  const there = await Promise.all(
    ["", "secrets"].map(async (folder) =>
      (await readdir(path(home, folder))).map((name) => path(folder, name)),
    ),
  );
  const missing = names.filter((name) => !there.flat().includes(name));
  await Promise.all(
    missing.map(async (name) => await symlink(path(source, name), path(home, name))),
  );
}
