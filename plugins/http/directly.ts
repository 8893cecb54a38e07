/**
 * Sends what a route has answered over HTTP/1 in one go. The router's own way is for whatever its plugins may make of a reply (streams,
 * trailers, serializers, hooks), which nothing here does, and costs as much as all else of a small answer. What HTTP/2 and HEAD want of a
 * reply is left to the router.
 */
import type { OutgoingHttpHeaders } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { endAfter } from "./deadline.ts";
import type { Answered } from "./route.ts";

/** What besides the answer is sent, and how long it may take until it is gone. */
export interface Delivery {
  readonly requestId: string;
  /** True if the connection is not to be used again. */
  readonly isLast: boolean;
  readonly withinMs: number;
}

/** True if {@link sendDirectly} may answer the request so. */
export function goesDirectly({ raw }: FastifyRequest, { status }: Answered): boolean {
  return raw.httpVersionMajor === 1 && raw.method !== "HEAD" && status !== 204 && status !== 304;
}

/** Sends the answer, with the header fields that the reply has got until now, and takes the reply from the router. */
export function sendDirectly(
  reply: FastifyReply,
  { status, contentType, body, headers }: Answered,
  { requestId, isLast, withinMs }: Delivery,
): void {
  const { raw } = reply;
  // Its client is gone, or was told that it took too long.
  if (raw.headersSent || raw.destroyed) {
    reply.hijack();
    return;
  }
  const fields: { [name: string]: string | number | readonly string[] | undefined } = {
    ...reply.getHeaders(),
    "x-request-id": requestId,
    "content-type": contentType,
    "x-content-type-options": "nosniff",
    ...headers,
    "content-length": typeof body === "string" ? Buffer.byteLength(body) : body.length,
  };
  if (isLast) fields["connection"] = "close";
  raw.writeHead(status, fields as OutgoingHttpHeaders); // Node does not write to the lists
  // What cannot be sent has thrown by now, and the router still has the reply to say so.
  reply.hijack();
  raw.end(body);
  // Most are with the kernel by now; a client that does not read holds the others.
  if (!raw.writableFinished) endAfter(raw, withinMs);
}
