/** Runs an instance: nats-server, the vault, the services; each restarted with back-off, all of them stopped together. */
import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { staysDown } from "../core/exit-codes.ts";
import { Child, type ChildPlan } from "./child.ts";
import { progress } from "./greeting.ts";
import type { Instance } from "../config/schema.ts";
import { isPortFree } from "./ports.ts";
import { probe } from "./probe.ts";
import { endLeftover } from "./processes.ts";
import { Refusal } from "./refusal.ts";
import { tokenEnvironment } from "./token.ts";

const main = new URL("../core/main.ts", import.meta.url).pathname;
const readyWithinMs = 60_000;
/** V8 would let the young generation grow to 32 MiB and more under load: memory that buys nothing here. */
const nodeFlags = ["--max-semi-space-size=8"];
/** glibc would give each thread a heap of its own that never shrinks. */
const nodeEnvironment = { MALLOC_ARENA_MAX: "2" };

/** The processes of one instance. */
export class Supervisor {
  readonly #home: string;
  readonly #instance: Instance;
  readonly #children: { readonly nats: Child; readonly vault: Child; readonly services: Child };
  /** Rejects with a {@link Refusal} when a child has gone for good. */
  readonly failed: Promise<never>;
  #fail: (problem: Refusal) => void = () => undefined;
  #stopping = false;
  /** Children that have ended at least once. */
  readonly #restarted = new Set<string>();

  constructor(home: string, instance: Instance) {
    this.#home = home;
    this.#instance = instance;
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
    const child = (plan: ChildPlan): Child => new Child(plan, events);
    this.#children = {
      nats: child(this.#natsPlan()),
      vault: child(this.#vaultPlan()),
      services: child(this.#servicesPlan()),
    };
  }

  /**
   * Starts everything and waits until the door says that all rooms are well, or until `cancelled`.
   *
   * @throws {Refusal} if a child leaves for good or readiness does not come.
   */
  async start(cancelled: AbortSignal): Promise<void> {
    for (const name of ["services", "vault", "nats"]) await endLeftover(this.#home, name);
    if (!(await isPortFree(this.#instance.natsPort))) {
      throw new Refusal(
        `port ${this.#instance.natsPort}, fixed for this home's own nats-server at genesis, is in use by another program; stop that program`,
      );
    }
    this.#children.nats.start();
    this.#children.vault.start();
    this.#children.services.start();
    await Promise.race([this.#ready(cancelled), this.failed]);
  }

  /** Drains and stops everything: first who takes requests, last who carries them. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#children.services.stop();
    await this.#children.vault.stop();
    await this.#children.nats.stop();
  }

  async #ready(cancelled: AbortSignal): Promise<void> {
    const giveUpAt = performance.now() + readyWithinMs;
    let last = "nobody answers yet";
    while (!cancelled.aborted && !this.#stopping) {
      const answer = await probe(this.#instance.port, "/readyz");
      if (answer?.status === 200) return;
      if (answer) last = answer.text.trim().slice(0, 300);
      if (performance.now() > giveUpAt) {
        // Whoever others wait for is the cause of their complaints.
        const cause = ["nats", "vault"].find((name) => this.#restarted.has(name)) ?? "services";
        const said = await lastError(join(this.#home, "journal", `${cause}.jsonl`));
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
      environment: { PATH: searchPath() },
      heartbeat: false,
      finalCodes: [],
    };
  }

  #vaultPlan(): ChildPlan {
    return {
      name: "vault",
      home: this.#home,
      command: process.execPath,
      args: [...nodeFlags, main, "--home", this.#home, "--process", "vault", "--pin-fd", "3"],
      environment: { ...nodeEnvironment, PATH: searchPath(), ...tokenEnvironment(this.#home) },
      secret: async () => (await readFile(join(this.#home, "secrets", "pin"), "utf8")).trim(),
      heartbeat: true,
      finalCodes: staysDown,
    };
  }

  #servicesPlan(): ChildPlan {
    return {
      name: "services",
      home: this.#home,
      command: process.execPath,
      args: [...nodeFlags, main, "--home", this.#home, "--process", "services"],
      environment: { ...nodeEnvironment, PATH: searchPath() },
      heartbeat: true,
      finalCodes: staysDown,
    };
  }

  /** Turns the last error a child wrote into the sentence the operator reads. */
  async #explain(name: string, code: number): Promise<Refusal> {
    const said = await lastError(join(this.#home, "journal", `${name}.jsonl`));
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

async function lastError(file: string): Promise<string | null> {
  const lines = (await readFile(file, "utf8")).trim().split("\n").slice(-20).reverse();
  for (const line of lines) {
    try {
      const { reason } = JSON.parse(line) as { reason?: unknown };
      if (typeof reason === "string") return reason;
    } catch {
      // A native library wrote plain text; keep looking.
    }
  }
  return null;
}
