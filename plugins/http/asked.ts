/** A request as routes see it, of one that the router has taken apart. */
import type { FastifyRequest } from "fastify";
import { networkOf } from "../../core/formats/network.ts";
import { mediaTypeOf } from "./gate.ts";
import { parseParameters } from "./query.ts";
import type { Asked } from "./route.ts";

const noBody = new Uint8Array();

/** What a body may come to: its length if the client names one, else all that the route takes. */
export function mostBytes({ headers }: FastifyRequest, maxBytes: number): number {
  const length = headers["content-length"];
  return length === undefined ? maxBytes : Math.min(Number(length), maxBytes);
}

/** What the route is asked. */
export function askedBy(request: FastifyRequest): Asked {
  const { text = "" } = request.query as { text?: string }; // from our querystringParser
  return {
    path: request.params as { [name: string]: string }, // from the router
    query: parseParameters(text),
    authorization: request.headers.authorization,
    network: networkOf(request.socket.remoteAddress),
    body: request.body instanceof Uint8Array ? request.body : noBody,
    mediaType: mediaTypeOf(request.headers["content-type"]) ?? "",
    raw: {
      method: request.method,
      target: request.raw.url ?? "",
      headers: request.headers,
      address: request.socket.remoteAddress ?? "",
    },
  };
}
