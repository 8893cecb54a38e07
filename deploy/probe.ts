/** Asks a running instance over HTTP how it is. */
import { get } from "node:http";

/** The status and the text of a GET to the instance's loopback port, or null if nobody answers in time. */
export function probe(
  port: number,
  path: string,
): Promise<{ readonly status: number; readonly text: string } | null> {
  return new Promise((resolve) => {
    const request = get(
      { host: "127.0.0.1", port, path, timeout: 3_000, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            text: Buffer.concat(chunks).toString("utf8"),
          }),
        );
        response.on("error", () => resolve(null));
      },
    );
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(null));
  });
}
