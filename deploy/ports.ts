/** Finding out about TCP ports of this machine. */
import { createServer } from "node:net";

/** Whether this process may listen on `port` of the loopback addresses: it may, something does already, or the system forbids it. */
export async function stateOfPort(port: number): Promise<"free" | "busy" | "forbidden"> {
  const hosts = ["127.0.0.1", "::1"];
  const outcomes = await Promise.all(hosts.map(async (host) => await canListen(port, host)));
  if (outcomes.includes("EADDRINUSE")) return "busy";
  return outcomes.includes("EACCES") ? "forbidden" : "free";
}

/** True if nothing listens on `port` of the loopback addresses. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await stateOfPort(port)) !== "busy";
}

/** A port that was free a moment ago, never one in `taken`. */
export async function pickPort(taken: readonly number[]): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve, reject) => {
      const server = createServer();
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
      });
    });
    if (port > 0 && !taken.includes(port)) return port;
  }
}

/** `EADDRINUSE`, another error code (no IPv6 here, say), or null if listening worked. */
function canListen(port: number, host: string): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown"));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(null)));
  });
}
