/** All of the sign-in behind its socket: loaded with the first request, and made of provider, pages, people and broker. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createBroker } from "./broker.ts";
import type { BrokerParts } from "./broker.ts";
import { endpoints } from "./discovery.ts";
import type { Exchange } from "./exchange.ts";
import { createInteractions } from "./interactions.ts";
import { createPolling } from "./polling.ts";
import { createProvider, type ProviderParts } from "./provider.ts";
import type { Serve } from "./server.ts";

/** Where the door says whose request it is. */
export const addressHeader = "x-chancery-address";

const machines: readonly string[] = [endpoints.token, endpoints.deviceAuthorization];

/** Makes what answers requests. */
export function createSignIn(
  parts: ProviderParts & { readonly upstream: Omit<BrokerParts, "issuer"> | null },
): Serve {
  const { config, setting, people, refused } = parts;
  const provider = createProvider(parts);
  provider.use(createPolling(config.devicePollSeconds, () => performance.now()));
  const upstream = parts.upstream;
  const broker = upstream === null ? null : createBroker({ ...upstream, issuer: config.issuer });
  const interactions = createInteractions({ provider, setting, people, broker, refused });
  const others = provider.callback();
  const { pathname: prefix, host, protocol } = new URL(config.issuer);
  return async (request, response) => {
    const exchange = arrange(request, response, { prefix, host, protocol });
    if (exchange === null) response.writeHead(404).end();
    else if (!(await interactions(exchange))) await others(request, response);
  };
}

/** Makes of a request what it is behind the prefix, under the one name this provider has. */
function arrange(
  request: IncomingMessage,
  response: ServerResponse,
  { prefix, host, protocol }: { prefix: string; host: string; protocol: string },
): Exchange | null {
  const whole = request.url ?? "";
  if (!whole.startsWith(`${prefix}/`)) return null;
  const { headers } = request;
  const address = headers[addressHeader];
  headers.host = host;
  headers["x-forwarded-host"] = host;
  headers["x-forwarded-proto"] = protocol.replace(":", "");
  headers["x-forwarded-for"] = typeof address === "string" ? address : "unknown";
  const path = whole.slice(prefix.length);
  // Programs are answered in JSON (RFC 6749 §5.2), whatever their library says it would like.
  if (machines.some((one) => path === one)) headers.accept = "application/json";
  // The library finds its prefix by comparing the two.
  Object.assign(request, { originalUrl: whole, url: path });
  return {
    request,
    response,
    // Written after the host, not resolved against it: a path may begin with two slashes.
    url: new URL(`${protocol}//${host}${path}`),
    address: headers["x-forwarded-for"],
  };
}
