/** Real PostgreSQL servers from Debian's package, each in a folder of its own, on a socket and a port of its own. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./ports.ts";

const packages = "/usr/lib/postgresql";
/** A log's rows in hexadecimal, for the fault machine's judge. */
const mostPrinted = 512 * 1024 * 1024;

/** A running server. */
export interface TestPostgres extends AsyncDisposable {
  /** Folder of its socket. */
  readonly host: string;
  readonly port: number;
  /** Runs statements as the superuser `postgres` and gives what psql prints, rows only. */
  sql(text: string, database?: string): string;
  /** CPU time of all its processes since it started, in ms; those that have ended count. */
  cpuMs(): number;
  /** Ends it without notice, as a power cut of its machine does to a process. */
  kill(): Promise<void>;
  /** Starts it again after {@link kill}. */
  start(): Promise<void>;
  /** A standby that follows it. */
  standby(name: string): Promise<TestPostgres>;
  /** Makes a standby the primary. */
  promote(): void;
}

/** USER_HZ is 100 on every Linux that Node runs on. */
const msPerTick = 10;

type Settings = { readonly [name: string]: string };

/** Starts an empty server with these settings besides small ones. */
export async function startPostgres(settings: Settings = {}): Promise<TestPostgres> {
  const folder = freshFolder();
  execute("initdb", [
    "-A",
    "trust",
    "-E",
    "UTF8",
    "-U",
    "postgres",
    "--no-sync",
    "-D",
    `${folder}/data`,
  ]);
  return await serve(folder, settings);
}

async function serve(folder: string, settings: Settings): Promise<TestPostgres> {
  const server = new Server(folder, await freePort(), settings);
  await server.start();
  return server;
}

class Server implements TestPostgres {
  readonly host: string;
  readonly port: number;
  readonly #settings: Settings;
  #process: ChildProcess | null = null;

  constructor(folder: string, port: number, settings: Settings) {
    this.host = folder;
    this.port = port;
    this.#settings = settings;
  }

  sql(text: string, database = "postgres"): string {
    const place = ["-h", this.host, "-p", String(this.port), "-U", "postgres", "-d", database];
    const args = [...place, "-AtXq", "-v", "ON_ERROR_STOP=1", "-c", text];
    const stdio = ["ignore", "pipe", "pipe"] as const;
    return execFileSync(program("psql"), args, {
      encoding: "utf8",
      stdio: [...stdio],
      maxBuffer: mostPrinted,
    }).trim();
  }

  async start(): Promise<void> {
    const settings = {
      listen_addresses: "",
      unix_socket_directories: this.host,
      port: String(this.port),
      shared_buffers: "16MB",
      max_connections: "60",
      log_min_messages: "panic",
      // It would take transaction numbers whenever it likes.
      autovacuum: "off",
      ...this.#settings,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const [command, ...rest] = asServer([program("postgres"), "-D", this.#data, ...args]);
    const started = spawn(command, rest, {
      stdio: ["ignore", "ignore", "inherit"],
      detached: true,
    });
    this.#process = started;
    for (let attempt = 0; attempt < 1_200 && started.exitCode === null; attempt++) {
      try {
        this.sql("SELECT 1");
        return;
      } catch {
        await sleep(50);
      }
    }
    throw new Error("the PostgreSQL server does not start");
  }

  cpuMs(): number {
    const own = this.#process?.pid;
    if (own === undefined) return 0;
    const running = childrenOf(own).flatMap((pid) => cpuTicks(String(pid)).slice(0, 2));
    return [...cpuTicks(String(own)), ...running].reduce(
      (sum, ticks) => sum + ticks * msPerTick,
      0,
    );
  }

  async kill(): Promise<void> {
    const running = this.#process;
    if (running?.pid === undefined || running.exitCode !== null) return;
    const gone = once(running, "exit");
    // Its children have sessions of their own: stopped, it makes no more, and none of them outlives it.
    process.kill(running.pid, "SIGSTOP");
    const children = childrenOf(running.pid);
    for (const pid of [...children, running.pid]) end(pid);
    await gone;
    while (children.some((pid) => existsSync(`/proc/${pid}/exe`))) await sleep(10);
    this.#process = null;
  }

  async standby(name: string): Promise<TestPostgres> {
    const copy = freshFolder();
    const source = `host=${this.host} port=${this.port} user=postgres application_name=${name}`;
    execute("pg_basebackup", [
      "-d",
      source,
      "-D",
      `${copy}/data`,
      "-R",
      // Otherwise it waits until the server finds time for a checkpoint, minutes perhaps.
      "-c",
      "fast",
      "-X",
      "stream",
      "--no-sync",
    ]);
    return await serve(copy, { ...this.#settings, primary_conninfo: source });
  }

  promote(): void {
    this.sql("SELECT pg_promote()");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.host, { recursive: true, force: true });
  }

  get #data(): string {
    return join(this.host, "data");
  }
}

function childrenOf(parent: number): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => parentOf(pid) === parent)
    .map(Number);
}

/** The fourth field of /proc/PID/stat. */
function parentOf(pid: string): number | null {
  const [, parent] = statOf(pid);
  return parent === undefined ? null : Number(parent);
}

/** Of a process and of those it has waited for, user and system. */
function cpuTicks(pid: string): readonly number[] {
  return statOf(pid).slice(11, 15).map(Number);
}

/** The fields from the third on, none if the process has ended; the second may hold anything in parentheses. */
function statOf(pid: string): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself, which is as good.
  }
}

function program(name: string): string {
  const versions = existsSync(packages) ? readdirSync(packages).map(Number) : [];
  const newest = Math.max(...versions);
  const path = join(packages, String(newest), "bin", name);
  if (!existsSync(path)) {
    throw new Error(`${name} is missing: install Debian's package postgresql-15`);
  }
  return path;
}

/** The server refuses to run as root. */
function asServer(command: readonly string[]): [string, ...string[]] {
  const [own = "", ...rest] = command;
  if (process.getuid?.() !== 0) return [own, ...rest];
  return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", own, ...rest];
}

function execute(name: string, args: readonly string[]): void {
  const [own, ...rest] = asServer([program(name), ...args]);
  execFileSync(own, rest, { stdio: ["ignore", "ignore", "pipe"] });
}

function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "chancery-pg-"));
  if (process.getuid?.() === 0) {
    const id = (what: string) =>
      Number(execFileSync("id", [what, "postgres"], { encoding: "utf8" }));
    chownSync(folder, id("-u"), id("-g"));
  }
  return folder;
}
