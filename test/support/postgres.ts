/** Real PostgreSQL servers from Debian's package, each in a folder of its own, on a socket and a port of its own. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./ports.ts";

const packages = "/usr/lib/postgresql";

/** A running server. */
export interface TestPostgres extends AsyncDisposable {
  /** Folder of its socket. */
  readonly host: string;
  readonly port: number;
  /** Runs statements as the superuser `postgres` and gives what psql prints, rows only. */
  sql(text: string, database?: string): string;
  /** Ends it without notice, as a power cut of its machine does to a process. */
  kill(): Promise<void>;
  /** Starts it again after {@link kill}. */
  start(): Promise<void>;
  /** A standby that follows it. */
  standby(name: string): Promise<TestPostgres>;
  /** Makes a standby the primary. */
  promote(): void;
}

/** Starts an empty server with these settings besides small ones. */
export async function startPostgres(
  settings: { readonly [name: string]: string } = {},
): Promise<TestPostgres> {
  const folder = freshFolder();
  execute(program("initdb"), ["-A", "trust", "-E", "UTF8", "-U", "postgres", "--no-sync", "-D", join(folder, "data")]); // prettier-ignore
  return await serve(folder, settings);
}

async function serve(
  folder: string,
  settings: { readonly [name: string]: string },
): Promise<TestPostgres> {
  const port = await freePort();
  const options = {
    listen_addresses: "",
    unix_socket_directories: folder,
    port: String(port),
    shared_buffers: "16MB",
    max_connections: "60",
    log_min_messages: "panic",
    ...settings,
  };
  let server: ChildProcess | null = null;

  const sql = (text: string, database = "postgres") =>
    execFileSync(
      program("psql"),
      ["-h", folder, "-p", String(port), "-U", "postgres", "-d", database, "-AtXq", "-v", "ON_ERROR_STOP=1", "-c", text], // prettier-ignore
      { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] },
    ).trim();
  const start = async () => {
    const args = Object.entries(options).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const [command, ...rest] = asServer([program("postgres"), "-D", join(folder, "data"), ...args]);
    server = spawn(command, rest, { stdio: ["ignore", "ignore", "inherit"], detached: true });
    for (let attempt = 0; attempt < 300; attempt++) {
      try {
        sql("SELECT 1");
        return;
      } catch {
        if (server.exitCode !== null) break;
        await sleep(50);
      }
    }
    throw new Error("the PostgreSQL server does not start");
  };
  const kill = async () => {
    if (server?.pid === undefined || server.exitCode !== null) return;
    const gone = once(server, "exit");
    // The whole group: backends that outlive their postmaster would keep the shared memory.
    process.kill(-server.pid, "SIGKILL");
    await gone;
    rmSync(join(folder, "data", "postmaster.pid"), { force: true });
    server = null;
  };
  await start();
  return {
    host: folder,
    port,
    sql,
    kill,
    start,
    async standby(name) {
      const copy = freshFolder();
      execute(program("pg_basebackup"), ["-h", folder, "-p", String(port), "-U", "postgres", "-D", join(copy, "data"), "-R", "-X", "stream", "--no-sync", "-d", `application_name=${name}`]); // prettier-ignore
      return await serve(copy, { ...settings, primary_conninfo: `host=${folder} port=${port} user=postgres application_name=${name}` }); // prettier-ignore
    },
    promote() {
      sql("SELECT pg_promote()");
    },
    async [Symbol.asyncDispose]() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
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

function execute(command: string, args: readonly string[]): void {
  const [own, ...rest] = asServer([command, ...args]);
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
