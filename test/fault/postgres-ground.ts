/**
 * What an instance has besides that keeps what it has in PostgreSQL: a primary and a synchronous standby behind proxies, and a second
 * service process that waits for its turn.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chancery, type Finished, type Place } from "../support/instance.ts";
import { freePort } from "../support/ports.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { patience } from "./patience.ts";
import { PostgresProxy } from "./postgres-proxy.ts";
import { databaseOf, type RawStore } from "./raw.ts";
import { isAlive, signal } from "./signal.ts";

const start = new URL("../../deploy/start.ts", import.meta.url).pathname;
const database = "chancery";
const joinedWithinMs = 30_000;

/** A server and what leads to it. */
interface Reached {
  readonly server: TestPostgres;
  readonly proxy: PostgresProxy;
}

/** See above. */
export class PostgresGround implements AsyncDisposable {
  readonly #first: Place;
  /** Where the second service process is. */
  readonly place: Place;
  #primary: Reached;
  #standby: Reached;
  #second: ChildProcess | null = null;

  /** Starts the servers and moves what the stopped instance keeps to them. */
  static async make(first: Place, folder: string): Promise<PostgresGround> {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(await startPostgres({ wal_keep_size: "64MB" }));
    server.sql(`CREATE DATABASE ${database}`);
    const other = stack.use(await server.standby("other"));
    const reached = async (of: TestPostgres): Promise<Reached> => ({
      server: of,
      proxy: stack.use(await PostgresProxy.open(socketOf(of))),
    });
    const [primary, standby] = [await reached(server), await reached(other)];
    const place = {
      home: join(folder, "second"),
      port: await freePort(),
      tlsPort: await freePort(),
    };
    const made = new PostgresGround({ first, place, primary, standby });
    await made.#waitForStandby();
    await made.#move(folder);
    stack.move();
    return made;
  }

  private constructor(parts: {
    readonly first: Place;
    readonly place: Place;
    readonly primary: Reached;
    readonly standby: Reached;
  }) {
    this.#first = parts.first;
    this.place = parts.place;
    this.#primary = parts.primary;
    this.#standby = parts.standby;
  }

  /** What the server that accepts writes holds. */
  get store(): RawStore {
    return databaseOf((sql) => this.sql(sql));
  }

  /** Runs a statement on the server that accepts writes. */
  sql(text: string): string {
    return this.#primary.server.sql(text, database);
  }

  /** What the services reach the server that accepts writes through. */
  get proxy(): PostgresProxy {
    return this.#primary.proxy;
  }

  /** The primary dies and comes back after this long. */
  async restart(afterMs: number): Promise<void> {
    await this.#primary.server.kill();
    await sleep(afterMs);
    await this.#primary.server.start();
  }

  /** The same of the standby: nothing is acknowledged without it. */
  async restartStandby(afterMs: number): Promise<void> {
    await this.#standby.server.kill();
    await sleep(afterMs);
    await this.#standby.server.start();
  }

  /** The primary dies and the standby takes its place; from then on nothing stands by. */
  async failOver(): Promise<void> {
    await this.#primary.server.kill();
    this.#standby.server.promote();
    [this.#primary, this.#standby] = [this.#standby, this.#primary];
  }

  /** The primary of before comes back as it was, `meanwhile` runs, and it goes for good; a standby is made in its place. */
  async oldPrimaryBack(meanwhile: () => Promise<void>): Promise<void> {
    const { server: old, proxy } = this.#standby;
    await old.start();
    try {
      await meanwhile();
    } finally {
      await old[Symbol.asyncDispose]();
    }
    const server = await this.#primary.server.standby("other");
    proxy.lead(socketOf(server));
    this.#standby = { server, proxy };
    await this.#waitForStandby();
  }

  /** Runs the CLI against the home, whose configuration names the servers. */
  async chancery(...args: readonly string[]): Promise<Finished> {
    return await chancery(this.#first.home, ...args);
  }

  /** Starts the second service process beside the running instance. */
  async join(environment: Readonly<{ [name: string]: string }>): Promise<void> {
    await mkdir(this.place.home, { recursive: true, mode: 0o700 });
    const { home, port, tlsPort } = this.place;
    const own = {
      CHANCERY_HOME: home,
      CHANCERY_PORT: String(port),
      CHANCERY_TLS_PORT: String(tlsPort),
    };
    const second = spawn(process.execPath, [start, "--join", this.#first.home], {
      env: { ...environment, ...own },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#second = second;
    let said = "";
    for (const stream of [second.stdout, second.stderr]) {
      stream.on("data", (chunk: Buffer) => (said += chunk.toString("utf8")));
    }
    const giveUpAt = performance.now() + patience(joinedWithinMs);
    while (!said.includes("joined")) {
      if (second.exitCode !== null || performance.now() > giveUpAt) {
        throw new Error(`no second service process: ${said}`);
      }
      await sleep(20);
    }
  }

  /** The pid of the second service process, or null while there is none. */
  pid(): number | null {
    try {
      const file = join(this.place.home, "run", "services.json");
      const { pid } = JSON.parse(readFileSync(file, "utf8")) as { readonly pid: number };
      return isAlive(pid) ? pid : null;
    } catch {
      return null;
    }
  }

  /** Ends the second service process and its supervisor, at once. */
  leave(): void {
    for (const pid of [this.#second?.pid, this.pid()]) {
      if (pid !== undefined && pid !== null) signal(pid, "SIGKILL");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.leave();
    for (const { server, proxy } of [this.#standby, this.#primary]) {
      await proxy[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    }
  }

  async #waitForStandby(): Promise<void> {
    const { server } = this.#primary;
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'other'");
    server.sql("SELECT pg_reload_conf()");
    while (server.sql("SELECT sync_state FROM pg_stat_replication") !== "sync") await sleep(50);
  }

  async #move(folder: string): Promise<void> {
    const servers = [this.#primary, this.#standby].map(({ proxy: { port } }) => ({
      host: "127.0.0.1",
      port,
    }));
    const storage = { driver: "postgresql", servers, database, user: "postgres" };
    const section = `storage: ${JSON.stringify(storage)}\n`;
    const file = join(folder, "storage.yaml");
    await writeFile(file, section);
    const { code, stderr } = await this.chancery("storage", "copy", file);
    if (code !== 0) throw new Error(`the home cannot be moved: ${stderr}`);
    await appendFile(join(this.#first.home, "config.yaml"), section);
  }
}

function socketOf({ host, port }: TestPostgres): string {
  return join(host, `.s.PGSQL.${port}`);
}
