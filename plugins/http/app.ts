/** The routes behind fastify's router: admission, body limits, media types, traces, and errors in each API's own words. */
import { randomInt, randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from "fastify";
import { createDeadlines, type Deadlines } from "../../core/deadlines.ts";
import { networkOf } from "../../core/formats/network.ts";
import type { Context } from "../../core/plugin.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { Failure } from "../../events/failure.ts";
import type { Admission } from "./admission.ts";
import { askedBy, mostBytes } from "./asked.ts";
import { endAfter } from "./deadline.ts";
import { Entered } from "./entered.ts";
import { goesDirectly, sendDirectly } from "./directly.ts";
import { textFamily } from "./families.ts";
import { isAcceptable } from "./gate.ts";
import type { Limits } from "./manifest.ts";
import type { DoorMeter } from "./meter.ts";
import { type Rate, retryAfterMs } from "./rate.ts";
import type { Refusals } from "./refusals.ts";
import type { Answered, Family, Route } from "./route.ts";

/** What serving needs. */
export interface Serving {
  readonly routes: readonly Route[];
  readonly admission: Admission;
  /** What clients are told of; null if nobody can come too often. */
  readonly rate: Rate | null;
  /** Takes down what no room has heard of. */
  readonly refusals: Refusals;
  readonly limits: Pick<Limits, "requestTimeoutMs" | "responseTimeoutMs">;
  /** Aborted once connections are not to be used again. */
  readonly draining: AbortSignal;
  readonly trace: Context["trace"];
  readonly meter: DoorMeter;
  readonly journal: Context["journal"];
}

/** Serving, and what of it is the router's own. */
interface Sending extends Serving {
  readonly deadlines: Deadlines;
  /** Bodies that are text, until they are sent. */
  readonly texts: WeakMap<FastifyReply, string>;
}

/** The router, ready to serve the requests of any server. */
export interface App extends AsyncDisposable {
  readonly serve: (request: IncomingMessage, response: ServerResponse) => void;
}

/** Methods that a path may be asked for by, besides those it has a route for. */
const otherMethods = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/** Fetch §3.3: pages of every origin may read the answer. */
const anyOrigin = ["access-control-allow-origin", "*"] as const;
const noBytes = Buffer.alloc(0);
const emptyBodyLimit = 1;

/** Builds the router. */
export async function createApp(given: Serving): Promise<App> {
  const serving: Sending = { ...given, deadlines: createDeadlines(), texts: new WeakMap() };
  const app = fastify({
    logger: false,
    trustProxy: false,
    requestIdHeader: false,
    genReqId: requestIds(),
    return503OnClosing: false,
    bodyLimit: emptyBodyLimit,
    routerOptions: {
      maxParamLength: 256,
      // Parsed by the handler, where a refusal has the API's own words.
      querystringParser: (text) => ({ text }),
    },
  });
  app.decorateRequest("entered", null);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const { family = textFamily } = request.routeOptions.config as { family?: Family }; // set by addRoute alone
    refuse(reply, family, { status: statusOf(error) }, serving);
  });
  app.addHook("onSend", (request, reply, body, done) => {
    endAfter(reply.raw, serving.limits.responseTimeoutMs);
    if (serving.draining.aborted && request.raw.httpVersionMajor === 1) {
      void reply.header("connection", "close");
    }
    done(null, serving.texts.get(reply) ?? body);
  });
  app.addHook("onResponse", ({ method, routeOptions: { url } }, reply, done) => {
    const route = url === "*" ? undefined : url;
    const seconds = reply.elapsedTime / 1_000;
    serving.meter.request({ method, route, status: reply.statusCode, seconds });
    done();
  });
  for (const route of serving.routes) addRoute(app, route, serving);
  for (const path of new Set(serving.routes.map((route) => route.path)))
    refuseOthers(app, path, serving);
  refuseUnknown(app, serving);
  await app.ready();
  return {
    serve: (request, response) => app.routing(request, response),
    [Symbol.asyncDispose]: async () => await app.close(),
  };
}

function addRoute(app: FastifyInstance, route: Route, serving: Sending): void {
  const { family, body } = route;
  const { admission, deadlines, limits, rate } = serving;
  const lane = route.probe === true ? "probe" : body === undefined ? "read" : "write";
  const accepted = body && [body.mediaType, ...(body.alternatives ?? [])];
  app.route({
    method: route.method,
    url: route.path,
    config: { family },
    ...(body !== undefined && { bodyLimit: body.maxBytes }),
    // Before the body is read: what is refused here is not uploaded.
    onRequest(request, reply, done) {
      const { "content-type": type, "content-encoding": encoding } = request.headers;
      if (family.crossOrigin) void reply.header(...anyOrigin);
      if (accepted?.some((mediaType) => isAcceptable(mediaType, type, encoding)) === false) {
        refuse(reply, family, { status: 415 }, serving);
        return;
      }
      const bodyBytes = body === undefined ? 0 : mostBytes(request, body.maxBytes);
      const address = request.socket.remoteAddress;
      const admitted = admission.enter({ address, lane, bodyBytes });
      if (rate !== null) void reply.headers(rate.headers(address));
      if ("status" in admitted) {
        refuse(reply, family, admitted, serving);
        return;
      }
      const entered = new Entered(admitted);
      reply.raw.on("close", () => entered[Symbol.dispose]());
      (request as Enterable).entered = entered;
      if (body !== undefined) {
        // Node has a limit for this in HTTP/1 alone, and nothing to say when it is reached.
        const late = (): void => refuse(reply, family, { status: 408 }, serving);
        entered.upload(deadlines.after(limits.requestTimeoutMs, late));
      }
      done();
    },
    // Gives no promise: the router would keep two of its own behind it.
    handler: (request, reply) => void serve(route, request, reply, serving),
  });
}

/** Ids of 32 hex digits: chance once, then counted, because most are replaced by the trace's and never seen. */
function requestIds(): () => string {
  const prefix = randomUUID().replaceAll("-", "").slice(0, 20);
  let count = 0;
  return () => prefix + (count++).toString(16).padStart(12, "0");
}

/** The router's requests all have the member from the start. */
type Enterable = FastifyRequest & { entered?: Entered | null };

/**
 * Serves a request, or says that it waited too long. All of it in one function, because every function that waits is kept as long as the
 * request is under way, and what is kept is copied and looked at by the collector. Never rejects.
 */
async function serve(
  route: Route,
  request: Enterable,
  reply: FastifyReply,
  serving: Sending,
): Promise<void> {
  try {
    if ((await request.entered?.turn()) !== true) {
      shed(route, request, reply, serving);
      return;
    }
    const { traceparent } = request.headers;
    const part = serving.trace(typeof traceparent === "string" ? traceparent : undefined);
    let answered: Answered;
    try {
      answered = await part.run(answer, route, request);
    } catch (thrown) {
      answered = refusal(thrown, { route, request, trace: part.trace }, serving);
    } finally {
      part.end();
    }
    deliver(request, reply, { answered, trace: part.trace }, serving);
  } catch (thrown) {
    // The router's word for whatever kept us from an answer of our own.
    if (!reply.sent) void reply.send(thrown);
  }
}

function deliver(
  request: FastifyRequest,
  reply: FastifyReply,
  { answered, trace }: { readonly answered: Answered; readonly trace: string },
  serving: Sending,
): void {
  // The trace id is the request id: one name to find it by in every journal.
  const requestId = trace.slice(3, 35);
  if (!goesDirectly(request, answered)) {
    send(reply.header("x-request-id", requestId), answered, serving);
    return;
  }
  const { draining, limits } = serving;
  const delivery = { requestId, isLast: draining.aborted, withinMs: limits.responseTimeoutMs };
  sendDirectly(reply, answered, delivery);
}

/** It waited too long, as many do under overload: they are counted and have no line each. */
function shed(route: Route, request: FastifyRequest, reply: FastifyReply, serving: Sending): void {
  serving.refusals.shed(route, 503, networkOf(request.socket.remoteAddress));
  send(reply.header("x-request-id", request.id), withRetry(route.family.word(503, null)), serving);
}

function answer(route: Route, request: FastifyRequest): Promise<Answered> {
  const asked = askedBy(request);
  // The router needs it no more, and would keep it until the end.
  request.body = undefined;
  return route.handle(asked);
}

/** The word of the route's API for why it does not answer. */
function refusal(
  thrown: unknown,
  { route, request, trace }: Refused,
  { journal, refusals }: Sending,
): Answered {
  const failure =
    thrown instanceof Malformed ? new Failure("malformed", thrown.message) : Failure.from(thrown);
  const { code, message: reason } = failure;
  refusals.note(route, failure, networkOf(request.socket.remoteAddress));
  const status = route.family.statuses[code];
  const about = { route: route.path, status, code, reason, trace };
  if (status === 500) journal.error("request-failed", { ...about, cause: causeOf(failure) });
  else journal.info("request-refused", about);
  return withRetry(route.family.word(status, code), retryAfterMs(failure));
}

interface Refused {
  readonly route: Route;
  readonly request: FastifyRequest;
  readonly trace: string;
}

/** Paths exist for other methods too, to say so: 405 with `Allow`. */
function refuseOthers(app: FastifyInstance, path: string, serving: Sending): void {
  const here = serving.routes.filter((route) => route.path === path);
  const methods: readonly string[] = here.map((route) => route.method);
  const allowed = methods.includes("GET")
    ? ["GET", "HEAD", ...methods.filter((one) => one !== "GET")]
    : methods;
  const unserved = [...(methods.includes("GET") ? [] : ["GET"]), ...otherMethods].filter(
    (one) => !methods.includes(one),
  );
  const family = here[0]?.family ?? textFamily;
  app.route({
    method: unserved,
    url: path,
    config: { family },
    onRequest(request, reply) {
      void reply.header("allow", allowed.join(", "));
      if (family.crossOrigin && isPreflight(request)) admitPage(reply, allowed);
      else refuse(reply, family, { status: 405 }, serving);
    },
    handler: () => {},
  });
}

/** A browser asks before a page of another origin may send anything but a plain request (Fetch §4.8). */
function isPreflight({ method, headers }: FastifyRequest): boolean {
  return (
    method === "OPTIONS" &&
    headers.origin !== undefined &&
    headers["access-control-request-method"] !== undefined
  );
}

function admitPage(reply: FastifyReply, methods: readonly string[]): void {
  void reply
    .code(204)
    .header(...anyOrigin)
    .header("access-control-allow-methods", methods.join(", "))
    .header("access-control-allow-headers", "accept, authorization, content-type")
    .header("access-control-max-age", "600")
    .send();
}

/** Every other path, before a body to it is read. */
function refuseUnknown(app: FastifyInstance, serving: Sending): void {
  app.route({
    method: ["GET", ...otherMethods],
    url: "*",
    onRequest: (_request, reply) => refuse(reply, textFamily, { status: 404 }, serving),
    handler: () => {},
  });
}

function refuse(
  reply: FastifyReply,
  family: Family,
  { status, retryAfterMs }: { readonly status: number; readonly retryAfterMs?: number },
  sending: Sending,
): void {
  const { method, id, routeOptions } = reply.request;
  sending.journal.info("request-refused", {
    route: routeOptions.url ?? "none",
    method,
    status,
    request: id,
  });
  void reply.header("x-request-id", id);
  // Whatever of the body is still to come is not wanted. HTTP/2 has no such header, and resets the stream instead.
  const uploads = method !== "GET" && method !== "HEAD";
  if (reply.request.raw.httpVersionMajor !== 1) void reply.removeHeader("connection");
  else if (uploads) void reply.header("connection", "close");
  send(reply, withRetry(family.word(status, null), retryAfterMs), sending);
}

function send(reply: FastifyReply, answered: Answered, sending: Sending): void {
  void reply.send(head(reply, answered, sending));
}

/** Writes status and header fields, and gives the body as fastify takes it. */
function head(reply: FastifyReply, answered: Answered, { texts }: Sending): Uint8Array {
  const { status, contentType, body, headers } = answered;
  void reply
    .code(status)
    .header("content-type", contentType)
    .header("x-content-type-options", "nosniff");
  for (const [name, value] of Object.entries(headers ?? {})) {
    void reply.header(name, typeof value === "string" ? value : [...value]);
  }
  if (typeof body !== "string") return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  // Put in its place when it is sent: to text fastify would add a charset that JSON does not have (RFC 8259 §11), and bytes would be a
  // copy that Node does not send in one piece with the header.
  texts.set(reply, body);
  return noBytes;
}

/** Overload and absence pass: says when to come back, spread so that not everybody comes at once. */
function withRetry(answered: Answered, afterMs = 0): Answered {
  if (answered.status !== 429 && answered.status !== 503) return answered;
  const seconds = Math.floor(afterMs / 1_000) + randomInt(1, 6);
  return { ...answered, headers: { ...answered.headers, "retry-after": String(seconds) } };
}

/** Errors of fastify itself, all before a handler runs: too large, no such type, cut short. */
function statusOf({ statusCode }: FastifyError): number {
  return statusCode === 413 || statusCode === 415 || statusCode === 400 ? statusCode : 500;
}

function causeOf(failure: Failure): string {
  const { cause } = failure;
  return cause instanceof Error ? (cause.stack ?? cause.message) : failure.message;
}
