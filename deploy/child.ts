/** One supervised process: started, watched, restarted with back-off, drained. */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { forgetProcess, recordProcess } from "./processes.ts";

/** How to run a child and how to judge it. */
export interface ChildPlan {
  readonly name: string;
  readonly home: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly environment: Readonly<{ [name: string]: string }>;
  /** Written to file descriptor 3 and closed, so that it stands in no environment and no argument list. */
  readonly secret?: () => Promise<string>;
  /** True if the child answers `{ping: n}` with `{pong: n}` over IPC; one that stops answering is killed. */
  readonly heartbeat: boolean;
  /** Exit codes after which a restart would do harm or nothing: the child stays down. */
  readonly finalCodes: readonly number[];
}

/** What happened to a child, for the supervisor's own journal. */
export interface ChildEvents {
  readonly restarting: (name: string, reason: string, delayMs: number) => void;
  readonly gone: (name: string, code: number) => void;
}

const firstDelayMs = 200;
const longestDelayMs = 5_000;
/** A child that ran this long starts over with the shortest delay. */
const healthyAfterMs = 10_000;
const pingEveryMs = 1_000;
/** A PKCS#11 call may take seconds on a slow token; beyond this the process hangs. */
const silentForMs = 15_000;
const drainMs = 25_000;

/** A process that is kept running until it is stopped. */
export class Child {
  readonly #plan: ChildPlan;
  readonly #events: ChildEvents;
  #process: ChildProcess | null = null;
  #stopping = false;
  #finalCode: number | null = null;
  #loop: Promise<void> = Promise.resolve();

  constructor(plan: ChildPlan, events: ChildEvents) {
    this.#plan = plan;
    this.#events = events;
  }

  /** The code the child left for good with, or null while it is kept running. */
  get finalCode(): number | null {
    return this.#finalCode;
  }

  /** Starts the child and keeps it running; returns at once. */
  start(): void {
    this.#loop = this.#keepRunning();
  }

  /** Asks the child to drain, waits, and kills it if it does not end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const current = this.#process;
    current?.kill("SIGTERM");
    const patience = new AbortController();
    const killer = sleep(drainMs, undefined, { signal: patience.signal, ref: false }).then(
      () => current?.kill("SIGKILL"),
      () => undefined,
    );
    await this.#loop;
    patience.abort();
    await killer;
  }

  async #keepRunning(): Promise<void> {
    let delayMs = firstDelayMs;
    while (!this.#stopping) {
      const startedAt = performance.now();
      const reason = await this.#runOnce();
      if (this.#stopping) break;
      if (typeof reason === "number" && this.#plan.finalCodes.includes(reason)) {
        this.#finalCode = reason;
        this.#events.gone(this.#plan.name, reason);
        break;
      }
      if (performance.now() - startedAt > healthyAfterMs) delayMs = firstDelayMs;
      this.#events.restarting(this.#plan.name, String(reason), delayMs);
      await sleep(delayMs);
      delayMs = Math.min(delayMs * 2, longestDelayMs);
    }
  }

  /** Resolves with the exit code or the signal's name once the process is gone. */
  async #runOnce(): Promise<number | string> {
    const { name, home } = this.#plan;
    const note = (chunk: Buffer | string): void => noteIn(`${home}/journal/${name}.jsonl`, chunk);
    const secret = await this.#plan.secret?.();
    const child = this.#spawn(note);
    this.#process = child;
    const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
    child.once("error", (error) =>
      note(`${JSON.stringify({ level: "error", event: "spawn", reason: error.message })}\n`),
    );
    if (child.pid === undefined) return "could not be started";
    // Unrecorded (the disk is full), a child that outlives its supervisor still ends by itself.
    await recordProcess(home, name, child.pid).catch(() => undefined);
    if (secret !== undefined) handOver(child, secret);
    const watch = this.#plan.heartbeat ? watchHeartbeat(child) : undefined;
    const [code, signal] = await exited;
    watch?.[Symbol.dispose]();
    this.#process = null;
    await forgetProcess(home, name);
    return code ?? signal ?? "unknown";
  }

  #spawn(note: (chunk: Buffer) => void): ChildProcess {
    const { command, args, environment, secret, heartbeat } = this.#plan;
    const child = spawn(command, [...args], {
      env: { ...environment },
      // A session of its own: Ctrl-C in the terminal is for the supervisor, which drains its children in their order.
      detached: true,
      stdio: ["ignore", "pipe", "pipe", secret ? "pipe" : "ignore", heartbeat ? "ipc" : "ignore"],
    });
    child.stdout?.on("data", note);
    child.stderr?.on("data", note);
    return child;
  }
}

/** A full disk costs lines of the journal until there is room again, never the instance. */
function noteIn(file: string, chunk: Buffer | string): void {
  try {
    appendFileSync(file, chunk, { mode: 0o600 });
  } catch {
    // Nobody is there to tell: the child goes on, and says by itself what it cannot store.
  }
}

function handOver(child: ChildProcess, secret: string): void {
  const pipe = child.stdio[3];
  if (pipe && "write" in pipe) {
    // The child may die before it reads: that is its exit to report, not ours.
    pipe.on("error", () => undefined);
    pipe.end(`${secret}\n`);
  }
}

/** Kills a child whose event loop has not answered for {@link silentForMs}. */
function watchHeartbeat(child: ChildProcess): Disposable {
  let heardAt = performance.now();
  let count = 0;
  child.on("message", () => (heardAt = performance.now()));
  const timer = setInterval(() => {
    if (performance.now() - heardAt > silentForMs) child.kill("SIGKILL");
    else if (child.connected) child.send({ ping: ++count }, () => undefined);
  }, pingEveryMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
