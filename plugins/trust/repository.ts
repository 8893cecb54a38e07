/** What ceremonies have left: roots, targets metadata and target files, read from disk and verified before anything is served. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "../../core/crypto/hash.ts";
import { importPublicKey } from "../../core/crypto/keys.ts";
import { verifySignature } from "../../core/crypto/verify.ts";
import { decodeUtf8, encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  checkSignatures,
  parseRoot,
  parseSignedRole,
  parseTargets,
  type RootRole,
  type SignedRole,
  type Target,
  type TargetsRole,
  type VerifyTufSignature,
} from "../../core/formats/tuf.ts";

/** A verified repository, but for the roles that are signed online. */
export interface Repository {
  /** The newest root. */
  readonly root: RootRole;
  /** The newest targets. */
  readonly targets: TargetsRole;
  /** Content by path: `1.root.json`, `1.targets.json`, `targets/<sha256>.<name>`. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Largest files that clients take (go-tuf's limits). */
const maxBytes = { root: 512_000, targets: 5_000_000, target: 10_000_000 } as const;

/** Verifies as `core/crypto` does; a key that its policy refuses verifies nothing. */
export const verifyRoleSignature: VerifyTufSignature = (spki, message, signature) =>
  verifySignature(importPublicKey(spki), message, signature, "sha256");

/**
 * Reads `directory` whole. Files in it that the repository does not name are left alone and never served.
 *
 * @throws {Malformed} if a file is missing, too large, wrongly signed or not what its hash says.
 */
export async function readRepository(directory: string): Promise<Repository> {
  const files = new Map<string, Uint8Array>();
  const names = await readdir(directory).catch(() => []);
  const root = await readRoots(directory, versions(names, "root"), files);
  const newest = versions(names, "targets").at(-1);
  if (newest === undefined) throw new Malformed("trust: there is no targets metadata");
  const targetsName = `${newest}.targets.json`;
  const bytes = await read(directory, targetsName, maxBytes.targets);
  const signed = parseFile(targetsName, bytes);
  checkSignatures(signed, "targets", root, verifyRoleSignature);
  const targets = parseTargets(signed.signed);
  if (targets.version !== newest) throw new Malformed(`trust: ${targetsName}: another version`);
  files.set(targetsName, bytes);
  for (const target of targets.targets) {
    const path = targetPath(target);
    files.set(path, await readTarget(directory, path, target));
  }
  return { root, targets, files };
}

/** Parses a file's JSON. @throws {Malformed} that names the file. */
export function parseFile(name: string, bytes: Uint8Array): SignedRole {
  try {
    return parseSignedRole(decodeUtf8(bytes));
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new Malformed(`trust: ${name}: ${cause.message}`, { cause });
  }
}

/** Every root must be signed by the one before it and by itself (TUF 1.0.31 §5.3). */
async function readRoots(
  directory: string,
  numbers: readonly number[],
  files: Map<string, Uint8Array>,
): Promise<RootRole> {
  let trusted: RootRole | null = null;
  for (const [index, number] of numbers.entries()) {
    const name = `${number}.root.json`;
    if (number !== index + 1) throw new Malformed(`trust: ${index + 1}.root.json is missing`);
    const bytes = await read(directory, name, maxBytes.root);
    const file = parseFile(name, bytes);
    const root = parseRoot(file.signed);
    if (root.version !== number) throw new Malformed(`trust: ${name}: another version`);
    checkSignatures(file, "root", trusted ?? root, verifyRoleSignature);
    checkSignatures(file, "root", root, verifyRoleSignature);
    files.set(name, bytes);
    trusted = root;
  }
  if (trusted === null) {
    throw new Malformed("trust: 1.root.json is missing: it comes from genesis, or from a backup");
  }
  return trusted;
}

function versions(names: readonly string[], role: "root" | "targets"): readonly number[] {
  const pattern = new RegExp(`^([1-9]\\d{0,5})\\.${role}\\.json$`);
  return names
    .flatMap((name) => pattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** Where a target's content is. @throws {Malformed} */
export function targetPath({ name, sha256: hash }: Target): string {
  // The name becomes part of a path here and of a URL at clients.
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/.test(name)) {
    throw new Malformed("trust: a target's name is not a plain file name");
  }
  return `targets/${encodeHex(hash)}.${name}`;
}

async function readTarget(directory: string, path: string, target: Target): Promise<Uint8Array> {
  const bytes = await read(directory, path, maxBytes.target);
  if (bytes.length !== target.length || !equalBytes(sha256(bytes), target.sha256)) {
    throw new Malformed(`trust: ${path} is not what the targets metadata say`);
  }
  return bytes;
}

async function read(directory: string, name: string, limit: number): Promise<Uint8Array> {
  const path = join(directory, name);
  const found = await stat(path).catch(() => null);
  if (found === null || !found.isFile()) throw new Malformed(`trust: ${name} is missing`);
  if (found.size > limit) throw new Malformed(`trust: ${name} is larger than ${limit} bytes`);
  return new Uint8Array(await readFile(path));
}
