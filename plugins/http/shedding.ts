/**
 * Refuses writes that there is no room for, before the router, the body or a trace has cost anything: what is spent on those who must
 * come back is taken from those who are served. The answer is the API's own, made once; a short body is left to Node to throw away,
 * so that the connection can be used again, because a new one would cost more than the refusal.
 */
import { randomInt, randomUUID } from "node:crypto";
import { networkOf } from "../../core/formats/network.ts";
import { decodeUtf8 } from "../../core/formats/encoding.ts";
import type { Context } from "../../core/plugin.ts";
import type { Admission, Refused } from "./admission.ts";
import type { Serve } from "./listeners.ts";
import type { Rate } from "./rate.ts";
import type { Refusals } from "./refusals.ts";
import type { Route } from "./route.ts";

/** Refuses, or leaves the request alone. */
export interface Shedding extends Disposable {
  /** True if the request has been refused. */
  refuses(...exchange: Parameters<Serve>): boolean;
}

/** What shedding needs. */
export interface SheddingNeeds {
  readonly routes: readonly Route[];
  readonly admission: Admission;
  readonly rate: Rate | null;
  readonly refusals: Pick<Refusals, "shed">;
  readonly journal: Context["journal"];
}

/** A longer body than this is not waited for: the connection is closed. */
const maxDiscardedBytes = 65_536;
const tellEveryMs = 1_000;

/** Sheds writes to the routes whose paths have no variables. */
export function createShedding({
  routes,
  admission,
  rate,
  refusals,
  journal,
}: SheddingNeeds): Shedding {
  const writes = new Map(
    routes.flatMap((route) =>
      route.body !== undefined && !/[:*]/.test(route.path) ? [[route.path, prepare(route)]] : [],
    ),
  );
  let shed = 0;
  // One line a second, however many they are.
  const timer = setInterval(() => {
    if (shed > 0) journal.info("requests-shed", { count: shed });
    shed = 0;
  }, tellEveryMs);
  timer.unref();

  return {
    refuses(request, response) {
      const write = request.method === "POST" ? writes.get(request.url ?? "") : undefined;
      if (write === undefined) return false;
      const length = Number(request.headers["content-length"] ?? Number.NaN);
      const bodyBytes = Number.isNaN(length) ? write.maxBytes : Math.min(length, write.maxBytes);
      const address = request.socket.remoteAddress;
      const refusal = admission.refusal({ address, lane: "write", bodyBytes });
      if (refusal === null) return false;
      shed += 1;
      refusals.shed(write, refusal.status, networkOf(address));
      const answer = write.answers[refusal.status];
      const headers = {
        ...answer.headers,
        ...rate?.headers(address),
        "retry-after": retryAfter(refusal),
        "x-request-id": randomUUID().replaceAll("-", ""),
      };
      if ("stream" in response) response.writeHead(refusal.status, headers).end(answer.body);
      else {
        const closes = !(length <= maxDiscardedBytes) && { connection: "close" };
        response.writeHead(refusal.status, { ...headers, ...closes }).end(answer.body);
      }
      return true;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** The answers of a route's API to whoever must come back. */
function prepare({ family, body }: Route) {
  const answer = (status: Refused["status"]) => {
    const { contentType, body: worded, headers } = family.word(status, null);
    // As text, which Node sends in one piece with the header.
    const text = typeof worded === "string" ? worded : decodeUtf8(worded);
    return {
      body: text,
      headers: {
        "content-type": contentType,
        "content-length": Buffer.byteLength(text),
        "x-content-type-options": "nosniff",
        ...(family.crossOrigin && { "access-control-allow-origin": "*" }),
        ...headers,
      },
    };
  };
  return { family, maxBytes: body?.maxBytes ?? 0, answers: { 429: answer(429), 503: answer(503) } };
}

/** Spread, so that not everybody comes back at once. */
function retryAfter({ retryAfterMs }: Refused): string {
  return String(Math.floor(retryAfterMs / 1_000) + randomInt(1, 6));
}
