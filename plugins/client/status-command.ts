/** `chancery status`. */
import { join } from "node:path";
import { decodeUtf8, encodeHex } from "../../core/formats/encoding.ts";
import { type JsonValue, parseJson, parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { TrustedRoot } from "../../core/formats/trusted-root.ts";
import { parseArguments } from "./arguments.ts";
import { type DoorCertificate, readDoorCertificate } from "./door.ts";
import { readBounded } from "./files.ts";
import { homeOf, readInstance, readTrustedRoot } from "./home.ts";
import { fetchCheckpoint } from "./checkpoint.ts";
import { request } from "./remote.ts";
import { fetchPage } from "./search.ts";
import { CommandError, type ExitCode, type Terminal, exitCodes } from "./terminal.ts";

/** Prints how the instance is; ends with 0 only if it is ready. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: [], values: [], switches: ["json"] });
  const instance = await readInstance(terminal);
  const trustedRoot = await readTrustedRoot(terminal, undefined);
  const { origin, id, createdAt } = instance;
  const keys = await readKeys(terminal);
  const [health, logs, search, tuf, tls] = await Promise.all([
    readHealth(origin),
    Promise.all(logNames.map(async (name) => await readLog(origin, name, trustedRoot))),
    readSearch(origin),
    readTufExpiry(origin),
    orProblem(async () => await readDoorCertificate(homeOf(terminal), new Date())),
  ]);
  const status = {
    origin,
    home: homeOf(terminal),
    instance: id,
    createdAt,
    node: process.version,
    ...health,
    logs,
    search,
    keys,
    tuf,
    tls,
  };
  terminal.print(parsed.has("json") ? JSON.stringify(status) : render(status));
  return health.ready ? exitCodes.ok : exitCodes.failed;
}

/** What is wrong, where something is. */
type OrProblem<T> = T | { readonly problem: string };

interface Status {
  readonly origin: string;
  readonly home: string;
  readonly instance: string;
  readonly createdAt: string;
  readonly ready: boolean;
  readonly health: JsonValue;
  readonly logs: readonly (OrProblem<{ readonly size: string; readonly logId: string }> & {
    readonly name: string;
  })[];
  /** How much of each log search finds. */
  readonly search: OrProblem<readonly Extent[]>;
  readonly keys: OrProblem<readonly { readonly label: string; readonly algorithm: string }[]>;
  readonly tuf: OrProblem<{ readonly version: number; readonly expires: string }>;
  /** What the TLS listener of this machine shows. */
  readonly tls: OrProblem<DoorCertificate>;
}

interface Extent {
  readonly log: string;
  readonly indexed: number;
  readonly size: number;
}

const logNames = ["ct", "rekor"] as const;
const maxKeyringBytes = 1024 * 1024;

async function readHealth(origin: string): Promise<{ ready: boolean; health: JsonValue }> {
  const answer = await request({
    method: "GET",
    url: `${origin}/readyz`,
    what: "the health",
    // 503 is the answer of a service that is not ready, not one to be asked again.
    accept: [200, 503],
  });
  return { ready: answer.status === 200, health: jsonOrText(answer.body) };
}

async function readLog(origin: string, name: string, trustedRoot: TrustedRoot) {
  const read = async () => {
    const { checkpoint, trusted } = await fetchCheckpoint(origin, name, trustedRoot);
    return { size: String(checkpoint.size), logId: encodeHex(trusted.logId) };
  };
  return { name, ...(await orProblem(read)) };
}

async function readSearch(origin: string): Promise<Status["search"]> {
  return await orProblem(
    async () => (await fetchPage(origin, new URLSearchParams("limit=0"))).logs,
  );
}

async function readTufExpiry(origin: string): Promise<Status["tuf"]> {
  return await orProblem(async () => {
    const what = "the TUF timestamp";
    const answer = await request({
      method: "GET",
      url: `${origin}/tuf/timestamp.json`,
      what,
      accept: [200],
    });
    const { signed } = objectOf(parseJsonBytes(answer.body), what);
    const { version, expires } = objectOf(signed, what);
    if (typeof version !== "number" || typeof expires !== "string") throw new Malformed(what);
    return { version, expires };
  });
}

async function readKeys(terminal: Terminal): Promise<Status["keys"]> {
  return await orProblem(async () => {
    const path = join(homeOf(terminal), "vault", "keyring.json");
    const { keys } = objectOf(
      parseJsonBytes(await readBounded(path, "the keyring", maxKeyringBytes)),
      "keyring",
    );
    if (!Array.isArray(keys)) throw new Malformed("keyring: keys");
    return keys.map((key: JsonValue) => {
      const { label, algorithm } = objectOf(key, "keyring: key");
      return { label: textOf(label), algorithm: textOf(algorithm) };
    });
  });
}

async function orProblem<T>(read: () => Promise<T>): Promise<OrProblem<T>> {
  try {
    return await read();
  } catch (error) {
    const isExpected =
      error instanceof CommandError ||
      (error instanceof Error && (error.name === "Malformed" || error.name === "NotVerified"));
    if (!isExpected) throw error;
    return { problem: error.message };
  }
}

function objectOf(
  value: JsonValue | undefined,
  what: string,
): { readonly [name: string]: JsonValue } {
  if (value === undefined || value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Malformed(`${what}: expected an object`);
  }
  return value as { readonly [name: string]: JsonValue }; // neither null nor an array: JSON's object
}

function jsonOrText(body: Uint8Array): JsonValue {
  const text = decodeUtf8(body);
  try {
    return parseJson(text);
  } catch {
    return text.replace(/\p{Cc}/gu, " ").trim();
  }
}

function render(status: Status): string {
  const { origin, home, createdAt, ready, health, logs, search, keys, tuf, tls } = status;
  return [
    `${ready ? "ready" : "NOT READY"}  ${origin}`,
    `home       ${home}, made ${createdAt}`,
    `health     ${renderHealth(health)}`,
    ...logs.map((log) =>
      "problem" in log
        ? `log        ${log.name}: ${log.problem}`
        : `log        ${log.name}: ${log.size} entries, id ${log.logId.slice(0, 16)}…`,
    ),
    `search     ${renderSearch(search)}`,
    "problem" in keys
      ? `keys       ${keys.problem}`
      : `keys       ${keys.map(({ label, algorithm }) => `${label} (${algorithm})`).join(", ")}`,
    "problem" in tuf
      ? `TUF        ${tuf.problem}`
      : `TUF        timestamp ${tuf.version}, expires ${tuf.expires}`,
    `TLS        ${renderDoor(tls)}`,
  ].join("\n");
}

function renderDoor(tls: Status["tls"]): string {
  if ("problem" in tls) return tls.problem;
  const soon = tls.endsSoon ? ", WHICH IS SOON: chancery tls renew, or chancery tls use" : "";
  return `certificate ends ${tls.ends}${soon}`;
}

function renderSearch(search: Status["search"]): string {
  if ("problem" in search) return search.problem;
  const extents = search.map(({ log, indexed, size }) => `${log} ${indexed} of ${size}`);
  return extents.length === 0 ? "no log is in the index yet" : extents.join(", ");
}

/** The service names the rooms that are unwell; none means that all are well. */
function renderHealth(health: JsonValue): string {
  if (health === null || typeof health !== "object" || Array.isArray(health)) return textOf(health);
  const { status, rooms } = health as { readonly [name: string]: JsonValue };
  if (status === "ready") return "every room is well";
  return `${textOf(status)}: ${textOf(rooms).replace(/["{}]/g, "").replaceAll(":", " is ")}`;
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "unknown");
}
