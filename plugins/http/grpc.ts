/**
 * gRPC on the TLS listener (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), on the same authority as REST, because
 * sigstore-java knows one address. Calls pass the same gate and the same admission as every request, and their errors are as quiet:
 * a code and one of Fulcio's texts.
 */
import { randomInt, randomUUID } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import {
  Code,
  ConnectError,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { networkOf } from "../../core/formats/network.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Context } from "../../core/plugin.ts";
import { Failure } from "../../events/failure.ts";
import type { Admission, Lane } from "./admission.ts";
import { endAfter } from "./deadline.ts";
import { fulcioFamily, fulcioStatus, fulcioTexts, refusalText } from "./families.ts";
import { fulcioService, networkKey } from "./fulcio-grpc.ts";
import { maxRequestBytes } from "./fulcio-request.ts";
import { healthService } from "./grpc-health.ts";
import type { Limits } from "./manifest.ts";
import type { DoorMeter } from "./meter.ts";
import { CA } from "./proto/fulcio-messages.ts";
import { Health } from "./proto/health-messages.ts";
import { retryAfterMs } from "./rate.ts";
import type { Refusals } from "./refusals.ts";
import type { Put } from "./route.ts";

/** What serving calls needs. */
export interface Calls {
  readonly ask: Put;
  readonly admission: Admission;
  readonly limits: Pick<Limits, "requestTimeoutMs">;
  /** Aborted once connections are not to be used again. */
  readonly draining: AbortSignal;
  readonly trace: Context["trace"];
  readonly journal: Context["journal"];
  readonly meter: DoorMeter;
  /** Takes down what no room has heard of. */
  readonly refusals: Refusals;
}

/** Serves one call. */
export type ServeCall = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

/** True for what is a gRPC call and not a request for a route. */
export function isCall(headers: IncomingHttpHeaders): boolean {
  return /^application\/grpc(?![a-z0-9-])/i.test(headers["content-type"] ?? "");
}

/** The encoding of messages that is read: no JSON, which has another grammar than ours. */
const mediaType = /^application\/grpc(?:\+proto)?$/i;
const createMethod = CA.method.createSigningCertificate;

/** What is said of calls that no room has looked at. */
const texts: { readonly [code in Code]?: string } = {
  [Code.InvalidArgument]: refusalText(400),
  [Code.NotFound]: "unknown service",
  [Code.ResourceExhausted]: refusalText(429),
  [Code.Unimplemented]: "method or encoding not implemented",
  [Code.DeadlineExceeded]: refusalText(504),
  [Code.Unavailable]: refusalText(503),
  [Code.Canceled]: "cancelled",
};
const tooLarge = refusalText(413);
const sayable = new Set([...fulcioTexts, ...Object.values(texts), tooLarge, refusalText(500)]);

/** What refusals are taken down as: any other call has nothing that a room has not heard of. */
const certificateCall = {
  family: fulcioFamily,
  body: { mediaType: "application/grpc", maxBytes: maxRequestBytes },
};

/** Stops the clock that an upload has. */
const uploadKey = createContextKey<Disposable | null>(null);

/** Builds the server of calls. */
export function createCalls(calls: Calls): ServeCall {
  const router = createConnectRouter({
    grpc: true,
    grpcWeb: false,
    connect: false,
    acceptCompression: [],
    readMaxBytes: maxRequestBytes,
    interceptors: [traced(calls)],
  });
  router.service(CA, fulcioService(calls.ask));
  router.service(Health, healthService(calls.draining));
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    if (request.method !== "POST" || !mediaType.test(request.headers["content-type"] ?? "")) {
      response.writeHead(415, { "content-type": "text/plain; charset=utf-8" });
      response.end(`${refusalText(415)}\n`);
      return;
    }
    const handler = handlers.get(request.url);
    if (handler === undefined) end(response, { code: Code.Unimplemented });
    else serve(calls, handler, { request, response });
  };
}

function serve(
  { admission, limits, journal, meter }: Calls,
  handler: UniversalHandler,
  { request, response }: { request: Http2ServerRequest; response: Http2ServerResponse },
): void {
  const startedAt = performance.now();
  const stream = handler.method.methodKind !== "unary";
  const about = { service: handler.service.typeName, method: handler.method.name, stream };
  const count = (code: number): void =>
    meter.call({ ...about, code, seconds: (performance.now() - startedAt) / 1_000 });
  const refuse = (code: Code, retryAfterMs = 0): void => {
    count(code);
    end(response, { code, retryAfterMs });
  };
  const admitted = admission.enter({
    address: request.socket.remoteAddress,
    lane: laneOf(handler),
    bodyBytes: maxRequestBytes,
  });
  if ("status" in admitted) {
    const code = admitted.status === 429 ? Code.ResourceExhausted : Code.Unavailable;
    journal.info("call-refused", { call: request.url, code: admitted.status });
    refuse(code, admitted.retryAfterMs);
    return;
  }
  response.once("close", () => admitted[Symbol.dispose]());
  const late = (): void => refuse(Code.DeadlineExceeded);
  const upload = endAfter(response, limits.requestTimeoutMs, late);
  const values = createContextValues()
    .set(uploadKey, upload)
    .set(networkKey, networkOf(request.socket.remoteAddress));
  const call = async (): Promise<void> => {
    if (!(await admitted.turn())) {
      refuse(Code.Unavailable);
      return;
    }
    const read = universalRequestFromNodeRequest(request, response, undefined, values);
    const answered = await handler(read);
    if (response.headersSent) return;
    response.stream.once("wantTrailers", () => {
      if (!request.readableEnded) stopUpload(response);
    });
    await universalResponseToNodeResponse(quiet(answered, count), response);
  };
  call().catch((cause: unknown) => {
    // The client has left in the middle of its call.
    journal.info("call-ended", { call: request.url, cause });
    response.stream.destroy();
  });
}

function laneOf({ service, method }: UniversalHandler): Lane {
  if (service.typeName === Health.typeName) return "probe";
  return method.name === createMethod.name ? "write" : "read";
}

/** Runs each call as one traced request, within its deadline, and words what it throws. */
function traced({ trace, journal, refusals }: Calls): Interceptor {
  return (next) => async (request) => {
    request.contextValues.get(uploadKey)?.[Symbol.dispose]();
    const traceparent = request.header.get("traceparent") ?? undefined;
    const part = trace(traceparent);
    const id = { "x-request-id": part.trace.split("-")[1] ?? "" };
    try {
      const answer = await Promise.race([part.run(next, request), ending(request.signal)]);
      for (const [name, value] of Object.entries(id)) answer.header.set(name, value);
      return answer;
    } catch (thrown) {
      if (thrown instanceof ConnectError) throw thrown;
      const failure =
        thrown instanceof Malformed
          ? new Failure("malformed", thrown.message)
          : Failure.from(thrown);
      refusals.note(certificateCall, failure, request.contextValues.get(networkKey));
      const { code, message } = fulcioStatus(failure.code);
      const { cause } = failure;
      const about = { call: request.url, code: failure.code, reason: failure.message, trace: id };
      if (code === Number(Code.Internal)) journal.error("call-failed", { ...about, cause });
      else journal.info("call-refused", about);
      throw new ConnectError(message, code, {
        ...id,
        ...(code in retried && retry(retryAfterMs(failure))),
      });
    } finally {
      part.end();
    }
  };
}

/** Rejects when the client's deadline passes or it leaves: what has begun goes on, but nobody waits for it. */
async function ending(signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    const end = (): void => reject(asError(signal.reason));
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new ConnectError("cancelled", Code.Canceled);
}

/** The answer with nothing in its trailer that a library said: a text of ours, and no details. */
function quiet(
  answered: UniversalServerResponse,
  ended: (code: number) => void,
): UniversalServerResponse {
  const { body, trailer } = answered;
  if (trailer === undefined || body === undefined || body === null) return answered;
  const read = async function* () {
    yield* body;
    const code = Number(trailer.get("grpc-status") ?? 0);
    ended(code);
    if (code === 0) return;
    trailer.delete("grpc-status-details-bin");
    const message = decodeURIComponent(trailer.get("grpc-message") ?? "");
    const isTooLarge = code === Number(Code.ResourceExhausted);
    const instead = isTooLarge ? tooLarge : (textOf(code) ?? refusalText(500));
    // Our texts are ASCII without "%", so they are written as they are: clients disagree on which escapes they undo.
    trailer.set("grpc-message", sayable.has(message) ? message : instead);
  };
  return { ...answered, body: read() };
}

function textOf(code: number): string | undefined {
  return Object.entries(texts).find(([known]) => known === String(code))?.[1];
}

/** Ends a call that no service has seen: status and text in the one header that there is. */
function end(
  response: Http2ServerResponse,
  { code, retryAfterMs }: { readonly code: Code; readonly retryAfterMs?: number },
): void {
  if (response.headersSent) {
    response.stream.destroy();
    return;
  }
  const { stream } = response;
  const fields = {
    ":status": 200,
    "content-type": "application/grpc",
    "grpc-status": String(code),
    "grpc-message": textOf(code) ?? refusalText(500),
    "x-request-id": randomUUID().replaceAll("-", ""),
    ...(code in retried && retry(retryAfterMs ?? 0)),
  };
  // The header ends the stream: clients read a status only from the last header of a call.
  stream.respond(fields, { endStream: true });
  stopUpload(response);
}

/** Whatever of a message is still to come is not wanted. A reset in the same tick would take the answer back. */
function stopUpload({ stream }: Http2ServerResponse): void {
  setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
}

/** Codes that pass. */
const retried = { [Code.ResourceExhausted]: true, [Code.Unavailable]: true };

/** When to come back, in HTTP's words and in gRPC's (proposal A6), spread so that not everybody comes at once. */
function retry(afterMs: number): { readonly [name: string]: string } {
  const seconds = Math.floor(afterMs / 1_000) + randomInt(1, 6);
  return { "retry-after": String(seconds), "grpc-retry-pushback-ms": String(seconds * 1_000) };
}
