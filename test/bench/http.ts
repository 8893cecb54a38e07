/** A lean HTTP client for load: kept-alive connections, whole bodies, nothing parsed that is not looked at. */
import { Agent, request } from "node:http";

/** A request made beforehand. */
export interface Prepared {
  readonly path: string;
  readonly headers: Readonly<{ [name: string]: string }>;
  readonly body: string;
}

/** Posts prepared requests to one origin. */
export function poster(origin: string, connections: number) {
  const { hostname, port } = new URL(origin);
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const post = ({ path, headers, body }: Prepared): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const sent = request(
        { agent, host: hostname, port, path, method: "POST", headers },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () =>
            resolve({
              status: response.statusCode ?? 0,
              text: Buffer.concat(chunks).toString("utf8"),
            }),
          );
          response.on("error", reject);
        },
      );
      sent.on("error", reject);
      sent.end(body);
    });
  return { post, [Symbol.dispose]: () => agent.destroy() };
}
