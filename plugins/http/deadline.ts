/** Ends exchanges that take too long, which Node does for the reading of HTTP/1 requests only. */
import type { ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";

/** A response of either protocol. */
export type Response = ServerResponse | Http2ServerResponse;

/** Ends `response` after `ms`, to the moment and with a timer of its own, unless it is closed or the result disposed before. */
export function endAfter(
  response: Response,
  ms: number,
  end = () => endExchange(response),
): Disposable {
  const timer = setTimeout(end, ms);
  const clear = (): void => clearTimeout(timer);
  // Closed once: nobody need take the listener away again.
  response.on("close", clear);
  return { [Symbol.dispose]: clear };
}

/** With the response goes the connection, or the stream in HTTP/2. */
export function endExchange(response: Response): void {
  if ("stream" in response) response.stream.destroy();
  else response.destroy();
}
