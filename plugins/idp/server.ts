/**
 * Where the sign-in listens: a UNIX socket in the home, for the door alone. Everything about a request that the door did not say
 * itself is dropped there, so what stands in these header fields is the door's word, never a client's.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { constants, closeSync, openSync } from "node:fs";

/** Answers one request. */
export type Serve = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Below the home. */
const folder = "run";
const name = "oidc.sock";
/** `sun_path` holds 108 bytes with its end. */
const longestPath = 107;
const requestTimeoutMs = 20_000;

/** Opens the socket; disposing closes it. `failed` is told what `serve` threw. */
export async function listenLocally(
  home: string,
  serve: Serve,
  failed: (error: unknown) => void,
): Promise<AsyncDisposable> {
  await mkdir(join(home, folder), { recursive: true, mode: 0o700 });
  await rm(join(home, folder, name), { force: true });
  const server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    serve(request, response).catch((error: unknown) => {
      failed(error);
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end();
    });
  });
  using address = shortAddress(join(home, folder));
  server.listen(address.path);
  await once(server, "listening");
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** A path that fits into a socket's address: by way of the open folder where the home lies deep. */
function shortAddress(directory: string): { readonly path: string } & Disposable {
  const path = join(directory, name);
  if (Buffer.byteLength(path) <= longestPath) return { path, [Symbol.dispose]() {} };
  const held = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  return {
    path: `/proc/self/fd/${held}/${name}`,
    [Symbol.dispose]: () => closeSync(held),
  };
}
