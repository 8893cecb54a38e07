/** Finding out about TCP ports of this machine. */
import { randomInt } from "node:crypto";
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

/**
 * A free port, never one in `taken`. It comes from below the range that the system takes outgoing connections from (from 32768, by
 * default), because a home keeps it: none of them can sit on it at a later start.
 */
export async function pickPort(taken: readonly number[]): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_768);
    if (!taken.includes(port) && (await stateOfPort(port)) === "free") return port;
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
