/**
 * The servers under the routes: plain HTTP/1.1, and TLS with HTTP/1.1 and HTTP/2 by ALPN. Node's defaults wait for ever for slow
 * clients; these limits do not.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { Duplex } from "node:stream";
import { allow } from "./gate.ts";

/** Serves one request of either protocol. */
export type Serve = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

/** Certificate chain and key, PEM. */
export interface Credentials {
  readonly certificate: string;
  readonly key: string;
}

/** A server that listens. */
export interface Listener extends AsyncDisposable {
  readonly port: number;
}

const headersTimeoutMs = 10_000;
const requestTimeoutMs = 20_000;
const checkIntervalMs = 1_000;
const keepAliveTimeoutMs = 5_000;
const idleTimeoutMs = 30_000;
const handshakeTimeoutMs = 10_000;
const maxHeaderBytes = 16_384;
const maxHeaders = 100;
const maxRequestsPerSocket = 1_000;
const maxStreams = 100;
/** From the end of the headers to the last byte of the response: the longest ask and a slow reader. */
const exchangeTimeoutMs = 45_000;
const drainMs = 20_000;

const timeouts = {
  headersTimeout: headersTimeoutMs,
  requestTimeout: requestTimeoutMs,
  connectionsCheckingInterval: checkIntervalMs,
  keepAliveTimeout: keepAliveTimeoutMs,
};

/** The plain server. */
export function createPlainServer(serve: Serve, maxConnections: number): Server {
  const server = createServer({ ...timeouts, maxHeaderSize: maxHeaderBytes }, bounded(serve));
  server.timeout = idleTimeoutMs;
  return harden(server, maxConnections);
}

/** The TLS server. */
export function createTlsServer(
  serve: Serve,
  maxConnections: number,
  credentials: Credentials,
): Http2SecureServer {
  const server = createSecureServer(
    {
      ...timeouts,
      allowHTTP1: true,
      cert: credentials.certificate,
      key: credentials.key,
      minVersion: "TLSv1.2",
      handshakeTimeout: handshakeTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      maxHeaderListPairs: maxHeaders,
      settings: {
        maxConcurrentStreams: maxStreams,
        maxHeaderListSize: maxHeaderBytes,
        enablePush: false,
      },
    } as Parameters<typeof createSecureServer>[0], // the HTTP/1 options are read, though the types do not list them
    bounded(serve),
  );
  Object.assign(server, timeouts);
  server.setTimeout(idleTimeoutMs);
  server.on("session", (session) => session.setTimeout(idleTimeoutMs, () => session.close()));
  return harden(server, maxConnections);
}

/** Resolves once the server accepts connections. @throws if the address is taken or missing. */
export async function listen(
  server: Server | Http2SecureServer,
  host: string,
  port: number,
): Promise<Listener> {
  server.listen({ host, port, ipv6Only: host.includes(":"), exclusive: true });
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    [Symbol.asyncDispose]: async () => await close(server),
  };
}

/** Accepts nothing more, finishes what was accepted, and after a while ends what does not finish. */
async function close(server: Server | Http2SecureServer): Promise<void> {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  const end = setTimeout(() => {
    if ("closeAllConnections" in server) server.closeAllConnections();
    resolve();
  }, drainMs);
  using cleanup = new DisposableStack();
  cleanup.defer(() => clearTimeout(end));
  if ("closeIdleConnections" in server) server.closeIdleConnections();
  await closed;
}

function harden<S extends Server | Http2SecureServer>(server: S, maxConnections: number): S {
  server.maxConnections = maxConnections;
  Object.assign(server, {
    dropMaxConnection: true,
    maxHeadersCount: maxHeaders,
    maxRequestsPerSocket,
  });
  const emitter = server as Server; // both emit these two events; their types share no overload
  emitter.on("connect", (_request: IncomingMessage, socket: Duplex) => socket.end(raw(405)));
  const answering = new WeakSet<Duplex>();
  emitter.on("request", ({ httpVersionMajor, socket }, response) => {
    if (httpVersionMajor !== 1) return;
    answering.add(socket);
    response.once("close", () => answering.delete(socket));
  });
  emitter.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    // Half a response may be out already; then more bytes would be taken for its rest.
    if (!socket.writable || error.code === "ECONNRESET" || answering.has(socket)) socket.destroy();
    else socket.end(raw(parserStatuses.get(error.code) ?? 400));
  });
  return server;
}

/** Ends an exchange that takes too long: there is no write deadline in Node. */
function bounded(serve: Serve): Serve {
  return (request, response) => {
    const end = setTimeout(() => {
      if ("stream" in response) response.stream.destroy();
      else response.destroy();
    }, exchangeTimeoutMs);
    response.once("close", () => clearTimeout(end));
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
  return `HTTP/1.1 ${status} Refused\r\nAllow: ${allow}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
}
