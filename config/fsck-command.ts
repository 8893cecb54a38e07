/** `chancery fsck`: the vault's part, then the logs' part held against it. Works beside a running instance. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { decodeBase64, decodeHex } from "../core/formats/encoding.ts";
import { CompositionError } from "../core/graph.ts";
import { parseJson, parseJsonBytes } from "../core/formats/json.ts";
import { driverName } from "../core/stores.ts";
import { MissingPartition, type Reader, type StorageDriver } from "../core/storage.ts";
import { decode } from "../core/wire.ts";
import { fsckVault, VaultRefused, type VaultReport } from "../hsm/commands.ts";
import {
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import {
  type CheckedLog,
  type Finding,
  firstIndexOf,
  fsckLogs,
  readRetirement,
} from "../plugins/log/commands.ts";
import { fsckAudit } from "../plugins/audit/commands.ts";
import { compareSizes, fsckSearch } from "../plugins/search/commands.ts";
import { search } from "../plugins/search/manifest.ts";
import { log, type LogConfig } from "../plugins/log/manifest.ts";
import { compareRoles, fsckTrust, type TrustReport } from "../plugins/trust/commands.ts";
import { trust } from "../plugins/trust/manifest.ts";
import { openStorage, readConfiguration } from "./load.ts";

/** Prints every finding; ends with 1 if there is one that is damage. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: [], values: [], switches: ["deep", "json"] });
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  const { findings, checked } = await check(home, parsed.has("deep"));
  const isDamaged = findings.some(({ severity }) => severity === "error");
  if (parsed.has("json")) {
    terminal.print(JSON.stringify({ clean: !isDamaged, checked, findings }));
  } else {
    for (const { severity, room, text } of findings)
      terminal.print(`${severity}: ${room}: ${text}`);
    terminal.print(`${isDamaged ? "DAMAGED" : "clean"}: ${checked.join(", ")}`);
  }
  return isDamaged ? exitCodes.failed : exitCodes.ok;
}

/** What `fsck` prints: `error` is damage, `warning` is something a running instance will make good or an operator should know. */
interface Shown {
  readonly severity: Finding["severity"];
  readonly room: string;
  readonly text: string;
}

async function check(
  home: string,
  deep: boolean,
): Promise<{ findings: Shown[]; checked: string[] }> {
  await using storage = await openStorage(home);
  const openReader = async (name: string) => await storage.openReader(driverName("log", name));
  const logs = await readLogs(home, openReader);
  // Before the vault, so that the vault can only be newer than what is shown of it.
  const trusted = await trustReport(home, storage);
  // Before both: what is in the index is in a log that the vault has signed.
  const index = fsckSearch(await indexPath(home));
  // Before the logs, so that they can only be newer than what the vault has signed.
  const vault = await vaultReport(home);
  const found = await fsckLogs({
    openReader,
    logs: logs.map(({ checked }) => checked),
    readFact,
    deep,
    lastSigned: async (name) => {
      const key = logs.find(({ checked }) => checked.name === name)?.key ?? "";
      const head = vault.heads[key];
      return head === undefined ? null : { size: head.size, root: decodeHex(head.root) };
    },
  });
  const audit = await auditReport(storage, logs);
  const signed = new Map(
    logs.map(({ checked: one, key }) => [one.name, vault.heads[key]?.size ?? 0n]),
  );
  const findings: Shown[] = [
    ...vault.findings.map(({ severity, message }) => ({
      severity: severity === "broken" ? ("error" as const) : ("warning" as const),
      room: "vault",
      text: message,
    })),
    ...found.map(({ severity, log: name, text }) => ({ severity, room: `log ${name}`, text })),
    ...[...trusted.findings, ...compareRoles(trusted, vault.roles)].map(({ severity, text }) => ({
      severity,
      room: "trust",
      text,
    })),
    ...audit.findings.map((finding) => ({ room: "audit", ...finding })),
    ...[...index.findings, ...compareSizes(index, signed)].map((finding) => ({
      room: "search",
      ...finding,
    })),
  ];
  const sizes = logs.map(
    ({ checked, key }) => `log ${checked.name} (${vault.heads[key]?.size ?? 0n} entries signed)`,
  );
  const checked = [
    `vault (${vault.rows} ledger rows)`,
    ...sizes,
    `trust (root version ${trusted.root})`,
    `audit (${audit.records} records)`,
    `search (${[...index.indexed].map(([log, count]) => `${log} ${count} of ${signed.get(log) ?? 0n}`).join(", ") || "no index"})`,
  ];
  return { findings, checked };
}

/** A row of a stream of facts, whose body is a message in a message. @throws {Malformed} */
function readFact(value: Uint8Array): unknown {
  const { name, body } = v.parse(
    v.object({ name: v.string(), body: v.instance(Uint8Array) }),
    decode(value),
  );
  return { name, body: decode(body) };
}

async function indexPath(home: string): Promise<string> {
  const { sections } = await readSections(home);
  const { directory } = v.parse(search.manifest.config, sections["search"] ?? {});
  return join(home, directory, "search.db");
}

async function trustReport(home: string, storage: StorageDriver): Promise<TrustReport> {
  const { sections } = await readSections(home);
  const { directory } = v.parse(trust.manifest.config, sections["trust"] ?? {});
  await using reader = await storage.openReader(driverName("trust"));
  return await fsckTrust({
    directory: join(home, directory),
    firstRoot: join(home, "trust", "1.root.json"),
    reader,
  });
}

async function auditReport(
  storage: StorageDriver,
  logs: readonly { readonly checked: CheckedLog }[],
): ReturnType<typeof fsckAudit> {
  const readers = new Map<string, Reader>();
  for (const { checked: one } of logs) {
    readers.set(`log/${one.name}`, await storage.openReader(driverName("log", one.name)));
  }
  try {
    return await fsckAudit({
      audit: await storage.openReader("audit"),
      issuer: await storage.openReader("issuer"),
      idp: await openIfThere(storage, "idp"),
      logs: readers,
      isIssued: (row) => v.parse(outcome, parseJsonBytes(row)).outcome === "issued",
    });
  } catch (thrown) {
    if (!(thrown instanceof MissingPartition)) throw thrown;
    // Homes of older releases have none until they are started.
    const text = `there is no audit trail: ${thrown.message}`;
    return { findings: [{ severity: "warning", text }], records: 0 };
  }
}

/** Homes of older releases do not have every store until they are started. */
async function openIfThere(storage: StorageDriver, name: string): Promise<Reader | null> {
  try {
    return await storage.openReader(name);
  } catch (thrown) {
    if (!(thrown instanceof MissingPartition)) throw thrown;
    return null;
  }
}

const outcome = v.object({ outcome: v.string() });

/** The vault's part of `fsck`. @throws {CommandError} if it cannot be read */
export async function vaultReport(home: string): Promise<VaultReport> {
  try {
    return await fsckVault({ home });
  } catch (thrown) {
    if (!(thrown instanceof VaultRefused)) throw thrown;
    throw new CommandError(exitCodes.failed, thrown.message, { cause: thrown });
  }
}

const keyring = v.object({
  keys: v.array(
    v.object({
      label: v.string(),
      publicKey: v.string(),
      origin: v.optional(v.string()),
      noteName: v.optional(v.string()),
    }),
  ),
});

/** The configured logs with their keys, and the keys' labels. */
async function readLogs(
  home: string,
  openReader: (log: string) => Promise<Reader>,
): Promise<{ checked: CheckedLog; key: string }[]> {
  const { keys } = await readKeyring(home);
  const configured = await readLogConfigs(home);
  const logs: { checked: CheckedLog; key: string }[] = [];
  for (const one of configured) {
    const { name, format, key } = one;
    const bound = keys.find(({ label }) => label === key);
    // The key of a retired log may be gone; its store knows it.
    const found = await retiredKeyOf(name, openReader, bound);
    if (found === null) {
      throw new CommandError(
        exitCodes.failed,
        `the keyring has no log key "${key}", which the log ${name} needs`,
      );
    }
    const checked = {
      name,
      format,
      ...found,
      firstIndex: await firstIndexOf(one, { logs: configured, openReader }),
      hasChains: format === "rfc6962",
    };
    logs.push({ checked, key });
  }
  return logs;
}

async function retiredKeyOf(
  log: string,
  openReader: (log: string) => Promise<Reader>,
  bound: v.InferOutput<typeof keyring>["keys"][number] | undefined,
): Promise<Pick<CheckedLog, "publicKey" | "origin" | "noteName"> | null> {
  if (bound?.origin !== undefined) {
    const { origin, noteName } = bound;
    const publicKey = decodeBase64(bound.publicKey);
    return { publicKey, origin, ...(noteName !== undefined && { noteName }) };
  }
  await using reader = await openReader(log);
  return await readRetirement(reader);
}

async function readLogConfigs(home: string): Promise<readonly LogConfig[]> {
  const { sections } = await readSections(home);
  return v.parse(log.manifest.config, sections["log"]).logs;
}

/** The configuration, of which what is checked here can be read. */
async function readSections(home: string): ReturnType<typeof readConfiguration> {
  try {
    const configuration = await readConfiguration(home);
    v.parse(log.manifest.config, configuration.sections["log"]);
    v.parse(trust.manifest.config, configuration.sections["trust"] ?? {});
    return configuration;
  } catch (thrown) {
    if (!(thrown instanceof CompositionError) && !(thrown instanceof v.ValiError)) throw thrown;
    throw new CommandError(exitCodes.environment, thrown.message, { cause: thrown });
  }
}

async function readKeyring(home: string): Promise<v.InferOutput<typeof keyring>> {
  const path = join(home, "vault", "keyring.json");
  try {
    return v.parse(keyring, parseJson(await readFile(path, "utf8")));
  } catch (cause) {
    throw new CommandError(
      exitCodes.environment,
      `${path} cannot be read or is damaged; set CHANCERY_HOME, or make an instance with "npm start"`,
      { cause },
    );
  }
}
