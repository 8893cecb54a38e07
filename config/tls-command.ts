/** `chancery tls`: the certificate of the door's TLS listener, shown, made anew with other names, or replaced by one of the operator's. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { durableWrite } from "../core/durable.ts";
import { makeServerCertificate } from "../hsm/commands.ts";
import {
  type Arguments,
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { readConfiguration, readInstance } from "./load.ts";

/** What clients of a certificate that was made here are told to trust, below the home. */
const authorityFile = join("trust", "tls", "ca.pem");
const section = v.looseObject({
  tlsCertificate: v.optional(v.string(), "trust/tls/cert.pem"),
  tlsKey: v.optional(v.string(), "secrets/tls/key.pem"),
});
const mostDays = 825;
const nameForm = /^(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

/** Where the files of a home are, and what trusts its own authority. */
interface Place {
  readonly home: string;
  readonly certificate: string;
  readonly key: string;
  /** True if the services themselves trust the authority: they read it when they start. */
  readonly isTrustedHere: boolean;
}

/** `tls show|renew|use`. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [verb = "", ...rest] = args;
  const does = { show, renew, use }[verb as "show"] as typeof show | undefined;
  if (does === undefined) throw new CommandError(exitCodes.usage, "expected show, renew or use");
  await does(rest, terminal);
  return exitCodes.ok;
}

async function show(args: readonly string[], terminal: Terminal): Promise<void> {
  const parsed = parseArguments(args, { operands: [], values: [], switches: ["json"] });
  const place = await placeOf(terminal);
  tell(await readCertificate(place.certificate), { parsed, terminal, notes: [] });
}

async function renew(args: readonly string[], terminal: Terminal): Promise<void> {
  const parsed = parseArguments(args, {
    operands: [],
    values: ["names", "addresses", "days"],
    switches: ["json"],
  });
  const place = await placeOf(terminal);
  const before = await readCertificate(place.certificate);
  const now = namesOf(before);
  const days = parsed.value("days") ?? String(mostDays);
  if (!/^[1-9]\d{0,2}$/.test(days) || Number(days) > mostDays) {
    throw new CommandError(exitCodes.usage, `--days is a whole number up to ${mostDays}`);
  }
  const made = makeServerCertificate({
    organization: /^O=(.+)$/m.exec(before.issuer)?.[1] ?? "chancery",
    names: listOf(parsed, "names", (name) => nameForm.test(name)) ?? now.names,
    addresses: listOf(parsed, "addresses", (one) => isIP(one) !== 0) ?? now.addresses,
    days: Number(days),
    notBefore: new Date(Math.floor(Date.now() / 1_000) * 1_000),
  });
  await replace(place, made);
  const notes = [
    `whoever trusts ${join(place.home, authorityFile)} takes the new one: its CA is another each time`,
    ...(place.isTrustedHere ? [restart] : []),
  ];
  tell(new X509Certificate(made.certificate), { parsed, terminal, notes });
}

const restart =
  "start the services again: they trust this authority themselves, as it was at their start";

async function use(args: readonly string[], terminal: Terminal): Promise<void> {
  const parsed = parseArguments(args, {
    operands: ["CERTIFICATE"],
    values: ["key", "authority"],
    switches: ["json"],
  });
  const keyPath = parsed.value("key");
  if (keyPath === undefined) throw new CommandError(exitCodes.usage, "--key FILE is needed");
  const place = await placeOf(terminal);
  const read = async (path: string) => await readText(resolve(terminal.folder, path));
  const [certificate, key] = [await read(parsed.operands[0] ?? ""), await read(keyPath)];
  const authorityPath = parsed.value("authority");
  const authority = authorityPath === undefined ? null : await read(authorityPath);
  const found = parse("certificate", () => new X509Certificate(certificate));
  const isPair = parse("key", () => found.checkPrivateKey(createPrivateKey(key)));
  if (!isPair) throw new CommandError(exitCodes.failed, "the key is not that of the certificate");
  if (found.validToDate <= new Date()) {
    throw new CommandError(exitCodes.failed, `the certificate ended on ${found.validTo}`);
  }
  if (authority !== null) parse("authority", () => new X509Certificate(authority));
  await replace(place, { certificate, key, authority });
  const notes = [
    ...(authority === null
      ? [`${join(place.home, authorityFile)} stays as it is: name yours with --authority`]
      : []),
    ...(authority !== null && place.isTrustedHere ? [restart] : []),
  ];
  tell(found, { parsed, terminal, notes });
}

/** Interrupted between two of these, the door keeps the pair it has; said again, all are there. */
async function replace(
  place: Place,
  made: { readonly certificate: string; readonly key: string; readonly authority: string | null },
): Promise<void> {
  if (made.authority !== null) await durableWrite(join(place.home, authorityFile), made.authority);
  await durableWrite(place.key, made.key, 0o600);
  await durableWrite(place.certificate, made.certificate);
}

function tell(
  certificate: X509Certificate,
  { parsed, terminal, notes }: { parsed: Arguments; terminal: Terminal; notes: readonly string[] },
): void {
  const { names, addresses } = namesOf(certificate);
  const ends = certificate.validToDate.toISOString();
  const issuer = certificate.issuer.replaceAll("\n", ", ");
  if (parsed.has("json")) {
    terminal.print(JSON.stringify({ names, addresses, ends, issuer, notes }));
    return;
  }
  terminal.print(`names   ${[...names, ...addresses].join(", ")}`);
  terminal.print(`ends    ${ends}`);
  terminal.print(`by      ${issuer}`);
  for (const note of notes) terminal.complain(note);
}

/** DNS names and addresses, as RFC 5280's subjectAltName has them. */
function namesOf({ subjectAltName = "" }: X509Certificate) {
  const all = subjectAltName.split(", ");
  const of = (kind: string) =>
    all.filter((one) => one.startsWith(kind)).map((one) => one.slice(kind.length));
  return { names: of("DNS:"), addresses: of("IP Address:") };
}

function listOf(
  parsed: Arguments,
  flag: string,
  isGood: (one: string) => boolean,
): readonly string[] | undefined {
  const said = parsed.value(flag);
  if (said === undefined) return undefined;
  const list = said.split(",").filter((one) => one !== "");
  const bad = list.find((one) => !isGood(one));
  if (bad === undefined && (list.length > 0 || flag === "addresses")) return list;
  throw new CommandError(exitCodes.usage, `--${flag}: "${bad ?? ""}" is none; commas between them`);
}

async function placeOf({ environment, folder }: Terminal): Promise<Place> {
  const home = resolve(folder, environment["CHANCERY_HOME"] || ".chancery");
  await readInstance(home);
  const { sections, outbound } = await readConfiguration(home);
  const { tlsCertificate, tlsKey } = v.parse(section, sections["http"] ?? {});
  return {
    home,
    certificate: join(home, tlsCertificate),
    key: join(home, tlsKey),
    isTrustedHere: outbound.authorityFiles.includes("trust/tls/ca.pem"),
  };
}

async function readCertificate(path: string): Promise<X509Certificate> {
  const text = await readText(path);
  return parse("certificate", () => new X509Certificate(text));
}

async function readText(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause: unknown) => {
    throw new CommandError(exitCodes.environment, `${path} cannot be read`, { cause });
  });
}

function parse<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new CommandError(exitCodes.failed, `the ${what} cannot be read: it must be PEM`, {
      cause,
    });
  }
}
