/**
 * The one outbound HTTP client. Plugins get it through their context by `reaches: ["internet"]`. What it fetches may have been
 * named by a stranger (an OIDC issuer's `jwks_uri`), so it goes to public addresses only unless the configuration says otherwise,
 * follows nothing, decompresses nothing and reads a bounded body in a bounded time.
 */
import { lookup as systemLookup } from "node:dns/promises";
import * as http from "node:http";
import * as https from "node:https";
import { BlockList, isIPv4, type LookupFunction } from "node:net";
import { getCACertificates } from "node:tls";

/** A response that was read whole. */
interface OutboundResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
  /** Seconds from `Cache-Control: max-age`, or null; 0 for `no-store` and `no-cache`. */
  readonly maxAgeSeconds: number | null;
}

/** A form that is sent instead of asking by GET. */
interface OutboundPost {
  /** `application/x-www-form-urlencoded`. */
  readonly body: string;
  readonly authorization: string | null;
}

/** What one request may take, whom it may trust, and what it sends. */
interface FetchLimits {
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
  /** Certificates (PEM) of authorities trusted for this request besides all others. */
  readonly authorities?: readonly string[];
  readonly post?: OutboundPost;
}

/** Fetches `url`, by GET unless there is a form to send: no redirects, identity encoding, address vetted and pinned, total deadline, bounded body. */
export type OutboundFetch = (url: string, limits?: FetchLimits) => Promise<OutboundResponse>;

/** An address a host name resolved to. */
interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

/** What an installation allows its outbound client. */
export interface FetchOptions {
  /** Allows plain http, and loopback addresses, for `localhost` and literal 127.0.0.0/8 hosts. */
  readonly allowLoopback?: boolean;
  /** Host names that may resolve to private addresses (RFC 1918, RFC 4193, RFC 6598), as a corporate IdP does. */
  readonly privateHosts?: readonly string[];
  /** Certificates (PEM) of authorities trusted besides the system's, as they are when a request is made. */
  readonly extraAuthorities?: () => Promise<readonly string[]>;
  /** Name resolution; the system's unless a test says otherwise. */
  readonly lookup?: (host: string) => Promise<readonly ResolvedAddress[]>;
}

/** Why an outbound request gave no response. `message` names the host at most, never a body or an address. */
class OutboundError extends Error {
  override readonly name = "OutboundError";
}

const defaultTimeoutMs = 10_000;
const defaultMaxBytes = 262_144;
const maxUrlLength = 2_048;
const maxHeaderBytes = 16_384;

/** Makes the client. Every connection is used once; nothing is cached. */
export function createFetch(options: FetchOptions = {}): OutboundFetch {
  const authoritiesFor = async (more: readonly string[] = []) => {
    const authorities = [...((await options.extraAuthorities?.()) ?? []), ...more];
    return authorities.length === 0 ? undefined : [...getCACertificates("default"), ...authorities];
  };
  const resolve = options.lookup ?? ((host) => systemLookup(host, { all: true }));
  return async (url, limits = {}) => {
    const target = parseTarget(url, options.allowLoopback === true);
    const deadline = AbortSignal.timeout(limits.timeoutMs ?? defaultTimeoutMs);
    try {
      const addresses = await withDeadline(resolve(target.host), deadline);
      for (const { address } of addresses) vet(address, target, options);
      if (addresses.length === 0) throw new OutboundError(`${target.host}: no address`);
      const request = {
        target,
        addresses,
        deadline,
        ca: await authoritiesFor(limits.authorities),
        maxBytes: limits.maxBytes ?? defaultMaxBytes,
        post: limits.post ?? null,
      };
      return await exchange(request);
    } catch (cause) {
      if (cause instanceof OutboundError) throw cause;
      const why = deadline.aborted ? "no answer in time" : "not reachable";
      throw new OutboundError(`${target.host}: ${why}`, { cause });
    }
  };
}

interface Target {
  readonly url: URL;
  readonly host: string;
  /** `localhost` or a literal loopback address. */
  readonly loopback: boolean;
}

interface Request {
  readonly target: Target;
  readonly addresses: readonly ResolvedAddress[];
  readonly deadline: AbortSignal;
  readonly ca: readonly string[] | undefined;
  readonly maxBytes: number;
  readonly post: OutboundPost | null;
}

/**
 * Takes a URL apart before WHATWG normalisation can make one host of another (full-width dots, soft hyphens, `0x7f.1`), and
 * refuses what normalisation would change.
 */
function parseTarget(text: string, allowLoopback: boolean): Target {
  const match = /^(https?):\/\/([a-z0-9.-]{1,253})(?::([1-9]\d{0,4}))?(\/[!-~]*)?$/.exec(text);
  const host = match?.[2] ?? "";
  if (match === null || text.length > maxUrlLength || /[#\\]/.test(text) || !isHostName(host)) {
    throw new OutboundError("not an absolute https URL with a plain host name");
  }
  const loopback = host === "localhost" || (isIPv4(host) && host.startsWith("127."));
  if (match[1] === "http" && !(loopback && allowLoopback)) {
    throw new OutboundError(`${host}: https is required`);
  }
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.hostname !== host) throw new OutboundError("not a plain URL");
  return { url, host, loopback };
}

/** Letters, digits and hyphens (RFC 1123 §2.1), lower case; or a dotted quad as everybody writes it. */
function isHostName(host: string): boolean {
  const labels = host.split(".");
  if (!labels.every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(label))) return false;
  const numeric = /^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "");
  return !numeric || isIPv4(host);
}

/** Refuses an address the host may not have. All addresses of a name must pass, so an answer cannot mix good with bad. */
function vet(address: string, target: Target, options: FetchOptions): void {
  const kind = kindOf(address);
  if (kind === "public") return;
  if (kind === "loopback" && target.loopback && options.allowLoopback === true) return;
  if (kind === "private" && options.privateHosts?.includes(target.host) === true) return;
  throw new OutboundError(`${target.host}: resolves to a ${kind} address, which is not allowed`);
}

function kindOf(address: string): "public" | "private" | "loopback" | "special" {
  const family = isIPv4(address) ? "ipv4" : "ipv6";
  if (loopbackAddresses.check(address, family)) return "loopback";
  if (privateAddresses.check(address, family)) return "private";
  if (specialAddresses.check(address, family)) return "special";
  if (family === "ipv6" && !globalUnicast.check(address, family)) return "special";
  return "public";
}

const loopbackAddresses = blockList(["127.0.0.0/8", "::1/128"]);
const privateAddresses = blockList([
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "fc00::/7",
]);
/** The IANA special-purpose registries: never a server of ours. */
const specialAddresses = blockList([
  "0.0.0.0/8",
  "169.254.0.0/16",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "3fff::/20",
]);
const globalUnicast = blockList(["2000::/3"]);

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [base = "", bits] = network.split("/");
    list.addSubnet(base, Number(bits), isIPv4(base) ? "ipv4" : "ipv6");
  }
  return list;
}

/** One request to the vetted addresses and no others: name resolution inside the connection answers from them. */
async function exchange(request: Request): Promise<OutboundResponse> {
  const { target, deadline, addresses, post } = request;
  const pinned: LookupFunction = (_host, options, callback) => {
    if (options.all === true) callback(null, [...addresses]);
    else callback(null, addresses[0]?.address ?? "", addresses[0]?.family ?? 0);
  };
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const client = target.url.protocol === "https:" ? https : http;
  const outgoing = client.request(target.url, {
    method: post === null ? "GET" : "POST",
    agent: false,
    lookup: pinned,
    signal: deadline,
    maxHeaderSize: maxHeaderBytes,
    headers: {
      accept: "application/json",
      "accept-encoding": "identity",
      "user-agent": "chancery",
      ...(post !== null && { "content-type": "application/x-www-form-urlencoded" }),
      ...(typeof post?.authorization === "string" && { authorization: post.authorization }),
    },
    ...(client === https && {
      rejectUnauthorized: true,
      minVersion: "TLSv1.2" as const,
      ...(request.ca !== undefined && { ca: [...request.ca] }),
    }),
  });
  outgoing.once("response", resolve);
  outgoing.on("error", reject);
  using cleanup = new DisposableStack();
  cleanup.defer(() => outgoing.destroy());
  outgoing.end(post?.body);
  return await readResponse(await promise, request);
}

async function readResponse(
  response: http.IncomingMessage,
  request: Request,
): Promise<OutboundResponse> {
  const { host } = request.target;
  const status = response.statusCode ?? 0;
  const encoding = response.headers["content-encoding"];
  if (status >= 300 && status < 400) throw new OutboundError(`${host}: redirects are not followed`);
  if (encoding !== undefined && encoding !== "identity") {
    throw new OutboundError(`${host}: answered in an encoding that was not asked for`);
  }
  const tooLong = () =>
    new OutboundError(`${host}: answer is longer than ${request.maxBytes} bytes`);
  if (Number(response.headers["content-length"] ?? 0) > request.maxBytes) throw tooLong();
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Uint8Array>) {
    length += part.length;
    if (length > request.maxBytes) throw tooLong();
    parts.push(part);
  }
  return {
    status,
    contentType: response.headers["content-type"] ?? "",
    body: new Uint8Array(Buffer.concat(parts, length)),
    maxAgeSeconds: maxAge(response.headers["cache-control"]),
  };
}

function maxAge(header: string | undefined): number | null {
  if (header === undefined) return null;
  const directives = header
    .toLowerCase()
    .split(",", 32)
    .map((one) => one.trim());
  if (directives.includes("no-store") || directives.includes("no-cache")) return 0;
  const found = directives
    .map((one) => /^max-age=(\d{1,15})$/.exec(one))
    .find((one) => one !== null);
  return found?.[1] === undefined ? null : Number(found[1]);
}

/** The resolver takes no signal, so the deadline races it; a late answer is dropped. */
async function withDeadline<T>(work: Promise<T>, deadline: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(new Error("deadline"));
  deadline.addEventListener("abort", abort, { once: true });
  using cleanup = new DisposableStack();
  cleanup.defer(() => deadline.removeEventListener("abort", abort));
  return await Promise.race([work, promise]);
}
