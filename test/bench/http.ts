/** A lean HTTP client for load: kept-alive connections, whole bodies, nothing parsed that is not looked at. */
import { Agent, request } from "node:http";

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

/** Sends a prepared request; rejects if no whole answer comes in time. */
export type Send = (prepared: Prepared) => Promise<Answered>;

/** Longer than any deadline of the service: whoever waits this long has lost the answer. */
const patienceMs = 30_000;

/** Sends prepared requests to one origin over at most so many connections. */
export function sender(origin: string, connections: number): { readonly send: Send } & Disposable {
  const { hostname, port } = new URL(origin);
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const send: Send = ({ method, path, headers, body }) =>
    new Promise((resolve, reject) => {
      const sent = request(
        { agent, host: hostname, port, path, method, headers, timeout: patienceMs },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () =>
            resolve({
              status: response.statusCode ?? 0,
              text: Buffer.concat(chunks).toString("utf8"),
              retryAfter: response.headers["retry-after"] !== undefined,
            }),
          );
          response.on("error", reject);
        },
      );
      sent.on("timeout", () => sent.destroy(new Error("no answer in time")));
      sent.on("error", reject);
      sent.end(body);
    });
  return { send, [Symbol.dispose]: () => agent.destroy() };
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
