/**
 * The world outside of a house, made up: issuers in its configuration, each of which is asked for keys and lies in a way of its own, and
 * names that resolve to where nobody should go. One server on loopback stands for all of them.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Egress, watchEgress } from "../support/egress.ts";
import { issuerKey, type IssuerKey } from "../support/issuer.ts";

/** Where a token, a document or a request may try to send us. Nothing of this is in the configuration. */
export const elsewhere: readonly string[] = [
  "https://evil.example/jwks",
  "http://169.254.169.254/latest/meta-data/",
  "http://[fd00:ec2::254]/latest/meta-data/",
  "http://metadata.google.internal/computeMetadata/v1/",
  "https://127.0.0.1/jwks",
  "https://localhost:1/jwks",
  "https://[::1]/jwks",
  "https://[::ffff:169.254.169.254]/jwks",
  "https://[::ffff:7f00:1]/jwks",
  "https://2852039166/jwks",
  "https://0xa9fea9fe/jwks",
  "https://0251.0376.0251.0376/jwks",
  "https://127.1/jwks",
  "https://honest.example@evil.example/jwks",
  "https://honest.example.evil.example/jwks",
  "https://honest.example:8443/jwks",
  "https://honest.example./jwks",
  "https://HONEST.example/jwks",
  "https://honest。example/jwks",
  "http://honest.example/jwks",
  "//evil.example/jwks",
  "file:///etc/passwd",
  "gopher://evil.example:70/_",
];

/** What names in the configuration resolve to: addresses that none of them may have, alone or beside a good one. */
const badAddresses: readonly (readonly string[])[] = [
  ["127.0.0.1"],
  ["169.254.169.254"],
  ["10.0.0.1"],
  ["100.64.0.1"],
  ["0.0.0.0"],
  ["::1"],
  ["::ffff:169.254.169.254"],
  ["fd00:ec2::254"],
  ["fe80::1"],
  ["64:ff9b::a9fe:a9fe"],
  ["2002:7f00:1::1"],
  ["93.184.216.34", "127.0.0.1"],
];

const publicAddress = "93.184.216.34";
const redirects = [301, 302, 307, 308] as const;

/** What is outside, and who is on the watch. */
export interface Outside extends Disposable {
  /** Signs for the honest issuers. */
  readonly key: IssuerKey;
  /** For the configuration of identity. */
  readonly issuers: readonly object[];
  /** Issuers of the configuration that nobody gets a key from, and what is wrong with each. */
  readonly lying: ReadonlyMap<string, string>;
  /** Certificate (PEM) of the authority that all their servers have theirs from. */
  readonly authority: string;
  /** The guarded client's resolver. */
  readonly lookup: (
    host: string,
  ) => Promise<readonly { readonly address: string; readonly family: number }[]>;
  /** Names that were looked up. */
  readonly resolved: ReadonlySet<string>;
  readonly egress: Egress;
  /** Names in the configuration. */
  readonly configured: (name: string) => boolean;
}

/** Opens it, around a house that will answer at `port` and keeps its sockets below `home`. */
export async function openOutside(home: string, port: number): Promise<Outside> {
  await using opening = new AsyncDisposableStack();
  const key = await issuerKey("ES256");
  const { authority, ...identity } = await certificate();
  const server = createServer(identity, (request, response) => answer(request, response, key));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  opening.defer(() => server.closeAllConnections());
  opening.defer(() => {
    server.close();
  });
  const { port: standIn } = server.address() as AddressInfo; // it listens on a port
  const lying = liars();
  const resolved = new Set<string>();
  const hosts = new Set(["localhost", ...[...lying.keys(), ...honest].map(hostOf)]);
  const configured = (name: string) =>
    hosts.has(name) || /^[a-z0-9-]+\.tenants\.example$/.test(name);
  const asked = new Map<string, number>();
  const egress = watchEgress({
    standIn(name) {
      const [host = "", at = ""] = name.split(":");
      if (host === "localhost") return at === String(port) ? port : null;
      return configured(host) && at === "443" ? standIn : null;
    },
    mayBeAt: (address, name) =>
      address === (name.startsWith("localhost:") ? "127.0.0.1" : publicAddress),
    socket: (path) => path.startsWith(`${home}/`) || path.startsWith("/proc/self/fd/"),
  });
  opening.use(egress);
  const closing = opening.move();
  return {
    key,
    lying,
    authority,
    issuers: [...lying.keys(), ...honest, "https://{tenant}.tenants.example"].map((issuerUrl) => ({
      issuerUrl,
      provider: "email",
      trustMail: true,
    })),
    async lookup(host) {
      resolved.add(host);
      const times = asked.get(host) ?? 0;
      asked.set(host, times + 1);
      return await Promise.resolve(addressesOf(host, times));
    },
    resolved,
    egress,
    configured,
    [Symbol.dispose]: () => void closing.disposeAsync(),
  };
}

/** Issuers that behave. */
export const honest = ["https://honest.example", "https://frank.example/realms/one"] as const;

/** Every way to lie, by the address of an issuer that does. */
function liars(): ReadonlyMap<string, string> {
  return new Map([
    ...elsewhere.map((url, at) => [`https://liar.example/keys-${at}`, `keys at ${url}`] as const),
    ...redirects.flatMap((status) =>
      ["document", "keys"].map(
        (what) => [`https://liar.example/moved-${what}-${status}`, `${what} moved`] as const,
      ),
    ),
    ...badAddresses.map(
      (addresses, at) => [`https://bad-${at}.example`, `at ${addresses.join()}`] as const,
    ),
    ["https://rebinding.example", "another address for the keys than for the document"],
    ["https://nowhere.example", "no address"],
    ["https://liar.example/another", "a document of another issuer"],
  ]);
}

function addressesOf(host: string, times: number) {
  const bad = /^bad-(\d+)\.example$/.exec(host)?.[1];
  if (host === "nowhere.example") throw new Error("ENOTFOUND");
  const addresses =
    bad !== undefined
      ? (badAddresses[Number(bad)] ?? [])
      : // The first time it is where it should be: whoever asks a second time to connect is somewhere else.
        host === "localhost" || (host === "rebinding.example" && times > 0)
        ? ["127.0.0.1"]
        : [publicAddress];
  return addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
}

/** Serves documents and keys of all issuers. */
function answer(request: IncomingMessage, response: ServerResponse, key: IssuerKey): void {
  const path = request.url ?? "";
  const origin = `https://${String(request.headers.host)}`;
  const suffix = "/.well-known/openid-configuration";
  const [, moved, status] = /^\/moved-(document|keys)-(\d+)/.exec(path) ?? [];
  const isDocument = path.endsWith(suffix);
  if (moved === (isDocument ? "document" : "keys")) {
    response.writeHead(Number(status), { location: elsewhere[0] }).end();
    return;
  }
  if (!isDocument) {
    response.end(JSON.stringify({ keys: [key.jwk] }));
    return;
  }
  const issuer = `${origin}${path.slice(0, -suffix.length)}`;
  const at = /^\/keys-(\d+)/.exec(path)?.[1];
  const jwksUri = at === undefined ? `${issuer}/jwks` : elsewhere[Number(at)];
  const named = path.startsWith("/another/") ? honest[0] : issuer;
  response.end(JSON.stringify({ issuer: named, jwks_uri: jwksUri }));
}

function hostOf(url: string): string {
  return new URL(url).hostname;
}

/** A certificate for all names, which is its own authority. */
async function certificate() {
  const folder = await mkdtemp(join(tmpdir(), "chancery-outside-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const names = [...new Set([...liars().keys(), ...honest].map(hostOf)), "*.tenants.example"];
  const subject = ["-subj", "/CN=outside", "-addext"];
  const alternatives = `subjectAltName=${names.map((name) => `DNS:${name}`).join()}`;
  const files = ["-keyout", key, "-out", cert];
  const request = ["req", "-x509", ...kind, ...subject, alternatives, ...files];
  await promisify(execFile)("openssl", request);
  const authority = await readFile(cert, "utf8");
  const identity = { key: await readFile(key, "utf8"), cert: authority };
  await rm(folder, { recursive: true });
  return { ...identity, authority };
}
