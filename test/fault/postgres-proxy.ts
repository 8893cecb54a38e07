/** A TCP proxy in front of a PostgreSQL server that cuts connections: all at once, or one in the middle of a commit. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/**
 * When a connection is cut: before the server is told to commit; after it was told and before it has answered; when it has answered
 * and before that has arrived.
 */
export type CutAt = "before" | "told" | "answered";

/** COMMIT as a message of the simple query protocol. */
const commit = Buffer.from("Q\0\0\0\x0bCOMMIT\0", "latin1");

/** See above. */
export class PostgresProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: string;
  #next: CutAt | null = null;
  /** Connections that were cut. */
  hits = 0;

  /** Listens on a port of its own, and passes on to the socket at the path `target`. */
  static async open(target: string): Promise<PostgresProxy> {
    const proxy = new PostgresProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(target: string) {
    this.#target = target;
    this.#server = createServer((near) => this.#join(near));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Leads connections that come from now on to another server. */
  lead(target: string): void {
    this.#target = target;
  }

  /** Ends every connection at once, as a reset. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.hits++;
  }

  /** Cuts the next connection that commits. */
  cutNext(at: CutAt | null): void {
    this.#next = at;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(near: Socket): void {
    const far = connect(this.#target);
    const ends = [near, far];
    let isMute = false;
    const end = (): void => {
      this.hits++;
      for (const socket of ends) socket.destroy();
    };
    for (const socket of ends) {
      this.#sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        for (const other of ends) other.destroy();
      });
    }
    near.on("data", (chunk: Buffer) => {
      const at = this.#next === null ? -1 : chunk.indexOf(commit);
      if (at < 0) {
        far.write(chunk);
        return;
      }
      const when = this.#next;
      this.#next = null;
      if (when === "before") {
        far.write(chunk.subarray(0, at), end);
        return;
      }
      isMute = true;
      far.write(chunk, () => {
        if (when === "told") end();
      });
    });
    far.on("data", (chunk: Buffer) => {
      if (!isMute) near.write(chunk);
      // What it answers to the statements before comes first.
      else if (chunk.includes("COMMIT\0")) end();
    });
  }
}
