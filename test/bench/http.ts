/** A lean HTTP client for load: kept-alive connections, whole bodies, nothing parsed that is not looked at. */
import { connect, type Socket } from "node:net";

/** A request made beforehand. */
export interface Prepared {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<{ [name: string]: string }>;
  readonly body: string | Uint8Array;
}

/** An answer, whole. */
export interface Answered {
  readonly status: number;
  readonly text: string;
  /** True if it says when to come back. */
  readonly retryAfter: boolean;
}

/** Sends a prepared request, says when it is on its way, and rejects if no whole answer comes in time. */
export type Send = (prepared: Prepared, put?: () => void) => Promise<Answered>;

/** Longer than any deadline of the service: whoever waits this long has lost the answer. */
const patienceMs = 30_000;

/** A client with connections of its own. */
interface Sender extends Disposable {
  readonly send: Send;
  /**
   * Opens all connections there may be. libuv accepts one in each turn of the event loop, so a service that is busy would else be asked
   * for connections and not for work.
   */
  readonly open: () => Promise<void>;
}

/** Sends prepared requests to one origin over at most so many connections. */
export function sender(origin: string, connections: number): Sender {
  const place = new URL(origin);
  const idle: Connection[] = [];
  const waiting: ((connection: Connection) => void)[] = [];
  const open = new Set<Connection>();

  const connectAnew = (): Connection => {
    const connection: Connection = new Connection(place, () => {
      open.delete(connection);
      const at = idle.indexOf(connection);
      if (at >= 0) idle.splice(at, 1);
    });
    open.add(connection);
    return connection;
  };
  const take = async (): Promise<Connection> => {
    const free = idle.pop();
    if (free !== undefined) return free;
    if (open.size < connections) return connectAnew();
    return await new Promise((resolve) => waiting.push(resolve));
  };
  const give = (connection: Connection): void => {
    const next = waiting.shift();
    const isOpen = open.has(connection);
    if (next !== undefined) next(isOpen ? connection : connectAnew());
    else if (isOpen) idle.push(connection);
  };

  return {
    async send(prepared, put = () => undefined) {
      const connection = await take();
      put();
      try {
        return await connection.exchange(prepared);
      } finally {
        give(connection);
      }
    },
    async open() {
      while (open.size < connections) {
        const some = Array.from({ length: openedAtOnce }, connectAnew);
        await Promise.all(some.map(async (connection) => await connection.opened));
        idle.push(...some);
      }
    },
    [Symbol.dispose]() {
      for (const connection of open) connection.destroy();
    },
  };
}

/** Fewer than wait to be accepted before the kernel drops some. */
const openedAtOnce = 100;

/** One kept-alive connection with one exchange at a time: HTTP/1.1 as far as a service of ours answers it. */
class Connection {
  /** Rejects if it cannot be opened. */
  readonly opened: Promise<void>;
  readonly #socket: Socket;
  readonly #host: string;
  readonly #closed: () => void;
  #exchange: { resolve: (answered: Answered) => void; reject: (cause: Error) => void } | null =
    null;
  #received: Buffer = Buffer.alloc(0);

  constructor({ hostname, port, host }: URL, closed: () => void) {
    this.#host = host;
    this.#closed = closed;
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.opened = new Promise((resolve, reject) => {
      this.#socket.once("connect", resolve);
      this.#socket.once("error", reject);
    });
    // Nobody may wait for it; whoever sends hears of the error in its own way.
    this.opened.catch(() => undefined);
    this.#socket.setTimeout(patienceMs, () => this.#end(new Error("no answer in time")));
    this.#socket.on("error", (cause) => this.#end(cause));
    this.#socket.on("close", () => {
      closed();
      this.#end(new Error("the connection was closed before the answer was whole"));
    });
    this.#socket.on("data", (chunk: Buffer) => this.#take(chunk));
  }

  async exchange({ method, path, headers, body }: Prepared): Promise<Answered> {
    let head = `${method} ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n`;
    for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`;
    return await new Promise((resolve, reject) => {
      this.#exchange = { resolve, reject };
      this.#socket.cork();
      this.#socket.write(`${head}\r\n`, "latin1");
      if (body.length > 0) this.#socket.write(body);
      this.#socket.uncork();
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #end(cause: Error): void {
    this.#exchange?.reject(cause);
    this.#exchange = null;
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    let answer: ReturnType<typeof readAnswer>;
    try {
      answer = readAnswer(this.#received);
    } catch (thrown) {
      this.#end(thrown instanceof Error ? thrown : new Error(String(thrown)));
      return;
    }
    if (answer === null) return;
    this.#received = Buffer.alloc(0);
    const { resolve } = this.#exchange ?? {};
    this.#exchange = null;
    if (answer.closes) {
      // Before anybody takes it for the next exchange: the event comes later.
      this.#closed();
      this.#socket.destroy();
    }
    resolve?.(answer);
  }
}

/** The answer in `bytes`, or null if it is not whole yet. @throws if its length cannot be told */
function readAnswer(bytes: Buffer): (Answered & { readonly closes: boolean }) | null {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const head = bytes.toString("latin1", 0, end).toLowerCase();
  const text = bodyOf(bytes.subarray(end + 4), head);
  if (text === null) return null;
  return {
    status: Number(head.slice(9, 12)),
    text,
    retryAfter: head.includes("\r\nretry-after:"),
    closes: head.includes("\r\nconnection: close"),
  };
}

function bodyOf(bytes: Buffer, head: string): string | null {
  const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
  if (length !== undefined) {
    return bytes.length < Number(length) ? null : bytes.toString("utf8", 0, Number(length));
  }
  if (!/\r\ntransfer-encoding: *chunked/.test(head)) throw new Error(`no length: ${head}`);
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const line = bytes.indexOf("\r\n", at);
    if (line < 0) return null;
    const size = Number.parseInt(bytes.toString("latin1", at, line), 16);
    const next = line + 2 + size + 2;
    if (bytes.length < next) return null;
    if (size === 0) return Buffer.concat(parts).toString("utf8");
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = next;
  }
}

/** A POST of JSON. */
export function postJson(path: string, value: object): Prepared {
  return post(path, "application/json", JSON.stringify(value));
}

/** A POST of any media type. */
export function post(path: string, contentType: string, body: string | Uint8Array): Prepared {
  const headers = {
    "content-type": contentType,
    "content-length": String(Buffer.byteLength(body)),
  };
  return { method: "POST", path, headers, body };
}

/** A GET. */
export function get(path: string): Prepared {
  return { method: "GET", path, headers: {}, body: "" };
}
