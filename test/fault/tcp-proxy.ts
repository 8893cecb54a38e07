/**
 * A proxy between the rooms and nats-server that knows as much of NATS' protocol as it takes to tell messages apart, so that it can
 * delay, stall, lose, repeat and reorder them, or cut the connections.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** What happens to messages. `halfOpen`: everything is taken and nothing passed on, and nobody is told. */
export type ProxyMode =
  | { readonly kind: "pass" | "stall" | "halfOpen" }
  | { readonly kind: "delay"; readonly ms: number }
  | { readonly kind: "lose" | "repeat" | "reorder"; readonly oneOf: number };

/** One connection of a room. */
interface Room {
  parted: "in" | "out" | "both" | null;
  readonly waiting: (() => void)[];
}

/** The proxy. */
export class NatsProxy implements AsyncDisposable {
  #mode: ProxyMode = { kind: "pass" };
  #server: Server | null = null;
  readonly #sockets = new Set<Socket>();
  readonly #held: (() => void)[] = [];
  readonly #rooms = new Set<Room>();
  #messages = 0;
  /** Messages that were delayed, lost, repeated or reordered, and connections that were cut. */
  hits = 0;

  /** Listens on `port` of the loopback address and passes on to `target`. */
  async open(port: number, target: number): Promise<void> {
    const server = createServer((near) => this.#join(near, target));
    this.#server = server;
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    this.#mode = { kind: "pass" };
    this.#held.length = 0;
    for (const socket of this.#sockets) socket.destroy();
    if (server === null) return;
    server.close();
    await once(server, "close");
  }

  /** Sets the mode; what a stall has held back goes on. */
  set(mode: ProxyMode): void {
    this.#mode = mode;
    if (mode.kind === "pass") for (const go of this.#held.splice(0)) go();
  }

  /** Cuts one room off: what goes `in` to it, comes `out` of it, or both waits. `which` picks it, from 0 up to 1. */
  part(which: number, way: "in" | "out" | "both"): boolean {
    const room = [...this.#rooms][Math.floor(which * this.#rooms.size)];
    if (room === undefined) return false;
    room.parted = way;
    this.hits++;
    return true;
  }

  /** Joins every room again: as with any TCP connection, what has waited arrives. */
  mend(): void {
    for (const room of this.#rooms) {
      room.parted = null;
      for (const go of room.waiting.splice(0)) go();
    }
  }

  /** Ends every connection at once, as a reset. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    this.hits++;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #join(near: Socket, target: number): void {
    const far = connect(target, "127.0.0.1");
    const room: Room = { parted: null, waiting: [] };
    this.#rooms.add(room);
    near.on("close", () => this.#rooms.delete(room));
    for (const [from, to, way] of [
      [near, far, "out"],
      [far, near, "in"],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      const split = framer((frame, isMessage) => {
        const go = (): void => this.#pass(frame, isMessage, to);
        const { parted, waiting } = room;
        if (parted === way || parted === "both") waiting.push(go);
        else go();
      });
      from.on("data", split);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }

  #pass(frame: Buffer, isMessage: boolean, to: Socket): void {
    const send = (): void => void (to.writable && to.write(frame));
    const mode = this.#mode;
    switch (mode.kind) {
      case "pass":
        if (this.#held.length === 0) send();
        else this.#held.push(send);
        return;
      case "stall":
        this.hits += isMessage ? 1 : 0;
        this.#held.push(send);
        return;
      case "halfOpen":
        this.hits += isMessage ? 1 : 0;
        return;
      case "delay":
        this.hits += isMessage ? 1 : 0;
        setTimeout(send, mode.ms);
        return;
      case "lose":
      case "repeat":
      case "reorder":
        this.#tamper(mode, isMessage, send);
        return;
    }
  }

  #tamper(
    mode: Extract<ProxyMode, { readonly oneOf: number }>,
    isMessage: boolean,
    send: () => void,
  ): void {
    if (!isMessage || ++this.#messages % mode.oneOf !== 0) {
      send();
      return;
    }
    this.hits++;
    if (mode.kind === "lose") return;
    if (mode.kind === "repeat") {
      for (let times = 0; times < 3; times++) send();
    } else {
      // Later ones overtake it.
      setTimeout(send, 30);
    }
  }
}

/** Cuts a stream into protocol lines; a message goes with its payload. */
function framer(give: (frame: Buffer, isMessage: boolean) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const end = rest.indexOf("\r\n");
      if (end < 0) return;
      const line = rest.toString("latin1", 0, end);
      const isMessage = /^H?(PUB|MSG) /i.test(line);
      const length = end + 2 + (isMessage ? Number(line.slice(line.lastIndexOf(" ") + 1)) + 2 : 0);
      if (rest.length < length) return;
      give(rest.subarray(0, length), isMessage);
      rest = rest.subarray(length);
    }
  };
}
