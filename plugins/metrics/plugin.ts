/** Asks every room on each scrape what it counts, and keeps nothing. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { Failure } from "../../events/failure.ts";
import { formatPage, pageType } from "./exposition.ts";
import { metrics } from "./manifest.ts";

/** Nobody scrapes over many connections, or slowly. */
const limits = { headersTimeout: 5_000, requestTimeout: 5_000, connectionsCheckingInterval: 1_000 };
const maxConnections = 32;

export default metrics.implement(async ({ config, journal, metrics: ask }) => {
  await using opened = new AsyncDisposableStack();
  const scrape = singly(async () => await formatPage(await ask()));
  for (const host of config.port === undefined ? [] : config.addresses) {
    const server = createServer({ ...limits, maxHeaderSize: 8_192 }, (request, response) => {
      request.resume();
      const answer = (status: number, type: string, text: string): void => {
        response.writeHead(status, { "content-type": type, "x-content-type-options": "nosniff" });
        response.end(request.method === "HEAD" ? undefined : text);
      };
      const isScrape = request.url === "/metrics" && /^(?:GET|HEAD)$/.test(request.method ?? "");
      if (!isScrape) {
        answer(404, "text/plain; charset=utf-8", "not found\n");
        return;
      }
      scrape().then(
        (page) => answer(200, pageType, page),
        (cause: unknown) => {
          journal.error("scrape-failed", { cause: Failure.from(cause) });
          answer(500, "text/plain; charset=utf-8", "internal error\n");
        },
      );
    });
    server.maxConnections = maxConnections;
    try {
      server.listen({ host, port: config.port, ipv6Only: host.includes(":") });
      await once(server, "listening");
    } catch (thrown) {
      // Machines without IPv6 are served on IPv4.
      if (host !== "::1") throw thrown;
      continue;
    }
    opened.defer(async () => await close(server));
    journal.info("listening", { host, port: portOf(server) });
  }
  const kept = opened.move();
  return { handlers: {}, [Symbol.asyncDispose]: async () => await kept.disposeAsync() };
});

/** One round through the rooms at a time, whoever asks meanwhile. */
function singly<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | null = null;
  return async () => await (running ??= run().finally(() => (running = null)));
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
