/** A whole instance as a user has it: `deploy/start.ts` in a folder of its own, on free ports, with real NATS and SoftHSM. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.ts";

const start = new URL("../../deploy/start.ts", import.meta.url).pathname;
const root = new URL("../../", import.meta.url).pathname;

/** How a finished program left. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running instance. */
export interface Instance extends AsyncDisposable {
  readonly home: string;
  readonly origin: string;
  readonly port: number;
  readonly tlsPort: number;
  readonly supervisor: ChildProcess;
  /** What `npm start` printed. */
  readonly greeting: string;
  /** Asks the supervisor to stop and waits for it. */
  stop(): Promise<number | null>;
  /** The recorded pid of `nats`, `vault`, `services`, or of another process of the placement. */
  pid(name: string): Promise<number>;
}

/** Environment of a start: home and ports, nothing else of ours. */
export interface Place {
  readonly home: string;
  readonly port: number;
  readonly tlsPort: number;
  /** Origin of every published URL; `http://localhost:<port>` if absent. */
  readonly publicUrl?: string;
  /** The script of the genesis; the demo's if absent. */
  readonly genesis?: string;
  /** Port of the metrics, if there are to be any. */
  readonly metricsPort?: number;
}

/** A place for an instance that nobody uses; `remove` deletes its parent folder. */
export async function freshPlace(): Promise<Place & { readonly remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "chancery-"));
  const [port, tlsPort] = [await freePort(), await freePort()];
  const remove = async (): Promise<void> => await rm(folder, { recursive: true, force: true });
  return { home: join(folder, "home"), port, tlsPort, remove };
}

/** Environment variables for programs that work on `place`. */
export function environmentOf(place: Place): { [name: string]: string } {
  return {
    PATH: process.env["PATH"] ?? "",
    HOME: process.env["HOME"] ?? "/",
    ...compileCache(),
    CHANCERY_HOME: place.home,
    CHANCERY_PORT: String(place.port),
    CHANCERY_TLS_PORT: String(place.tlsPort),
    ...(place.publicUrl !== undefined && { CHANCERY_PUBLIC_URL: place.publicUrl }),
    ...(place.genesis !== undefined && { CHANCERY_GENESIS: place.genesis }),
    ...(place.metricsPort !== undefined && { CHANCERY_METRICS_PORT: String(place.metricsPort) }),
  };
}

/** Where programs keep what their sources were compiled to. */
function compileCache(): { [name: string]: string } {
  const folder = process.env["NODE_COMPILE_CACHE"];
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder };
}

/** Runs `npm start -- ARGS` at `place` to its end. */
export async function runStart(
  place: Place,
  args: readonly string[] = ["--once"],
): Promise<Finished> {
  return await run(process.execPath, [start, ...args], environmentOf(place));
}

/** Runs the CLI against the home. */
export async function chancery(home: string, ...args: readonly string[]): Promise<Finished> {
  const environment = {
    PATH: process.env["PATH"] ?? "",
    HOME: process.env["HOME"] ?? "/",
    CHANCERY_HOME: home,
  };
  return await run(join(root, "chancery"), args, environment);
}

/** Runs a program to its end, at most four minutes. */
export async function run(
  program: string,
  args: readonly string[],
  environment: Readonly<{ [name: string]: string | undefined }> = process.env,
  cwd = root,
): Promise<Finished> {
  const child = spawn(program, [...args], {
    env: { ...environment },
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 240_000,
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit") as Promise<[number | null]>,
  ]);
  return { code, stdout, stderr };
}

/** Starts an instance at `place` and waits until it greets. */
export async function startInstance(place: Place): Promise<Instance> {
  return await startWith(place, [], "Try:");
}

/** Starts a second service process at `place`, beside the instance that lives at `home`. */
export async function joinInstance(place: Place, home: string): Promise<Instance> {
  return await startWith(place, ["--join", home], "joined");
}

async function startWith(
  place: Place,
  args: readonly string[],
  greetedBy: string,
): Promise<Instance> {
  const supervisor = spawn(process.execPath, [start, ...args], {
    env: environmentOf(place),
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const greeting = await greeted(supervisor, greetedBy);
  const stop = async (): Promise<number | null> => {
    if (supervisor.exitCode !== null || supervisor.signalCode !== null) return supervisor.exitCode;
    supervisor.kill("SIGTERM");
    const [code] = (await once(supervisor, "exit")) as [number | null];
    return code;
  };
  return {
    ...place,
    origin: place.publicUrl ?? `http://localhost:${place.port}`,
    supervisor,
    greeting,
    stop,
    async pid(name) {
      const record = JSON.parse(
        await readFile(join(place.home, "run", `${name}.json`), "utf8"),
      ) as { pid: number };
      return record.pid;
    },
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

async function greeted(child: ChildProcess, greetedBy: string): Promise<string> {
  let said = "";
  return await new Promise((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      said += chunk.toString("utf8");
      if (said.includes(greetedBy)) resolve(said);
    };
    child.stdout?.on("data", listen);
    child.stderr?.on("data", listen);
    child.once("exit", (code) => reject(new Error(`npm start ended with ${code}:\n${said}`)));
  });
}

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  let whole = "";
  for await (const chunk of stream) whole += String(chunk);
  return whole;
}
