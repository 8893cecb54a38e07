/**
 * Certificate and key of the TLS listeners, read again when the files change: whoever renews them, by `chancery tls` or by tools of their
 * own, restarts nothing. Connections that are open go on as they are. A pair that does not fit leaves the one before in force.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { join } from "node:path";
import { endsSoon } from "../../core/formats/notice.ts";
import { type Context, StartRefused } from "../../core/plugin.ts";
import type { Credentials } from "./listeners.ts";
import type { http } from "./manifest.ts";

type DoorContext = Pick<
  Context<typeof http.manifest.config>,
  "config" | "clock" | "journal" | "home"
>;

/** What takes a new certificate while it listens. */
interface Server {
  setSecureContext(options: SecureContextOptions): void;
}

/** The pair in force. */
export interface KeptCredentials extends Disposable {
  readonly now: Credentials;
  /** Has a server take the pairs that come. */
  readonly serve: (server: Server) => void;
  /** Since when, and why, the files are not what is in force; null if they are. */
  readonly trouble: () => { readonly reason: string; readonly since: Date } | null;
}

/** How often the files are looked at: a replaced pair is two files, and both are there by the second look. */
const lookEveryMs = 500;

/** @throws {StartRefused} if there is no pair to begin with */
export async function keepCredentials(context: DoorContext): Promise<KeptCredentials> {
  const { clock, config, home, journal } = context;
  const paths = [join(home(), config.tlsCertificate), join(home(), config.tlsKey)] as const;
  const servers: Server[] = [];
  // Before they are read: what is replaced meanwhile is another at the first look.
  let seen = await statesOf(paths);
  let now = await read(paths).catch((cause: unknown) => {
    throw new StartRefused(`TLS: ${reasonOf(cause)}`, { cause });
  });
  const noteEnd = (): void => {
    const certificate = new X509Certificate(now.certificate);
    if (endsSoon(certificate, clock.now())) {
      journal.warn("tls-certificate-ends-soon", { until: certificate.validToDate.toISOString() });
    }
  };
  noteEnd();
  let trouble: ReturnType<KeptCredentials["trouble"]> = null;
  let refused = "";
  let looking = false;

  const look = async (): Promise<void> => {
    const states = await statesOf(paths);
    if (states === seen && refused === "") return;
    seen = states;
    try {
      const found = await read(paths);
      if (found.certificate !== now.certificate || found.key !== now.key) {
        for (const server of servers) server.setSecureContext(secureContext(found));
        now = found;
        const { subjectAltName: names, validTo: until } = new X509Certificate(now.certificate);
        journal.info("tls-certificate-loaded", { names, until });
        noteEnd();
      }
      trouble = null;
      refused = "";
    } catch (cause) {
      const reason = reasonOf(cause);
      // One of the two may have been written a moment ago.
      if (refused === reason && trouble?.reason !== reason) {
        journal.error("tls-certificate-not-loaded", { reason });
        trouble = { reason, since: trouble?.since ?? clock.now() };
      }
      refused = reason;
    }
  };
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => (looking = false));
  }, lookEveryMs);
  timer.unref();
  return {
    get now() {
      return now;
    },
    serve: (server) => void servers.push(server),
    trouble: () => trouble,
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** Options of a TLS server that are its certificate's. */
export function secureContext({ certificate, key }: Credentials): SecureContextOptions {
  return { cert: certificate, key, minVersion: "TLSv1.2" };
}

/** Another text whenever one of the files is another. */
async function statesOf(paths: readonly string[]): Promise<string> {
  const states = await Promise.all(
    paths.map(async (path) => await stat(path, { bigint: true }).catch(() => null)),
  );
  return states.map((one) => `${one?.ino} ${one?.mtimeNs} ${one?.size}`).join();
}

async function read([certificatePath, keyPath]: readonly [string, string]): Promise<Credentials> {
  const [certificate, key] = await Promise.all([
    readFile(certificatePath, "utf8"),
    readFile(keyPath, "utf8"),
  ]);
  if (!new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) {
    throw new Error(
      `the key in ${keyPath} is not that of the certificate in ${certificatePath}; chancery tls renew makes both anew, chancery tls use takes a pair of yours`,
    );
  }
  // OpenSSL refuses more: a damaged certificate further down, a key that is too small.
  createSecureContext(secureContext({ certificate, key }));
  return { certificate, key };
}

function reasonOf(cause: unknown): string {
  const why = cause instanceof Error ? cause.message : "unknown";
  return `certificate and key of the TLS listener cannot be used: ${why}`;
}
