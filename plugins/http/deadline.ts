/** Ends exchanges that take too long, which Node does for the reading of HTTP/1 requests only. */
import type { ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";

/** A response of either protocol. */
export type Response = ServerResponse | Http2ServerResponse;

/** Destroys the connection (HTTP/2: the stream) of `response` after `ms`, unless it is closed or the result disposed before. */
export function endAfter(response: Response, ms: number): Disposable {
  const end = setTimeout(() => {
    if ("stream" in response) response.stream.destroy();
    else response.destroy();
  }, ms);
  const clear = (): void => clearTimeout(end);
  response.once("close", clear);
  return { [Symbol.dispose]: clear };
}
