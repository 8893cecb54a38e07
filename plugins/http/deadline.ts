/** Ends exchanges that take too long, which Node does for the reading of HTTP/1 requests only. */
import type { ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import type { Deadlines } from "../../core/deadlines.ts";

/** A response of either protocol. */
export type Response = ServerResponse | Http2ServerResponse;

/** Ends `response` after `ms`, unless it is closed or the result disposed before. */
export function endAfter(
  response: Response,
  ms: number,
  { deadlines, end = () => destroy(response) }: Ending,
): Disposable {
  const deadline = deadlines.after(ms, end);
  const cancel = (): void => deadline.cancel();
  response.once("close", cancel);
  return { [Symbol.dispose]: cancel };
}

/** With what an exchange is ended, and how; its connection or stream goes unless something else is said. */
interface Ending {
  readonly deadlines: Deadlines;
  readonly end?: () => void;
}

/** With it goes the connection, or the stream in HTTP/2. */
function destroy(response: Response): void {
  if ("stream" in response) response.stream.destroy();
  else response.destroy();
}
