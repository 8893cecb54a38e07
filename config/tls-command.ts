/** `chancery tls`: the certificate of the door's TLS listener, shown, made anew with other names, or replaced by one of the operator's. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createSecureContext } from "node:tls";
import * as v from "valibot";
import { durableWrite } from "../core/durable.ts";
import { parseTrustedRoot } from "../core/formats/trusted-root.ts";
import { makeServerCertificate, takeLock, VaultRefused } from "../hsm/commands.ts";
import {
  type Arguments,
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { readConfiguration, readInstance } from "./load.ts";
import { fromHome } from "./own-policy.ts";
import {
  formatChain,
  madeTogether,
  onOneLine,
  readChain,
  requireInForce,
  requireUnder,
} from "./tls-chain.ts";

/** What clients of a certificate that was made here are told to trust, below the home. */
const authorityFile = join("trust", "tls", "ca.pem");
const section = v.looseObject({
  tlsCertificate: v.optional(v.string(), "trust/tls/cert.pem"),
  tlsKey: v.optional(v.string(), "secrets/tls/key.pem"),
});
const mostDays = 825;
const nameForm = /^(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

/** Where the files of a home are. */
interface Place {
  readonly home: string;
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

/** `tls show|renew|use`. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [verb = "", ...rest] = args;
  const verbs = { show, renew, use };
  if (!Object.hasOwn(verbs, verb)) {
    throw new CommandError(exitCodes.usage, "expected show, renew or use");
  }
  await verbs[verb as keyof typeof verbs](rest, terminal);
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
    switches: ["replace", "json"],
  });
  const place = await placeOf(terminal);
  using _lock = await lockOf(place);
  const before = await readCertificate(place.certificate);
  const days = parsed.value("days") ?? String(mostDays);
  if (!/^[1-9]\d{0,2}$/.test(days) || Number(days) > mostDays) {
    throw new CommandError(exitCodes.usage, `--days is a whole number up to ${mostDays}`);
  }
  const wanted = wantedNames(parsed, namesOf(before));
  const own = await ownOrganization(place, before);
  if (own === undefined && !parsed.has("replace")) {
    throw new CommandError(
      exitCodes.failed,
      `the certificate is by ${onOneLine(before.issuer)}, not made here, or by none of ${place.authority}: renew it there and say tls use, or replace it by one made here with --replace`,
    );
  }
  const made = makeServerCertificate({
    organization: (await organizationOf(place.home)) || own || "chancery",
    ...wanted,
    days: Number(days),
    notBefore: new Date(Math.floor(Date.now() / 1_000) * 1_000),
  });
  await replace(place, made);
  const notes = [
    `whoever trusts ${place.authority} takes the new one: its CA is another each time`,
  ];
  tell(new X509Certificate(made.certificate), { parsed, terminal, notes });
}

/**
 * The organization of the CA, if it is one that was made here: the home has it, its key has signed the certificate, both were made
 * together, and it is called so.
 */
async function ownOrganization(
  { authority }: Place,
  certificate: X509Certificate,
): Promise<string | undefined> {
  const text = await readIfThere(authority);
  const found = text === null ? undefined : madeTogether(certificate, text);
  const organization = /^O=(.+)$/m.exec(found?.subject ?? "")?.[1];
  const isOwn = found?.subject.split("\n").includes(`CN=${organization} local TLS CA`);
  return isOwn === true ? organization?.replaceAll(/\\(.)/g, "$1") : undefined;
}

/** The organization of the home's first CA; undefined in a home without a trusted root. */
async function organizationOf(home: string): Promise<string | undefined> {
  const path = join(home, "trust", "trusted_root.json");
  const text = await readIfThere(path);
  return text === null ? undefined : parseTrustedRoot(text).certificateAuthorities[0]?.organization;
}

function wantedNames(parsed: Arguments, now: ReturnType<typeof namesOf>) {
  const names = listOf(
    parsed,
    "names",
    now.names.map((name) => name.toLowerCase()),
  );
  const addresses = listOf(parsed, "addresses", now.addresses);
  if (names.length + addresses.length > 0) return { names, addresses };
  throw new CommandError(
    exitCodes.usage,
    "a certificate without names and addresses is of no use: say --names or --addresses",
  );
}

async function use(args: readonly string[], terminal: Terminal): Promise<void> {
  const parsed = parseArguments(args, {
    operands: ["CERTIFICATE"],
    values: ["key", "authority"],
    switches: ["json"],
  });
  const keyPath = parsed.value("key");
  if (keyPath === undefined) throw new CommandError(exitCodes.usage, "--key FILE is needed");
  const place = await placeOf(terminal);
  using _lock = await lockOf(place);
  const read = async (path: string) => await readText(resolve(terminal.folder, path));
  const [certificate, key] = [await read(parsed.operands[0] ?? ""), await read(keyPath)];
  const authorityPath = parsed.value("authority");
  const authority =
    authorityPath === undefined ? null : readChain("authority", await read(authorityPath));
  const chain = readChain("certificate", certificate);
  const [found] = chain;
  requirePair(formatChain(chain), key);
  const now = new Date();
  requireInForce(found, now);
  if (authority !== null) requireUnder(chain, authority, now);
  await replace(place, {
    certificate: formatChain(chain),
    key,
    authority: authority === null ? null : formatChain(authority),
  });
  const notes =
    authority === null ? [`${place.authority} stays as it is: name yours with --authority`] : [];
  tell(found, { parsed, terminal, notes });
}

/** @throws {CommandError} unless the door could serve these. */
function requirePair(certificate: string, key: string): void {
  let isPair: boolean;
  try {
    isPair = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    const message = "the key cannot be read: it must be PEM, without a password";
    throw new CommandError(exitCodes.failed, message, { cause });
  }
  if (!isPair) throw new CommandError(exitCodes.failed, "the key is not that of the certificate");
  try {
    createSecureContext({ cert: certificate, key });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : "unknown";
    throw new CommandError(exitCodes.failed, `the door could not serve the two: ${why}`, { cause });
  }
}

/** The door looks twice a second, and once more if it saw a pair in the making. */
const doorSeesWithinMs = 1_200;

/**
 * The authorities before and after are both there until the door shows the new certificate. Interrupted between two of these, the door
 * keeps the pair it has; said again, all are there.
 */
async function replace(
  place: Place,
  made: { readonly certificate: string; readonly key: string; readonly authority: string | null },
): Promise<void> {
  const before = (await readIfThere(place.authority)) ?? "";
  if (made.authority !== null) await durableWrite(place.authority, made.authority + before);
  await durableWrite(place.key, made.key, 0o600);
  await durableWrite(place.certificate, made.certificate);
  if (made.authority === null) return;
  if (before !== "") await sleep(doorSeesWithinMs);
  await durableWrite(place.authority, made.authority);
}

/** Two at once could leave the key of one beside the certificate of the other. @throws {CommandError} if there is another */
async function lockOf({ home }: Place): Promise<Disposable> {
  const folder = join(home, "ceremony");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    return takeLock(join(folder, "tls.lock"), "replaces the certificate of this home");
  } catch (cause) {
    if (!(cause instanceof VaultRefused)) throw cause;
    throw new CommandError(exitCodes.failed, cause.message, { cause });
  }
}

function tell(
  certificate: X509Certificate,
  { parsed, terminal, notes }: { parsed: Arguments; terminal: Terminal; notes: readonly string[] },
): void {
  const { names, addresses } = namesOf(certificate);
  const ends = certificate.validToDate.toISOString();
  const issuer = onOneLine(certificate.issuer);
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

/** What names and addresses are, and how they are said to who wrote others. */
const forms = {
  names: { isGood: (one: string) => nameForm.test(one), like: "sign.example.com" },
  addresses: {
    // Neither zones nor IPv4 inside of IPv6: no client asks for them.
    isGood: (one: string) => isIP(one) === 4 || (isIP(one) === 6 && /^[\da-f:]+$/i.test(one)),
    like: "192.0.2.1 or 2001:db8::1",
  },
};

function listOf(
  parsed: Arguments,
  flag: keyof typeof forms,
  otherwise: readonly string[],
): readonly string[] {
  const { isGood, like } = forms[flag];
  const list = parsed.value(flag)?.split(",") ?? otherwise;
  const said = list.filter((one) => one !== "");
  const bad = said.find((one) => !isGood(one));
  if (bad === undefined) return said;
  const message = `--${flag}: "${bad}" is none; they are like ${like}, with commas between them`;
  throw new CommandError(exitCodes.usage, message);
}

async function placeOf({ environment, folder }: Terminal): Promise<Place> {
  const home = resolve(folder, environment["CHANCERY_HOME"] || ".chancery");
  const { tlsCertificate, tlsKey } = await fromHome(async () => {
    await readInstance(home);
    const { sections } = await readConfiguration(home);
    return v.parse(section, sections["http"] ?? {});
  });
  return {
    home,
    certificate: join(home, tlsCertificate),
    key: join(home, tlsKey),
    authority: join(home, authorityFile),
  };
}

async function readCertificate(path: string): Promise<X509Certificate> {
  const text = await readText(path);
  try {
    return new X509Certificate(text);
  } catch (cause) {
    const message = `the certificate in ${path} cannot be read: it must be PEM`;
    throw new CommandError(exitCodes.failed, message, { cause });
  }
}

async function readText(path: string): Promise<string> {
  const text = await readIfThere(path);
  if (text !== null) return text;
  throw new CommandError(exitCodes.environment, `${path} cannot be read: it is not there`);
}

/** Null if there is no such file. @throws {CommandError} if there is one that cannot be read */
async function readIfThere(path: string): Promise<string | null> {
  return await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return null;
    const message = `${path} cannot be read (${cause.code ?? cause.message})`;
    throw new CommandError(exitCodes.environment, message, { cause });
  });
}
