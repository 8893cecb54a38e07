/** Clients that may say anything to a door, over a port or a Unix socket, in HTTP/1.1, the same inside TLS, and HTTP/2. */
import { Agent, request as plainRequest, type RequestOptions } from "node:http";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Where a door listens. */
export type Where = { readonly path: string } | { readonly port: number; readonly host: string };

/** A request as somebody would make it who has a library. */
export interface Wish {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<{ [name: string]: string }>;
  readonly body?: string | Uint8Array;
}

/** What came back. Status 0: nothing but the end of the connection or of the stream. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<{ [name: string]: string | undefined }>;
  readonly body: string;
}

/** Sends a request and waits for the answer. */
export type Transport = (wish: Wish) => Promise<Reply>;

/** HTTP/1.1, a connection a request. */
export function http1(where: Where): Transport {
  const createConnection = (): Socket => connect(where);
  return async (wish) => await exchange(wish, { createConnection }, { connection: "close" });
}

/** HTTP/1.1 over at most so many connections, each used again while the door lets it. */
export function keptAlive(where: Where, connections: number): Transport & Disposable {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const send: Transport = async (wish) => await exchange(wish, { ...where, agent }, {});
  return Object.assign(send, { [Symbol.dispose]: () => agent.destroy() });
}

async function exchange(
  { method, path, headers = {}, body = "" }: Wish,
  over: RequestOptions,
  fields: { readonly connection?: string },
): Promise<Reply> {
  const bytes = Buffer.from(body);
  const length = bytes.length > 0 || method === "POST" ? { "content-length": bytes.length } : {};
  const request = plainRequest({
    ...over,
    method,
    path,
    headers: { host: "localhost", ...fields, ...length, ...headers },
  });
  return await new Promise((resolve) => {
    request.on("error", () => resolve(nothing));
    request.on("response", (response) => {
      const parts: Uint8Array[] = [];
      response.on("data", (part: Uint8Array) => parts.push(part));
      response.on("error", () => resolve(nothing));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: flat(response.headers),
          body: Buffer.concat(parts).toString("latin1"),
        }),
      );
    });
    request.end(bytes);
  });
}

/** An HTTP/2 connection over TLS. */
export function openHttp2(where: Where): ClientHttp2Session {
  const session = connectHttp2("https://localhost", {
    createConnection: () =>
      connectTls({ ...where, rejectUnauthorized: false, ALPNProtocols: ["h2"] }),
  });
  session.on("error", () => undefined);
  return session;
}

/** REFUSED_STREAM of RFC 9113 §7. */
const refusedStream = 7;

/**
 * HTTP/2 over TLS, a stream a request. Header fields that HTTP/2 does not have are left out. What comes to a connection after the last
 * that it takes was not looked at, and is sent again (RFC 9113 §8.7).
 */
export function http2(where: Where): Transport & Disposable {
  let session = openHttp2(where);
  const sendOnce = async ({ method, path, headers = {}, body = "" }: Wish) => {
    if (session.closed || session.destroyed) session = openHttp2(where);
    const bytes = Buffer.from(body);
    const fields = Object.fromEntries(
      Object.entries(headers).filter(([name]) => !/^(?:host|connection)$/i.test(name)),
    );
    return await new Promise<Reply | "refused">((resolve) => {
      const stream = session.request(
        { ...fields, ":method": method, ":path": path, ":authority": "localhost" },
        { endStream: bytes.length === 0 },
      );
      let head: Reply | null = null;
      const parts: Uint8Array[] = [];
      stream.on("response", (said) => {
        head = { status: said[":status"] ?? 0, headers: flat(said), body: "" };
      });
      stream.on("data", (part: Uint8Array) => parts.push(part));
      stream.on("error", () => undefined);
      stream.on("close", () =>
        resolve(
          head
            ? { ...head, body: Buffer.concat(parts).toString("latin1") }
            : stream.rstCode === refusedStream
              ? "refused"
              : nothing,
        ),
      );
      if (bytes.length > 0) stream.end(bytes);
    });
  };
  const send: Transport = async (wish) => {
    const first = await sendOnce(wish);
    if (first !== "refused") return first;
    session.close();
    const again = await sendOnce(wish);
    return again === "refused" ? nothing : again;
  };
  return Object.assign(send, { [Symbol.dispose]: () => session.destroy() });
}

/** Sends bytes as they are, over a connection of their own, and takes apart everything that comes back before it is closed. */
export async function sendBytes(
  where: Where,
  bytes: string | Uint8Array,
  {
    secure = false,
    withinMs = 10_000,
  }: { readonly secure?: boolean; readonly withinMs?: number } = {},
): Promise<readonly Reply[]> {
  const socket = secure
    ? connectTls({ ...where, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] })
    : connect(where);
  const parts: Uint8Array[] = [];
  socket.on("data", (part: Uint8Array) => parts.push(part));
  socket.on("error", () => socket.destroy());
  socket.write(bytes);
  const patience = setTimeout(() => socket.destroy(), withinMs);
  await new Promise((resolve) => socket.once("close", resolve));
  clearTimeout(patience);
  return responses(Buffer.concat(parts).toString("latin1"));
}

const nothing: Reply = { status: 0, headers: {}, body: "" };

/** The responses in a stream of them; interim ones are left out. */
function responses(text: string): readonly Reply[] {
  const replies: Reply[] = [];
  for (let rest = text; rest.startsWith("HTTP/1.1 ");) {
    const [head = ""] = rest.split("\r\n\r\n", 1);
    const headers = Object.fromEntries(
      head
        .split("\r\n")
        .slice(1)
        .map((line) => [
          line.slice(0, line.indexOf(":")).toLowerCase(),
          line.slice(line.indexOf(":") + 1).trim(),
        ]),
    ) as Reply["headers"];
    const start = head.length + 4;
    const status = Number(head.slice(9, 12));
    const end = start + (status < 200 ? 0 : Number(headers["content-length"] ?? rest.length));
    if (status >= 200) replies.push({ status, headers, body: rest.slice(start, end) });
    rest = rest.slice(end);
  }
  return replies.length > 0 ? replies : [nothing];
}

function flat(headers: object): Reply["headers"] {
  return Object.fromEntries(
    Object.entries(headers as { [name: string]: unknown }).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : String(value),
    ]),
  );
}
