/** The clients of an instance, as seen from the machine: how many sign, and how many answers they were given. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

const here = new URL("./", import.meta.url).pathname;

/** What the clients have told. */
export interface Told {
  readonly acknowledged: number;
  readonly failed: number;
}

/** See above. */
export class Traffic implements Disposable {
  readonly #clients: ChildProcess;
  told: Told = { acknowledged: 0, failed: 0 };

  /** Starts clients that write every answer into the file `answers`; none signs yet. */
  static async start(origin: string, home: string, answers: string): Promise<Traffic> {
    const clients = fork(`${here}client-child.ts`, [origin, home, answers], {
      detached: true,
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const traffic = new Traffic(clients);
    await once(clients, "message");
    return traffic;
  }

  private constructor(clients: ChildProcess) {
    this.#clients = clients;
    clients.on("message", ({ acknowledged, failed }: Told) => {
      this.told = { acknowledged, failed };
    });
  }

  /** Has them sign on this many lanes; resolves when it is so. With 0 every answer has been written down. */
  async lanes(lanes: number): Promise<void> {
    const clients = this.#clients;
    const done = new Promise<void>((resolve) => {
      const listen = (message: { readonly lanes?: number }): void => {
        if (message.lanes !== lanes) return;
        clients.off("message", listen);
        resolve();
      };
      clients.on("message", listen);
    });
    clients.send({ lanes });
    await done;
  }

  /** Waits until they were given this many answers more. */
  async answered(count: number, withinMs: number): Promise<boolean> {
    const goal = this.told.acknowledged + count;
    for (const giveUpAt = performance.now() + withinMs; this.told.acknowledged < goal;) {
      if (performance.now() > giveUpAt) return false;
      await sleep(20);
    }
    return true;
  }

  [Symbol.dispose](): void {
    this.#clients.kill("SIGKILL");
  }
}
