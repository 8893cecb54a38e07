/** `chancery who`, `chancery what`, `chancery audit head` and `chancery audit refusals`: the audit trail, read from the home. Works beside a running instance. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import * as v from "valibot";
import { parsePemBlocks } from "../core/formats/pem.ts";
import { CompositionError } from "../core/graph.ts";
import { driverName } from "../core/stores.ts";
import { MissingPartition, type Reader } from "../core/storage.ts";
import {
  type Deeds,
  type Dossier,
  plain,
  readRefusals,
  readTrail,
  showCounted,
  showDeeds,
  showDossier,
  type Span,
  type TrailReader,
  uuidOf,
} from "../plugins/audit/commands.ts";
import {
  type Arguments,
  CommandError,
  type ExitCode,
  exitCodes,
  parseArguments,
  type Terminal,
} from "../plugins/client/commands.ts";
import { log } from "../plugins/log/manifest.ts";
import { openStorage, readConfiguration } from "./load.ts";

/** `chancery who FILE|DIGEST|SERIAL`. */
export async function who(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, grammar("FILE|DIGEST|SERIAL", []));
  const asked = await readOperand(parsed.operands[0] ?? "", terminal);
  return await withTrail(terminal, async ({ trail, treeIds }) => {
    const found = await asked.find(trail);
    if (parsed.has("json")) {
      terminal.print(
        JSON.stringify({ ...asked.shown, found: found.map((one) => json(one, treeIds)) }),
      );
    } else {
      terminal.print(asked.title);
      for (const one of found) {
        for (const line of ["", ...showDossier(one, { treeIds })]) terminal.print(line);
      }
      if (found.length === 0) terminal.print("\nThe audit trail knows nothing of it.");
    }
    return isWhole(found) ? exitCodes.ok : exitCodes.failed;
  });
}

/** `chancery what IDENTITY --since TIME`. */
export async function what(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, grammar("IDENTITY", ["since", "until", "issuer"]));
  const [name = ""] = parsed.operands;
  const span = spanOf(parsed);
  return await withTrail(terminal, async ({ trail, treeIds }) => {
    const deeds = await trail.byName(name, span);
    const { certificates, refusals, signIns, signInRefusals } = deeds;
    if (parsed.has("json")) {
      const own = certificates.map((one) => json(one, treeIds));
      const shown = { certificates: own, refusals, signIns, signInRefusals };
      terminal.print(JSON.stringify({ identity: name, ...shown }));
    } else {
      terminal.print(summary(name, deeds));
      const lines = showDeeds(deeds, { treeIds });
      for (const line of lines.length === 0 ? [] : ["", ...lines]) terminal.print(line);
    }
    const attempts = signIns.length + signInRefusals.length;
    const some = certificates.length + refusals.length + attempts > 0;
    const whole = certificates.every(({ gaps }) => gaps.length === 0);
    return some && whole ? exitCodes.ok : exitCodes.failed;
  });
}

/** `chancery audit head`. */
export async function head(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, { operands: [], values: [], switches: ["json"] });
  return await withTrail(terminal, async ({ trail }) => {
    const { sequence, hash, handled } = await trail.head();
    if (parsed.has("json")) {
      terminal.print(JSON.stringify({ sequence, hash, handled }));
    } else {
      terminal.print(`${sequence} records, the last with SHA-256 ${hash}`);
      for (const [stream, fact] of Object.entries(handled)) {
        terminal.print(`  ${stream}: followed up to fact ${fact}`);
      }
    }
    return exitCodes.ok;
  });
}

/** `chancery audit refusals --since TIME`. */
export async function refusals(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const values = ["since", "until", "issuer"];
  const parsed = parseArguments(args, { operands: [], values, switches: ["json"] });
  const span = spanOf(parsed);
  return await withTrail(terminal, async ({ reader }) => {
    let some = false;
    for await (const one of readRefusals(reader, span)) {
      some = true;
      terminal.print(parsed.has("json") ? JSON.stringify(one) : showCounted(one));
    }
    if (!some && !parsed.has("json")) {
      terminal.print(
        "No stranger was refused in that time. Refusals of somebody who is known: chancery what IDENTITY --since TIME.",
      );
    }
    return exitCodes.ok;
  });
}

/** @throws {CommandError} */
function spanOf(parsed: Arguments): Span {
  const nowMs = Date.now();
  const sinceMs = timeOf(parsed, "since", nowMs);
  if (sinceMs === null)
    throw new CommandError(
      exitCodes.usage,
      "--since is missing: say a time such as 2026-11-01, or how long ago: 90m, 24h, 30d",
    );
  const untilMs = timeOf(parsed, "until", nowMs) ?? Infinity;
  return { sinceMs, untilMs, oidcIssuer: parsed.value("issuer") };
}

function grammar(operand: string, values: readonly string[]) {
  return { operands: [operand], values, switches: ["json"] };
}

interface House {
  readonly trail: TrailReader;
  /** Of the audit room's partition. */
  readonly reader: Reader;
  readonly treeIds: ReadonlyMap<string, string>;
}

/** Opens the trail of the home, and says if it is behind what it follows. */
async function withTrail(
  terminal: Terminal,
  work: (house: House) => Promise<ExitCode>,
): Promise<ExitCode> {
  const home = resolve(terminal.folder, terminal.environment["CHANCERY_HOME"] || ".chancery");
  const logs = await readLogs(home);
  await using storage = await openStorage(home);
  try {
    const own = await storage.openReader("audit");
    const trail = readTrail(own);
    const open = async (room: string, partition?: string) =>
      await storage.openReader(driverName(room, partition));
    const sources: [string, Reader][] = [["issuer/main", await open("issuer")]];
    const signIns = await open("idp").catch(unlessMissing);
    if (signIns !== null) sources.push(["idp/main", signIns]);
    for (const { name } of logs) sources.push([`log/${name}`, await open("log", name)]);
    if (await isBehind(trail, sources)) {
      terminal.complain(
        "chancery: the audit trail has not followed everything yet; ask again in a moment, or start the instance",
      );
    }
    const treeIds = new Map(logs.flatMap(({ name, treeId }) => (treeId ? [[name, treeId]] : [])));
    return await work({ trail, reader: own, treeIds });
  } catch (thrown) {
    if (!(thrown instanceof MissingPartition)) throw thrown;
    const message = `${home} has no audit trail; "npm start" makes one for homes of older releases`;
    throw new CommandError(exitCodes.environment, message, { cause: thrown });
  }
}

/** Homes of older releases have no partition of the sign-in's. */
function unlessMissing(thrown: unknown): null {
  if (thrown instanceof MissingPartition) return null;
  throw thrown;
}

async function isBehind(
  trail: TrailReader,
  sources: readonly (readonly [string, Reader])[],
): Promise<boolean> {
  const { handled } = await trail.head();
  for (const [stream, reader] of sources) {
    const newer = await reader.read("facts", BigInt(handled[stream] ?? 0), 1);
    if (newer.length > 0) return true;
  }
  return false;
}

async function readLogs(home: string) {
  try {
    const { sections } = await readConfiguration(home);
    return v.parse(log.manifest.config, sections["log"]).logs;
  } catch (thrown) {
    if (!(thrown instanceof CompositionError) && !(thrown instanceof v.ValiError)) throw thrown;
    throw new CommandError(exitCodes.environment, thrown.message, { cause: thrown });
  }
}

interface Asked {
  readonly title: string;
  readonly shown: { readonly [name: string]: string };
  readonly find: (trail: TrailReader) => Promise<readonly Dossier[]>;
}

/** A file if there is one of that name; else a digest or a serial number, by its length. */
async function readOperand(operand: string, { folder }: Terminal): Promise<Asked> {
  const path = resolve(folder, operand);
  if (existsSync(path) && statSync(path).isFile()) return await readArtifact(operand, path);
  const hex = operand
    .replace(/^sha(?:256|384|512):/i, "")
    .replaceAll(":", "")
    .toLowerCase();
  if (!/^(?:[0-9a-f]{2})+$/.test(hex)) {
    throw new CommandError(
      exitCodes.usage,
      `"${plain(operand.slice(0, 64))}" is no file, and no digest or serial number in hex`,
    );
  }
  if (hex.length <= 40) {
    const find = async (trail: TrailReader) => await trail.bySerial(hex);
    return { title: `serial ${hex}`, shown: { serial: hex }, find };
  }
  return byDigest(hex, `digest ${hex}`);
}

async function readArtifact(operand: string, path: string): Promise<Asked> {
  const certificate = await certificateIn(path);
  if (certificate !== null) {
    const title = `${plain(operand)}, a certificate with sha256:${certificate}`;
    const find = async (trail: TrailReader) => await trail.byFingerprint(certificate);
    return { title, shown: { file: operand, fingerprint: certificate }, find };
  }
  const digest = createHash("sha256");
  for await (const chunk of createReadStream(path)) digest.update(chunk as Uint8Array); // a stream without encoding gives bytes
  const hex = digest.digest("hex");
  return byDigest(hex, `${plain(operand)}, sha256:${hex}`, operand);
}

function byDigest(hex: string, title: string, file?: string): Asked {
  return {
    title,
    shown: { ...(file !== undefined && { file }), digest: hex },
    async find(trail) {
      const found = await trail.byDigest(hex);
      // A certificate's SHA-256 looks like any other.
      return found.length === 0 ? await trail.byFingerprint(hex) : found;
    },
  };
}

const maxPemBytes = 65_536;

/** SHA-256 of the first certificate of a PEM file; null for any other file. */
async function certificateIn(path: string): Promise<string | null> {
  if (statSync(path).size > maxPemBytes) return null;
  const text = await readFile(path, "latin1");
  if (!text.startsWith("-----BEGIN CERTIFICATE-----")) return null;
  const [first] = parsePemBlocks(text);
  return first === undefined ? null : createHash("sha256").update(first.der).digest("hex");
}

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A time, or how long ago: `2026-11-01`, `2026-11-01T08:00:00Z`, `90m`, `24h`, `30d`. */
function timeOf(args: Arguments, flag: string, nowMs: number): number | null {
  const text = args.value(flag);
  if (text === undefined) return null;
  const [, count = "", unit = "d"] = /^([1-9][0-9]{0,5})([mhd])$/.exec(text) ?? [];
  if (count !== "") return nowMs - Number(count) * unitMs[unit as keyof typeof unitMs]; // one of the three that match
  const isTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/.test(
    text,
  );
  const ms = isTime ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new CommandError(
    exitCodes.usage,
    `--${flag} must be a time such as 2026-11-01 or 2026-11-01T08:00:00Z, or how long ago: 90m, 24h, 30d`,
  );
}

function isWhole(found: readonly Dossier[]): boolean {
  return found.length > 0 && found.every(({ gaps }) => gaps.length === 0);
}

function summary(name: string, deeds: Deeds): string {
  const { certificates, refusals, signIns, signInRefusals } = deeds;
  const attempts = signInRefusals.reduce((sum, { count }) => sum + count, 0);
  const entries = certificates.flatMap(({ signatureEntries }) => signatureEntries);
  const gaps = certificates.flatMap((one) => one.gaps);
  const counts = [
    plural(certificates.length, "certificate"),
    `${entries.length} ${entries.length === 1 ? "entry" : "entries"} in signature logs`,
    plural(refusals.length, "refusal"),
    ...(signIns.length === 0 ? [] : [plural(signIns.length, "sign-in")]),
    ...(attempts === 0 ? [] : [plural(attempts, "refused sign-in")]),
  ];
  const missing = gaps.length === 0 ? "" : `, ${plural(gaps.length, "gap")}`;
  return `${plain(name)}: ${counts.join(", ")}${missing}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function json(dossier: Dossier, treeIds: ReadonlyMap<string, string>) {
  const signatureEntries = dossier.signatureEntries.map((entry) => {
    const treeId = treeIds.get(entry.log);
    return { ...entry, ...(treeId !== undefined && { uuid: uuidOf(treeId, entry.leafHash) }) };
  });
  return { ...dossier, signatureEntries };
}
