/**
 * The ground that faults fall on: a real instance (supervisor, nats-server, vault, services) whose disk can lose power, whose clock
 * can jump, whose bus runs through a proxy and whose token lies, and clients that write down every answer on another disk.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { environmentOf, type Place } from "../support/instance.ts";
import { softHsmModule } from "../support/vault.ts";
import { volatileDisk, type VolatileDisk } from "./disk.ts";
import type { StorageKind } from "./fault-kind.ts";
import { complaints } from "./journals.ts";
import { PostgresGround } from "./postgres-ground.ts";
import type { PreparedHome } from "./prepared-home.ts";
import { filesOf, type RawStore } from "./raw.ts";
import { NatsProxy } from "./tcp-proxy.ts";
import { isAlive, signal } from "./signal.ts";
import { Traffic } from "./traffic.ts";

const here = new URL("./", import.meta.url).pathname;
const checkout = new URL("../../", import.meta.url).pathname;
const faketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const readyWithinMs = 60_000;

/** A child of the supervisor. */
export type ChildName = "nats" | "vault" | "services";

/** See above. */
export class Ground implements AsyncDisposable {
  /** The checkout that is tested. */
  readonly root: string;
  readonly #disk: VolatileDisk;
  readonly #natsPort: number;
  /** Where nats-server really listens; everybody else knows the proxy's. */
  readonly realNatsPort: number;
  readonly place: Place;
  readonly origin: string;
  /** A folder that no power cut reaches. */
  readonly folder: string;
  /** The PKCS#11 module that lies. */
  readonly module: string;
  /** The file of every answer. */
  readonly answers: string;
  readonly proxy = new NatsProxy();
  /** What is there besides, if the instance keeps what it has in PostgreSQL. */
  #postgres: PostgresGround | null = null;
  #supervisor: ChildProcess | null = null;
  #said = "";
  #traffic: Traffic | null = null;
  /** Serials whose intents lie in a store that is gone: a copy's, beside which this instance went on. */
  readonly intentsElsewhere = new Set<string>();

  /** Starts an instance from a copy of a prepared home, with the programs of the checkout `root`. */
  static async make(
    prepared: PreparedHome,
    root = checkout,
    kept: StorageKind = "sqlite",
  ): Promise<Ground> {
    if (!existsSync(faketime)) {
      throw new Error(`${faketime} is missing: install the Debian package libfaketime`);
    }
    const folder = await mkdtemp(join(tmpdir(), "chancery-fault-"));
    const disk = await volatileDisk(256);
    const place = prepared.copyTo(join(disk.mount, "home"));
    const { natsPort, realNatsPort: real } = prepared;
    await using stack = new AsyncDisposableStack();
    const ground = stack.use(new Ground({ root, disk, folder, place, natsPort, real }));
    await ground.#prepare();
    if (kept === "postgresql") ground.#postgres = await PostgresGround.make(place, folder);
    await ground.start();
    await ground.#postgres?.join(ground.#environment());
    ground.#traffic = await Traffic.start(ground.origin, place.home, ground.answers);
    stack.move();
    return ground;
  }

  private constructor(parts: {
    readonly root: string;
    readonly disk: VolatileDisk;
    readonly folder: string;
    readonly place: Place;
    readonly natsPort: number;
    readonly real: number;
  }) {
    this.root = parts.root;
    this.#disk = parts.disk;
    this.#natsPort = parts.natsPort;
    this.realNatsPort = parts.real;
    this.folder = parts.folder;
    this.place = parts.place;
    this.origin = `http://localhost:${parts.place.port}`;
    this.module = join(parts.folder, "libp11fault.so");
    this.answers = join(parts.folder, "answers.jsonl");
    writeFileSync(this.answers, "");
    // Nothing of an interrupted run may stay behind: no process, no mount.
    process.once("exit", this.#leave);
  }

  readonly #leave = (): void => {
    this.#traffic?.[Symbol.dispose]();
    for (const pid of this.pids()) signal(pid, "SIGKILL");
    this.#postgres?.leave();
    rmSync(this.folder, { recursive: true, force: true });
  };

  /** Points the home at the module that lies, and everything else at its files. */
  async #prepare(): Promise<void> {
    const { home } = this.place;
    const { module } = this;
    const paths = { REAL: softHsmModule, FAULT: "faults", TALLY: "tally", HITS: "hits" };
    const defines = Object.entries(paths).map(
      ([name, path]) => `-D${name}="${path.startsWith("/") ? path : join(this.folder, path)}"`,
    );
    const flags = ["-O2", "-shared", "-fPIC", "-pthread", "-I/usr/include/p11-kit-1/p11-kit"];
    const source = join(here, "p11-fault-shim.c");
    execFileSync("gcc", [...flags, ...defines, "-o", module, source, "-ldl"]);
    for (const name of ["faults", "tally", "hits"]) writeFileSync(join(this.folder, name), "");
    const configuration = await readFile(join(home, "config.yaml"), "utf8");
    await writeFile(join(home, "config.yaml"), configuration.replace(softHsmModule, module));
    const nats = await readFile(join(home, "nats", "nats.conf"), "utf8");
    const natsConfiguration = join(this.folder, "nats.conf");
    await writeFile(
      natsConfiguration,
      nats.replace(`:${this.#natsPort}"`, `:${this.realNatsPort}"`),
    );
    this.setClock(0);
    await mkdir(join(this.folder, "inside"));
    await this.#writeLaunch({});
    await copyFile(join(home, "vault", "vault.db"), join(this.folder, "vault-before.db"));
    // What is prepared lies on the disk that loses power.
    execFileSync("sync", ["-f", home]);
  }

  /** What the supervisor gives its children instead of what it would, and besides. */
  async #writeLaunch(more: { readonly [name: string]: string }): Promise<void> {
    const environment = {
      LD_PRELOAD: faketime,
      FAKETIME_TIMESTAMP_FILE: join(this.folder, "clock"),
      FAKETIME_CACHE_DURATION: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
      NODE_OPTIONS: `--import ${join(here, "inside-child.ts")}`,
      CHANCERY_FAULT_INSIDE: join(this.folder, "inside"),
      ...more,
    };
    const natsConfiguration = join(this.folder, "nats.conf");
    await writeFile(
      join(this.folder, "launch.json"),
      JSON.stringify({ natsConfiguration, environment }),
    );
  }

  /** Starts the supervisor and waits until the instance is ready. @throws with what it said if it ends instead */
  async start(): Promise<void> {
    await this.proxy.close();
    const launch = join(here, "launch-child.ts");
    const supervisor = spawn(
      process.execPath,
      ["--import", launch, join(this.root, "deploy", "start.ts")],
      {
        env: this.#environment(),
        cwd: this.root,
        // Ctrl-C in the terminal is for the machine, which ends with its table.
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    this.#supervisor = supervisor;
    this.#said = "";
    for (const stream of [supervisor.stdout, supervisor.stderr]) {
      stream.on("data", (chunk: Buffer) => (this.#said += chunk.toString("utf8")));
    }
    const natsRecord = join(this.place.home, "run", "nats.json");
    rmSync(natsRecord, { force: true });
    while (!existsSync(natsRecord)) {
      if (this.hasEnded) throw new Error(`the instance ended: ${this.said}`);
      await sleep(10);
    }
    // Only now, because the supervisor looks whether the port is free.
    await this.proxy.open(this.#natsPort, this.realNatsPort);
    while (!this.#said.includes("Try:")) {
      if (this.hasEnded) throw new Error(`the instance ended: ${this.said}`);
      await sleep(20);
    }
  }

  #environment(): { readonly [name: string]: string } {
    return {
      ...environmentOf(this.place),
      // Another checkout's is its own, and goes with it.
      ...(this.root !== checkout && { NODE_COMPILE_CACHE: join(this.root, "compiled") }),
      CHANCERY_FAULT_LAUNCH: join(this.folder, "launch.json"),
    };
  }

  /** Where the instance keeps what it has, for who reads it raw. */
  get store(): RawStore {
    return this.#postgres?.store ?? filesOf(this.place.home);
  }

  /** The servers, and the second service process. @throws if what it has lies in files */
  get postgres(): PostgresGround {
    if (this.#postgres === null) throw new Error("this instance keeps what it has in files");
    return this.#postgres;
  }

  /** What its processes last complained of. */
  complaints(): string[] {
    const second = this.#postgres?.place.home;
    return [this.place.home, ...(second === undefined ? [] : [second])].flatMap(complaints);
  }

  /** The last that the supervisor said. */
  get said(): string {
    return this.#said.trim().slice(-1_500);
  }

  /** True if the supervisor has given up. */
  get hasEnded(): boolean {
    const supervisor = this.#supervisor;
    return supervisor === null || supervisor.exitCode !== null || supervisor.signalCode !== null;
  }

  /** Asks the supervisor to stop and waits. */
  async stop(): Promise<void> {
    if (this.hasEnded || this.#supervisor === null) return;
    const ended = once(this.#supervisor, "exit");
    this.#supervisor.kill("SIGTERM");
    await ended;
  }

  /** Waits until the door says that all rooms are well. */
  async ready(): Promise<void> {
    const giveUpAt = performance.now() + readyWithinMs;
    let last = "";
    while (performance.now() < giveUpAt) {
      if (this.hasEnded) throw new Error(`the instance ended: ${this.said}`);
      try {
        const signal = AbortSignal.timeout(2_000);
        const response = await fetch(`${this.origin}/readyz`, { signal });
        if (response.ok) return;
        last = await response.text();
      } catch (thrown) {
        last = String(thrown);
      }
      await sleep(50);
    }
    throw new Error(`not ready after ${readyWithinMs / 1000} s: ${last}`);
  }

  /** The pid of a child, or null while it has none. */
  pid(name: ChildName): number | null {
    try {
      const file = join(this.place.home, "run", `${name}.json`);
      const { pid } = JSON.parse(readFileSync(file, "utf8")) as { pid: number };
      return isAlive(pid) ? pid : null;
    } catch {
      return null;
    }
  }

  /** Every process of the instance, the supervisor first. */
  pids(): number[] {
    const supervisor = this.hasEnded ? null : (this.#supervisor?.pid ?? null);
    const children = (["services", "vault", "nats"] as const).map((name) => this.pid(name));
    return [supervisor, ...children].filter((pid) => pid !== null);
  }

  signal(name: ChildName, sent: NodeJS.Signals): boolean {
    const pid = this.pid(name);
    if (pid !== null) signal(pid, sent);
    return pid !== null;
  }

  /** The power goes: only what was fsynced is there afterwards. `meanwhile` runs when all is dark. */
  async powerCut(): Promise<void> {
    const pids = this.pids();
    for (const pid of pids) signal(pid, "SIGSTOP");
    // Answers that were under way when the power went are the clients': they arrive.
    await sleep(100);
    await this.#disk.cut();
    for (const pid of pids) signal(pid, "SIGKILL");
    while (pids.some(isAlive)) await sleep(10);
    await this.proxy.close();
    await this.#disk.restore();
  }

  /** Kills everything at once, as the machine's operator would with `kill -9`. */
  async killAll(): Promise<void> {
    const pids = this.pids();
    for (const pid of pids) signal(pid, "SIGKILL");
    while (pids.some(isAlive)) await sleep(10);
  }

  /** Sets the rules of the lying module. */
  lie(...rules: readonly string[]): void {
    writeFileSync(join(this.folder, "faults"), rules.map((rule) => `${rule}\n`).join(""));
  }

  /** How often the module has lied. */
  lies(): number {
    return statSync(join(this.folder, "hits")).size;
  }

  /** Sets the wall clock of the vault and the services this far from the true one; it then runs at `speed`. */
  setClock(offsetSeconds: number, speed = 1): void {
    const sign = offsetSeconds < 0 ? "" : "+";
    // Without a speed libfaketime goes on at the one before.
    writeFileSync(join(this.folder, "clock"), `${sign}${offsetSeconds} x${speed.toFixed(2)}\n`);
  }

  /** Has a process do something to itself (see inside-child.ts); false if it does not begin to. */
  async tell(pid: number, command: string): Promise<boolean> {
    const file = join(this.folder, "inside", String(pid));
    // Whole or not at all: it is read as soon as it is there.
    writeFileSync(`${file}.new`, command);
    renameSync(`${file}.new`, file);
    for (const giveUpAt = performance.now() + 2_000; existsSync(file); await sleep(10)) {
      if (performance.now() < giveUpAt && isAlive(pid)) continue;
      rmSync(file, { force: true });
      return false;
    }
    return true;
  }

  /** Stops the instance and starts it again with more in its environment; the clients go on. */
  async restart(environment: { readonly [name: string]: string }): Promise<void> {
    await this.clients(0);
    await this.stop();
    await this.#writeLaunch(environment);
    await this.start();
    await this.clients(2);
  }

  /** Has the clients sign on this many lanes; resolves when it is so. With 0 every answer has been written down. */
  async clients(lanes: number): Promise<void> {
    await this.#traffic?.lanes(lanes);
  }

  /** Waits until the clients were given this many answers more. */
  async answered(count: number, withinMs: number): Promise<boolean> {
    return (await this.#traffic?.answered(count, withinMs)) ?? false;
  }

  /** Requests that were answered with a failure, or not at all. */
  get failed(): number {
    return this.#traffic?.told.failed ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#traffic?.[Symbol.dispose]();
    await this.killAll();
    await this.#postgres?.[Symbol.asyncDispose]();
    await this.proxy.close();
    await this.#disk[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
    process.off("exit", this.#leave);
  }

  /** A fresh folder beside the home, on the same disk. */
  async scratch(name: string): Promise<string> {
    const path = join(this.folder, name);
    await rm(path, { recursive: true, force: true });
    await mkdir(path);
    return path;
  }
}
