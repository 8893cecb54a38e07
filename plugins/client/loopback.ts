/** Where a browser brings the code back to: a free port of this machine, for the time of one sign-in (RFC 8252 §7.3). */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Waits for the browser. */
export interface Loopback extends AsyncDisposable {
  readonly redirectUri: string;
  /** The address that the browser came to, with its query. */
  readonly answer: Promise<URL>;
}

const path = "/auth/callback";
const maxHeaderBytes = 16_384;
const page = (title: string, text: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1><p>${text}</p></html>\n`;

/** Listens. Whoever comes with another `state` than this is sent away, and the wait goes on. */
export async function listenForCode(state: string): Promise<Loopback> {
  const { promise: answer, resolve } = Promise.withResolvers<URL>();
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    const { port } = first.address() as AddressInfo; // it listens on a port
    const url = new URL(request.url ?? "/", `http://localhost:${port}`);
    const headers = {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      connection: "close",
    };
    if (
      request.method !== "GET" ||
      url.pathname !== path ||
      url.searchParams.get("state") !== state
    ) {
      response.writeHead(400, headers).end(page("Not this", "Nobody waits for this here."));
      return;
    }
    response
      .writeHead(200, headers)
      .end(page("Done", "Go back to your terminal. You can close this page."), () => resolve(url));
  };
  const make = (): Server => createServer({ maxHeaderSize: maxHeaderBytes }, serve);
  const first = make();
  first.listen(0, "127.0.0.1");
  await once(first, "listening");
  const { port } = first.address() as AddressInfo; // as above
  // Browsers may take localhost for either; a machine without IPv6 has only the one.
  const second = make();
  second.listen(port, "::1");
  await Promise.race([once(second, "listening"), once(second, "error")]).catch(() => undefined);
  return {
    redirectUri: `http://localhost:${port}${path}`,
    answer,
    async [Symbol.asyncDispose]() {
      for (const server of [first, second]) {
        if (!server.listening) continue;
        const closed = once(server, "close");
        server.close();
        server.closeAllConnections();
        await closed;
      }
    },
  };
}
