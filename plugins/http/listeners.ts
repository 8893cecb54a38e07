/**
 * The servers under the routes: plain HTTP/1.1, and TLS with HTTP/1.1 and HTTP/2 by ALPN. Node's defaults wait for ever for slow
 * clients; these limits do not.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type ServerHttp2Session,
} from "node:http2";
import type { Duplex } from "node:stream";
import { createDeadlines } from "../../core/deadlines.ts";
import { secureContext } from "./credentials.ts";
import { endExchange, type Response } from "./deadline.ts";
import { refusalText } from "./families.ts";
import { allow } from "./gate.ts";
import type { Limits } from "./manifest.ts";
import { createPipelining } from "./pipelining.ts";

/** Serves one request of either protocol. */
export type Serve = (request: IncomingMessage | Http2ServerRequest, response: Response) => void;

/** Certificate chain and key, PEM. */
export interface Credentials {
  readonly certificate: string;
  readonly key: string;
}

/** A server that listens. */
export interface Listener extends AsyncDisposable {
  readonly port: number;
}

const checkIntervalMs = 1_000;
/** Routes refuse a slow body in their own words; this is for bodies that no route wants. */
const graceMs = 5_000;
const handshakeTimeoutMs = 10_000;
const maxHeaderBytes = 16_384;
const maxHeaders = 100;
/** Streams of one HTTP/2 connection: at once, and those that it may reset at once and every second. */
const maxStreams = 100;
const resetBurst = 200;
const resetsPerSecond = 20;
/** What one HTTP/2 connection may make us hold, in MB: unread responses of its streams above all. */
const maxSessionMegabytes = 4;
const drainMs = 15_000;

/** The plain server. */
export function createPlainServer(serve: Serve, limits: Limits): Server {
  const options = { ...timeouts(limits), maxHeaderSize: maxHeaderBytes };
  const answering = new WeakSet<Duplex>();
  const serving = bounded(serve, limits, answering);
  const server = createServer(options, serving);
  server.timeout = limits.idleTimeoutMs;
  return harden(server, serving, { limits, answering });
}

/** The TLS server. */
export function createTlsServer(
  serve: Serve,
  limits: Limits,
  credentials: Credentials,
): Http2SecureServer {
  const answering = new WeakSet<Duplex>();
  const serving = bounded(serve, limits, answering);
  const server = createSecureServer(
    {
      ...timeouts(limits),
      allowHTTP1: true,
      ...secureContext(credentials),
      handshakeTimeout: handshakeTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      maxHeaderListPairs: maxHeaders,
      maxSessionMemory: maxSessionMegabytes,
      streamResetBurst: resetBurst,
      streamResetRate: resetsPerSecond,
      settings: {
        maxConcurrentStreams: maxStreams,
        maxHeaderListSize: maxHeaderBytes,
        enablePush: false,
      },
    } as Parameters<typeof createSecureServer>[0], // the HTTP/1 options are read, though the types do not list them
    serving,
  );
  Object.assign(server, timeouts(limits));
  server.setTimeout(limits.idleTimeoutMs);
  server.on("session", (session) => boundSession(session, limits));
  return harden(server, serving, { limits, answering });
}

function timeouts(limits: Limits) {
  return {
    // Node wants it not to be longer than the next.
    headersTimeout: Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs),
    requestTimeout: limits.requestTimeoutMs + graceMs,
    connectionsCheckingInterval: Math.min(checkIntervalMs, limits.headersTimeoutMs),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
  };
}

/** What Node does for HTTP/1 connections alone: an end to silence, and to the number of requests. */
function boundSession(session: ServerHttp2Session, limits: Limits): void {
  // Nothing came and nothing went: a stream that is still open belongs to a client that does not read.
  session.setTimeout(limits.idleTimeoutMs, () => session.destroy());
  let requests = 0;
  session.on("stream", () => {
    if (++requests === limits.requestsPerConnection) session.close();
  });
}

/** Resolves once the server accepts connections. @throws if the address is taken or missing. */
export async function listen(
  server: Server | Http2SecureServer,
  host: string,
  port: number,
): Promise<Listener> {
  const sessions = new Set<ServerHttp2Session>();
  (server as Http2SecureServer).on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  server.listen({ host, port, ipv6Only: host.includes(":"), exclusive: true });
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    [Symbol.asyncDispose]: async () => await close(server, sessions),
  };
}

/** Accepts nothing more, finishes what was accepted, and after a while ends what does not finish. */
async function close(
  server: Server | Http2SecureServer,
  sessions: ReadonlySet<ServerHttp2Session>,
): Promise<void> {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  // Says goodbye (GOAWAY), finishes the streams that are open, and takes no more: clients such as gRPC's keep sessions for ever.
  for (const session of sessions) session.close();
  const end = setTimeout(() => {
    if ("closeAllConnections" in server) server.closeAllConnections();
    resolve();
  }, drainMs);
  using cleanup = new DisposableStack();
  cleanup.defer(() => clearTimeout(end));
  if ("closeIdleConnections" in server) server.closeIdleConnections();
  await closed;
}

/** `answering` has the connections on which an answer may be under way. */
function harden<S extends Server | Http2SecureServer>(
  server: S,
  serve: Serve,
  { limits, answering }: { readonly limits: Limits; readonly answering: WeakSet<Duplex> },
): S {
  server.maxConnections = limits.connections;
  Object.assign(server, {
    dropMaxConnection: true,
    maxHeadersCount: maxHeaders,
    maxRequestsPerSocket: limits.requestsPerConnection,
  });
  const emitter = server as Server; // both emit these events; their types share no overload
  // Node would answer by itself, without a word.
  emitter.on("checkExpectation", serve);
  emitter.on("connect", (_request: IncomingMessage, socket: Duplex) => socket.end(raw(405)));
  const pipelining = createPipelining();
  emitter.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (pipelining.takes(error, socket)) return;
    // Half a response may be out already; then more bytes would be taken for its rest.
    if (!socket.writable || error.code === "ECONNRESET" || answering.has(socket)) socket.destroy();
    else socket.end(raw(parserStatuses.get(error.code) ?? 400));
  });
  return server;
}

/** Ends an exchange that takes too long in whatever part, and takes note of connections while they are answered. */
function bounded(serve: Serve, { exchangeTimeoutMs }: Limits, answering: WeakSet<Duplex>): Serve {
  const deadlines = createDeadlines();
  return (request, response) => {
    const late = deadlines.after(exchangeTimeoutMs, () => endExchange(response));
    const socket = request.httpVersionMajor === 1 ? request.socket : null;
    if (socket !== null) answering.add(socket);
    response.on("close", () => {
      late.cancel();
      if (socket !== null) answering.delete(socket);
    });
    serve(request, response);
  };
}

/** Statuses of what Node's parser refuses; everything else it refuses is a 400. */
const parserStatuses: ReadonlyMap<string | undefined, number> = new Map([
  ["HPE_INVALID_METHOD", 501],
  ["HPE_HEADER_OVERFLOW", 431],
  ["ERR_HTTP_REQUEST_TIMEOUT", 408],
]);

/** A response without a request to answer. */
function raw(status: number): string {
  const text = `${refusalText(status)}\n`;
  const head = [
    `HTTP/1.1 ${status} Refused`,
    `Allow: ${allow}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${text.length}`,
    "X-Content-Type-Options: nosniff",
    `X-Request-Id: ${randomUUID().replaceAll("-", "")}`,
  ];
  return `${head.join("\r\n")}\r\n\r\n${text}`;
}
