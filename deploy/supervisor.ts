/** Runs an instance: nats-server and every process of the placement; each restarted with back-off, all of them stopped together. */
import { appendFile, readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { staysDown } from "../core/exit-codes.ts";
import { Child, type ChildPlan } from "./child.ts";
import { progress } from "./greeting.ts";
import type { PlannedProcess } from "../config/processes.ts";
import type { Instance } from "../config/schema.ts";
import { isPortFree } from "./ports.ts";
import { probe } from "./probe.ts";
import { endLeftover, recordedNames } from "./processes.ts";
import { Refusal } from "./refusal.ts";
import { tokenEnvironment } from "./token.ts";

const main = new URL("../core/main.ts", import.meta.url).pathname;
const readyWithinMs = 60_000;
/**
 * V8 would let its heap grow as long as the machine has memory, which buys nothing here; bodies under way are bounded by the door. The
 * young generation of services holds what the requests under way have made, so that most of it dies there and is not moved on; the heap is
 * collected whole when it has doubled, because to mark what lives in it is the most that collecting costs. Both are bought with memory:
 * with a young generation of 16 MiB, and a collection whenever the heap has grown by half, services take 40 to 50 MiB less memory, and a
 * seventh more of their processor time for a certificate. Growth counts only as far as the most allows: half of the way there is collected whatever it says.
 * Threads have smaller young generations (`core/main.ts`).
 *
 * The vault keeps little, and keeps it small.
 *
 * V8 has four threads of its own whatever the machine has. More than there are cores only push aside whom they are to help: with two on
 * two cores a certificate takes some 5 % less.
 */
const threads = `--v8-pool-size=${Math.min(4, availableParallelism())}`;
const nodeFlags = {
  vault: [threads, "--max-semi-space-size=8", "--max-old-space-size=96"],
  services: [
    threads,
    "--max-semi-space-size=24",
    "--max-old-space-size=192",
    "--heap-growing-percent=100",
  ],
};
/** glibc would give each thread a heap of its own that never shrinks. */
const nodeEnvironment = { MALLOC_ARENA_MAX: "2" };
/**
 * Go would let as many threads of NATS run as there are cores, and each message that comes makes one look for work that there is not. What
 * an instance sends is a few per cent of what one can carry: with one it takes a third less, and pushes nobody aside.
 */
const natsEnvironment = { GOMAXPROCS: "1" };
/**
 * Where programs keep what their sources were compiled to, unless the operator names another place. Without it every thread of every
 * process would load the compiler of TypeScript for itself, which takes some 10 MiB each and never gives them back.
 */
const compiled = new URL("../node_modules/.cache/chancery", import.meta.url).pathname;

const pinArgs = ["--pin-fd", "3"];

/** The processes of one instance. */
export class Supervisor {
  readonly #home: string;
  readonly #instance: Instance;
  /** Names of the children. */
  readonly #names: readonly string[];
  /** False where nats-server is another's. */
  readonly #carries: boolean;
  /** Those that carry and are needed first: nats-server, then the processes in their order. */
  readonly #children: readonly Child[];
  /** Rejects with a {@link Refusal} when a child has gone for good. */
  readonly failed: Promise<never>;
  #fail: (problem: Refusal) => void = () => undefined;
  #stopping = false;
  /** Children that have ended at least once. */
  readonly #restarted = new Set<string>();
  /** What journals say from before is another run's. */
  readonly #since = new Date().toISOString();

  /** @param carries False where the processes use a nats-server that somebody else runs. */
  constructor(
    home: string,
    instance: Instance,
    processes: readonly PlannedProcess[],
    carries = true,
  ) {
    this.#home = home;
    this.#instance = instance;
    this.#carries = carries;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => undefined);
    const events = {
      restarting: (name: string, reason: string, delayMs: number) => {
        this.#restarted.add(name);
        void this.#note({ event: "restarting", name, reason, delayMs });
      },
      gone: (name: string, code: number) => {
        void this.#note({ event: "gone", name, code });
        void this.#explain(name, code).then(this.#fail);
      },
    };
    const carrying = carries ? [this.#natsPlan()] : [];
    const plans = [...carrying, ...processes.map((planned) => this.#processPlan(planned))];
    this.#names = plans.map(({ name }) => name);
    this.#children = plans.map((plan) => new Child(plan, events));
  }

  /**
   * Starts everything and waits until the door says that all rooms are well, or until `cancelled`.
   *
   * @throws {Refusal} if a child leaves for good or readiness does not come.
   */
  async start(cancelled: AbortSignal): Promise<void> {
    // By what was recorded and not by what is planned now: the placement may have been another then.
    const recorded = await recordedNames(this.#home);
    const left = recorded.filter((name) => name !== "supervisor" && name !== "nats");
    for (const name of [...left, "nats"]) await endLeftover(this.#home, name);
    if (this.#carries && !(await isPortFree(this.#instance.natsPort))) {
      throw new Refusal(
        `port ${this.#instance.natsPort}, fixed for this home's own nats-server at genesis, is in use by another program; stop that program`,
      );
    }
    for (const child of this.#children) child.start();
    await this.ready(cancelled);
  }

  /**
   * Waits until the door says that all rooms are well, or until `cancelled`.
   *
   * @throws {Refusal} if a child leaves for good or readiness does not come.
   */
  async ready(cancelled: AbortSignal): Promise<void> {
    await Promise.race([this.#ready(cancelled), this.failed]);
  }

  /** Drains and stops everything: first who takes requests, last who carries them. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const child of this.#children.toReversed()) await child.stop();
  }

  async #ready(cancelled: AbortSignal): Promise<void> {
    const giveUpAt = performance.now() + readyWithinMs;
    let last = "nobody answers yet";
    while (!cancelled.aborted && !this.#stopping) {
      const answer = await probe(this.#instance.port, "/readyz");
      if (answer?.status === 200) return;
      if (answer) last = answer.text.trim().slice(0, 300);
      if (performance.now() > giveUpAt) {
        const said = await this.#cause();
        throw new Refusal(
          `the instance is not ready after ${readyWithinMs / 1000} s: ${said ?? last}; see ${join(this.#home, "journal")}`,
        );
      }
      await sleep(50);
    }
  }

  #natsPlan(): ChildPlan {
    return {
      name: "nats",
      home: this.#home,
      command: "nats-server",
      args: ["--config", join(this.#home, "nats", "nats.conf")],
      environment: { PATH: searchPath(), ...natsEnvironment },
      heartbeat: false,
      finalCodes: [],
    };
  }

  #processPlan({ name, vault }: PlannedProcess): ChildPlan {
    return {
      name,
      home: this.#home,
      command: process.execPath,
      args: [
        ...nodeFlags[vault ? "vault" : "services"],
        main,
        "--home",
        this.#home,
        "--process",
        name,
        ...(vault ? pinArgs : []),
      ],
      environment: {
        ...nodeEnvironment,
        NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? compiled,
        PATH: searchPath(),
        ...(vault && tokenEnvironment(this.#home)),
      },
      ...(vault && {
        secret: async () => (await readFile(join(this.#home, "secrets", "pin"), "utf8")).trim(),
      }),
      heartbeat: true,
      finalCodes: staysDown,
    };
  }

  /** What the process says that others wait for: the first that had to be restarted, else the first that complains. */
  async #cause(): Promise<string | null> {
    const suspects = this.#names.filter((name) => this.#restarted.has(name));
    for (const name of suspects.length > 0 ? suspects : this.#names) {
      const said = await lastError(join(this.#home, "journal", `${name}.jsonl`), this.#since);
      if (said !== null) return said;
    }
    return null;
  }

  /** Turns the last error a child wrote into the sentence the operator reads. */
  async #explain(name: string, code: number): Promise<Refusal> {
    const said = await lastError(join(this.#home, "journal", `${name}.jsonl`), this.#since);
    return new Refusal(
      said ?? `the ${name} process ended with code ${code}; see ${join(this.#home, "journal")}`,
    );
  }

  async #note(fields: Readonly<{ [name: string]: unknown }>): Promise<void> {
    const line = JSON.stringify({ time: new Date().toISOString(), ...fields });
    const file = join(this.#home, "journal", "supervisor.jsonl");
    // On a full disk the line on the terminal remains.
    await appendFile(file, `${line}\n`, { mode: 0o600 }).catch(() => undefined);
    if (fields["event"] === "restarting")
      progress(
        `the ${String(fields["name"])} process ended (${String(fields["reason"])}); restarting it`,
      );
  }
}

/** Debian keeps nats-server in /usr/sbin, which is in no user's path. */
function searchPath(): string {
  return `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
}

async function lastError(file: string, since: string): Promise<string | null> {
  const lines = (await readFile(file, "utf8")).trim().split("\n").slice(-20).reverse();
  for (const line of lines) {
    try {
      const { reason, time = since } = JSON.parse(line) as { reason?: unknown; time?: string };
      if (typeof reason === "string" && time >= since) return reason;
    } catch {
      // A native library wrote plain text; keep looking.
    }
  }
  return null;
}
