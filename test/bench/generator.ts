/** The measurer's end of the load generator's process. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { Done, Job } from "./generator-child.ts";

const program = new URL("./generator-child.ts", import.meta.url).pathname;

/** A running load generator. */
export class Generator implements AsyncDisposable {
  readonly #child: ChildProcess;
  #count = 0;

  constructor() {
    // The material of one run is some 2 KiB a request: tens of thousands must not end in garbage collection.
    this.#child = fork(program, { execArgv: ["--max-old-space-size=4096"] });
  }

  /** Performs one job, alone. */
  async perform(job: Job): Promise<Done> {
    const id = ++this.#count;
    return await new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#child.off("message", listen);
        this.#child.off("exit", gone);
        settle();
      };
      const gone = (code: number | null): void =>
        end(() => reject(new Error(`the load generator ended with ${code}`)));
      const listen = (message: { id: number; done?: Done; failed?: string }): void => {
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
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }
}
