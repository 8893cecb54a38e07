/**
 * V8 CPU profiles of running processes, their worker threads included, over the inspector protocol: SIGUSR1 makes Node open an
 * inspector on the loopback address, and it is closed again at the end.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** The part of a V8 profile that is summed up. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly children?: readonly number[];
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** A function's own time, callees not counted. */
export interface Cost {
  readonly at: string;
  readonly selfMs: number;
  /** Of the time in which the threads did something. */
  readonly share: number;
}

const inspector = "127.0.0.1:9229";

/** A process that is being profiled. */
export interface Profiling {
  /** Ends it; the costs, largest first. */
  stop(): Promise<readonly Cost[]>;
}

/** Begins to profile a process and all its threads; one process at a time, because they would all open the same port. */
export async function startProfiling(pid: number): Promise<Profiling> {
  if ((await debuggerUrl()) !== null) throw new Error(`${inspector} is in use by another program`);
  process.kill(pid, "SIGUSR1");
  const session = await Session.open(await waitForDebugger());
  await session.post("Profiler.enable");
  await session.post("Profiler.start");
  const workers = await session.attachWorkers();
  for (const worker of workers) {
    await session.postTo(worker, "Profiler.enable");
    await session.postTo(worker, "Profiler.start");
  }
  return {
    async stop() {
      const profiles = [await session.post("Profiler.stop")];
      for (const worker of workers) profiles.push(await session.postTo(worker, "Profiler.stop"));
      session.leave();
      return summarise(profiles.map((answer) => (answer as { profile: Profile }).profile));
    },
  };
}

/** Where a thread only waits: the sampler takes a sleeping `Atomics.wait` for work. */
const waits = ["hsm/watchdog-worker.ts"];

/** Sums the self time of each function over threads. */
export function summarise(profiles: readonly Profile[]): readonly Cost[] {
  const selfUs = new Map<string, number>();
  for (const { nodes, samples, timeDeltas } of profiles) {
    const names = namesOf(nodes);
    for (const [at, id] of samples.entries()) {
      const name = names.get(id) ?? "(unknown)";
      selfUs.set(name, (selfUs.get(name) ?? 0) + (timeDeltas[at] ?? 0));
    }
  }
  const costs = [...selfUs].filter(
    ([at]) => at !== "(idle)" && !waits.some((file) => at.includes(file)),
  );
  const busyUs = costs.reduce((sum, [, us]) => sum + us, 0);
  return costs
    .map(([at, us]) => ({ at, selfMs: us / 1_000, share: us / busyUs }))
    .toSorted((a, b) => b.selfMs - a.selfMs);
}

/** A function with its place; one that is native, with who calls it. */
function namesOf(nodes: Profile["nodes"]): ReadonlyMap<number, string> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(
    nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  );
  const nameOf = (id: number, depth: number): string => {
    const node = byId.get(id);
    if (node === undefined) return "";
    const { functionName, url, lineNumber } = node.callFrame;
    if (functionName.startsWith("(")) return functionName;
    const name = functionName === "" ? "(anonymous)" : functionName;
    if (url !== "") {
      const shown = url.replace(root, "").replace(/^.*\/node_modules\//, "");
      return `${name} ${shown}:${lineNumber + 1}`;
    }
    const caller = depth < 4 ? nameOf(parents.get(id) ?? -1, depth + 1) : "";
    return caller === "" || caller.startsWith("(") ? name : `${name} < ${caller}`;
  };
  return new Map(nodes.map(({ id }) => [id, nameOf(id, 0)]));
}

const root = new URL("../../", import.meta.url).href;

async function debuggerUrl(): Promise<string | null> {
  try {
    const answer = await fetch(`http://${inspector}/json/list`);
    const [target] = (await answer.json()) as readonly { webSocketDebuggerUrl: string }[];
    return target?.webSocketDebuggerUrl ?? null;
  } catch {
    return null;
  }
}

async function waitForDebugger(): Promise<string> {
  for (let waitedMs = 0; waitedMs < 5_000; waitedMs += 50) {
    const url = await debuggerUrl();
    if (url !== null) return url;
    await sleep(50);
  }
  throw new Error("no inspector answers after SIGUSR1");
}

/** One inspector session. */
class Session {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<string, (message: Answer) => void>();
  readonly #workers: string[] = [];
  #count = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive("", String(data)));
  }

  static async open(url: string): Promise<Session> {
    const socket = new WebSocket(url);
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve(), { once: true });
      socket.addEventListener("error", () => reject(new Error("the inspector hung up")));
    });
    return new Session(socket);
  }

  async post(method: string, params: object = {}): Promise<unknown> {
    return await this.#put("", method, params, (text) => this.#socket.send(text));
  }

  async postTo(worker: string, method: string): Promise<unknown> {
    return await this.#put(worker, method, {}, (message) => {
      const wrapped = { sessionId: worker, message };
      void this.post("NodeWorker.sendMessageToWorker", wrapped).catch(() => undefined);
    });
  }

  /** The sessions of the worker threads that run now. */
  async attachWorkers(): Promise<readonly string[]> {
    await this.post("NodeWorker.enable", { waitForDebuggerOnStart: false });
    return [...this.#workers];
  }

  /** Closes the inspector, not the process. Nothing answers any more, so nothing is waited for. */
  leave(): void {
    const expression = "setImmediate(() => process.getBuiltinModule('node:inspector').close())";
    void this.post("Runtime.evaluate", { expression }).catch(() => undefined);
  }

  async #put(
    worker: string,
    method: string,
    params: object,
    send: (text: string) => void,
  ): Promise<unknown> {
    const id = ++this.#count;
    return await new Promise((resolve, reject) => {
      this.#waiting.set(`${worker}/${id}`, ({ result, error }) =>
        error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result),
      );
      send(JSON.stringify({ id, method, params }));
    });
  }

  #receive(worker: string, text: string): void {
    const message = JSON.parse(text) as Answer;
    if (message.method === "NodeWorker.attachedToWorker") {
      this.#workers.push(message.params.sessionId);
      return;
    }
    if (message.method === "NodeWorker.receivedMessageFromWorker") {
      this.#receive(message.params.sessionId, message.params.message);
      return;
    }
    const settle = this.#waiting.get(`${worker}/${message.id}`);
    this.#waiting.delete(`${worker}/${message.id}`);
    settle?.(message);
  }
}

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly params: { readonly sessionId: string; readonly message: string };
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}
