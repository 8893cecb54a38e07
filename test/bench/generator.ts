/** The measurer's end of a process that works for it: the load generator, and whoever fills a log. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { tokenEnvironment } from "../../deploy/token.ts";
import type { FillJob, Filled } from "./filler-child.ts";
import type { Done, Job } from "./generator-child.ts";

/** A program that is told one job after the other over IPC, as `{ id, run }`, and answers `{ id, done }` or `{ id, failed }`. */
class Helper<Work, Result> implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #name: string;
  #count = 0;

  constructor(name: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    const program = new URL(`./${name}-child.ts`, import.meta.url).pathname;
    this.#name = name;
    this.#child = fork(program, [...args], {
      // The material of one run is some 2 KiB a request: tens of thousands must not end in garbage collection.
      execArgv: ["--max-old-space-size=4096", "--max-semi-space-size=64"],
      env: { ...process.env, ...environment },
    });
  }

  /** Performs one job, alone. */
  async perform(job: Work): Promise<Result> {
    const id = ++this.#count;
    return await new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#child.off("message", listen);
        this.#child.off("exit", gone);
        settle();
      };
      const gone = (code: number | null): void =>
        end(() => reject(new Error(`the ${this.#name} ended with ${code}`)));
      const listen = (message: { id: number; done?: Result; failed?: string }): void => {
        if (message.id !== id) return;
        const { done, failed = "no reason" } = message;
        end(() => (done === undefined ? reject(new Error(failed)) : resolve(done)));
      };
      this.#child.on("message", listen);
      this.#child.on("exit", gone);
      this.#child.send({ id, run: job });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    if (this.#child.connected) this.#child.disconnect();
    await exited;
  }
}

/** A running load generator. */
export class Generator extends Helper<Job, Done> {
  constructor() {
    super("generator", []);
  }
}

/** The log room of a home that is not running, with its vault, to be filled. */
export class Filler extends Helper<FillJob, Filled> {
  constructor(home: string) {
    super("filler", [home], tokenEnvironment(home));
  }
}
