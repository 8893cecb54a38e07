/**
 * The trust room's part of `fsck`: the repository on the disk as clients read it, and the roles that were signed online against what the
 * vault's ledger says was to be signed. It reads beside a running instance.
 */
import { readFile } from "node:fs/promises";
import { sha256 } from "../../core/crypto/hash.ts";
import {
  decodeUtf8,
  encodeHex,
  encodeUtf8,
  equalBytes,
  uintFrom,
} from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  checkSignatures,
  type FileMeta,
  parseSnapshot,
  parseTimestamp,
  signedBytes,
} from "../../core/formats/tuf.ts";
import type { Reader } from "../../core/storage.ts";
import { parseFile, readRepository, type Repository, verifyRoleSignature } from "./repository.ts";
import { isShared, readShared, rowsToShare } from "./shared.ts";

/** Something that is not as it must be. */
export interface TrustFinding {
  /** An `error` is damage; a `warning` is made good by the running instance. */
  readonly severity: "error" | "warning";
  readonly text: string;
}

/** What {@link fsckTrust} needs. */
export interface TrustQuestion {
  /** Where ceremonies leave root, targets and target files. */
  readonly directory: string;
  /** The copy of the first root that is given to clients. */
  readonly firstRoot: string;
  /** A reader of the room's store. */
  readonly reader: Reader;
}

/** A role that was signed online and is kept. */
interface StoredRole {
  /** `type version`. */
  readonly role: string;
  /** Over the hash of what was signed, as the vault's ledger has it. */
  readonly hash: string;
}

/** What was found, and which versions there are. */
export interface TrustReport {
  readonly findings: readonly TrustFinding[];
  /** Of the newest root, 0 if none can be read. */
  readonly root: number;
  readonly roles: readonly StoredRole[];
}

/**
 * Every role that was ever shown must be one that the vault was asked to sign. The vault's hashes, by `type version`, are to be read
 * after the room's store: beside a running instance only they may be newer.
 */
export function compareRoles(
  { roles }: TrustReport,
  signed: { readonly [role: string]: readonly string[] },
): readonly TrustFinding[] {
  return roles
    .filter(({ role, hash }) => signed[role]?.includes(hash) !== true)
    .map(({ role }) => ({
      severity: "error",
      text: `the vault's ledger does not tell of this ${role.replace(" ", " of version ")}`,
    }));
}

type Report = (severity: TrustFinding["severity"], text: string) => void;

/** Checks it. */
export async function fsckTrust(question: TrustQuestion): Promise<TrustReport> {
  const findings: TrustFinding[] = [];
  const report: Report = (severity, text) => findings.push({ severity, text });
  const repository = await guarded(report, async () => await readRepository(question.directory));
  if (repository === null) return { findings, root: 0, roles: [] };
  const copy = await readFile(question.firstRoot).catch(() => null);
  if (copy === null || !equalBytes(copy, repository.files.get("1.root.json") ?? copy.subarray(1))) {
    report("error", `${question.firstRoot} is not the first root of the repository`);
  }
  const roles = await readRoles(question.reader, report);
  await guarded(report, async () => {
    rowsToShare(repository.files, await readShared(question.reader));
  });
  await guarded(report, async () => await checkShown(question.reader, repository, report));
  return { findings, root: repository.root.version, roles };
}

async function guarded<T>(report: Report, check: () => Promise<T>): Promise<T | null> {
  try {
    return await check();
  } catch (thrown) {
    if (!(thrown instanceof Malformed)) throw thrown;
    report("error", thrown.message);
    return null;
  }
}

const pageSize = 256;

async function readRoles(reader: Reader, report: Report): Promise<readonly StoredRole[]> {
  const roles: StoredRole[] = [];
  for (let from = new Uint8Array(); ;) {
    const rows = await reader.scan("files", { from, limit: pageSize });
    for (const { key, value } of rows) {
      const name = decodeUtf8(key);
      from = new Uint8Array([...key, 0]);
      if (isShared(name)) continue;
      await guarded(report, async () => {
        const { signed } = parseFile(name, value);
        const isTimestamp = name === "timestamp.json";
        const { version } = isTimestamp ? parseTimestamp(signed) : parseSnapshot(signed);
        if (!isTimestamp && name !== `${version}.snapshot.json`) {
          report("error", `${name} is of version ${version}`);
        }
        const role = `${isTimestamp ? "timestamp" : "snapshot"} ${version}`;
        roles.push({ role, hash: encodeHex(sha256(sha256(signedBytes(signed)))) });
        await requireReserved(reader, { role, version }, report);
      });
    }
    if (rows.length < pageSize) return roles;
  }
}

/** A version is reserved before it is signed, or it would be used a second time. */
async function requireReserved(
  reader: Reader,
  { role, version }: { readonly role: string; readonly version: number },
  report: Report,
): Promise<void> {
  const [name = ""] = role.split(" ");
  const reserved = await reader.get("versions", encodeUtf8(name));
  if (reserved !== null && Number(uintFrom(reserved)) >= version) return;
  report("error", `version ${version} of ${name} was signed, but is not reserved`);
}

/** What clients get now: signed under the newest root, and each file what the one before it says. */
async function checkShown(
  reader: Reader,
  { root, targets, files }: Repository,
  report: Report,
): Promise<void> {
  const timestampFile = await reader.get("files", encodeUtf8("timestamp.json"));
  if (timestampFile === null) {
    report("warning", "nothing is published yet: the next start does that");
    return;
  }
  const timestampRead = parseFile("timestamp.json", timestampFile);
  const { snapshot: named } = parseTimestamp(timestampRead.signed);
  const path = `${named.version}.snapshot.json`;
  const snapshotFile = await reader.get("files", encodeUtf8(path));
  if (snapshotFile === null) throw new Malformed(`trust: ${path} is missing`);
  const snapshotRead = parseFile(path, snapshotFile);
  checkSignatures(timestampRead, "timestamp", root, verifyRoleSignature);
  checkSignatures(snapshotRead, "snapshot", root, verifyRoleSignature);
  if (!isOf(named, snapshotFile)) report("error", `${path} is not what the timestamp says`);
  const { targets: shown } = parseSnapshot(snapshotRead.signed);
  const targetsPath = `${targets.version}.targets.json`;
  if (shown.version < targets.version) {
    report("warning", `${targetsPath} is not published yet: the running instance does that`);
  } else if (
    shown.version > targets.version ||
    !isOf(shown, files.get(targetsPath) ?? new Uint8Array())
  ) {
    report("error", `${targetsPath} is not what the snapshot says`);
  }
}

function isOf({ length, sha256: hash }: FileMeta, file: Uint8Array): boolean {
  return length === file.length && hash !== undefined && equalBytes(hash, sha256(file));
}
