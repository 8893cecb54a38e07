/** The certificate that the instance's TLS listener shows, and how long it does. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { type JsonValue, parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { endsSoon } from "../../core/formats/notice.ts";
import { readBounded } from "./files.ts";
import { CommandError, exitCodes } from "./terminal.ts";

/** What the certificate says. */
export interface DoorCertificate {
  /** DNS names and addresses, as Node gives subjectAltName. */
  readonly names: string;
  readonly ends: string;
  readonly endsSoon: boolean;
}

const host = "127.0.0.1";
const deadlineMs = 5_000;
const maxBytes = 65_536;

/**
 * Asks the listener on this machine, whoever its certificate is trusted by: it is looked at, and nothing is told to it.
 *
 * @throws {CommandError} if nobody shows one.
 */
export async function readDoorCertificate(home: string, now: Date): Promise<DoorCertificate> {
  const port = await readPort(home);
  const shown = await show(port).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : "unknown";
    const message = `nobody shows a certificate on ${host}:${port} (${why})`;
    throw new CommandError(exitCodes.failed, message, { cause });
  });
  const { subjectAltName: names = "", validFromDate, validToDate } = shown;
  const soon = endsSoon({ validFromDate, validToDate }, now);
  return { names, ends: validToDate.toISOString(), endsSoon: soon };
}

/** The port of a process that joined another is its own. */
async function readPort(home: string): Promise<number> {
  const joined = join(home, "joined.json");
  const path = existsSync(joined) ? joined : join(home, "instance.json");
  const json = parseJsonBytes(await readBounded(path, "the ports", maxBytes));
  const { tlsPort } = (json ?? {}) as { readonly [name: string]: JsonValue | undefined };
  if (typeof tlsPort === "number") return tlsPort;
  throw new Malformed(`${path} names no TLS port`);
}

async function show(port: number) {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const socket = connect({ host, port, rejectUnauthorized: false }, () => resolve(socket));
  socket.once("error", reject);
  socket.setTimeout(deadlineMs, () => reject(new Error("no answer in time")));
  try {
    const certificate = (await promise).getPeerX509Certificate();
    if (certificate === undefined) throw new Error("no certificate");
    return certificate;
  } finally {
    socket.destroy();
  }
}
