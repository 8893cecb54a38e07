/**
 * The next version of the targets, or of the root, as a ceremony signed it: verified whole before anything is kept, target files first
 * and the metadata last, so that a process that is killed on the way leaves the version before it in force and the same ask goes on.
 */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sha256 } from "../../core/crypto/hash.ts";
import { durableWrite } from "../../core/durable.ts";
import { encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  checkSignatures,
  parseRoot,
  parseTargets,
  type RootRole,
  type SignedRole,
  type TargetsRole,
} from "../../core/formats/tuf.ts";
import type { QuestionOf } from "../../events/contract.ts";
import { Failure } from "../../events/failure.ts";
import type { publishTargets } from "../../events/trust.ts";
import {
  parseFile,
  readRepository,
  type Repository,
  targetPath,
  verifyRoleSignature,
} from "./repository.ts";

type Publication = QuestionOf<typeof publishTargets>;

/** Keeps files where every process finds them, all or nothing, before they are in this one's folder. */
type Keep = (files: ReadonlyMap<string, Uint8Array>) => Promise<void>;

/** The repository with the new targets, on the disk and read back. @throws {Failure} operation-refused */
export async function takeTargets(
  directory: string,
  repository: Repository,
  {
    publication,
    now,
    keep,
  }: { readonly publication: Publication; readonly now: Date; readonly keep: Keep },
): Promise<Repository> {
  const targets = readTargets(repository, publication.targets, now);
  const name = `${targets.version}.targets.json`;
  const current = repository.files.get(name);
  if (current !== undefined && equalBytes(current, publication.targets)) return repository;
  const last = repository.targets.version;
  if (targets.version !== last + 1) {
    throw refused(`these are targets of version ${targets.version}, the next one is ${last + 1}`);
  }
  const fresh = newFiles(repository, targets, publication);
  await keep(new Map([...fresh, [name, publication.targets]]));
  for (const [path, content] of fresh) {
    await mkdir(dirname(join(directory, path)), { recursive: true, mode: 0o700 });
    await durableWrite(join(directory, path), content);
  }
  await durableWrite(join(directory, name), publication.targets);
  const next = await readRepository(directory);
  // Clients that have read the snapshot before this one still come for its targets.
  return { ...next, files: new Map([...repository.files, ...next.files]) };
}

/**
 * The repository with the new root, on the disk and read back. `requireKeys` refuses a root under which this installation cannot sign.
 *
 * @throws {Failure} operation-refused
 */
export async function takeRoot(
  directory: string,
  repository: Repository,
  {
    file,
    now,
    requireKeys,
    keep,
  }: {
    readonly file: Uint8Array;
    readonly now: Date;
    readonly keep: Keep;
    readonly requireKeys: (root: RootRole) => Promise<void>;
  },
): Promise<Repository> {
  const last = repository.root.version;
  const current = repository.files.get(`${last}.root.json`);
  if (current !== undefined && equalBytes(current, file)) return repository;
  const root = readRoot(repository, file, now);
  await requireKeys(root);
  const name = `${root.version}.root.json`;
  await keep(new Map([[name, file]]));
  await durableWrite(join(directory, name), file);
  const next = await readRepository(directory);
  return { ...next, files: new Map([...repository.files, ...next.files]) };
}

/** Signed by the threshold of the root before it and by its own, and good for the targets that are served. */
function readRoot(repository: Repository, file: Uint8Array, now: Date): RootRole {
  const { root: before, targets, files } = repository;
  try {
    const read = parseFile("the new root", file);
    const root = parseRoot(read.signed);
    if (root.version !== before.version + 1) {
      throw refused(
        `this is a root of version ${root.version}, the next one is ${before.version + 1}`,
      );
    }
    signed(read, before, "the root before it");
    signed(read, root, "itself");
    if (root.expires <= now) throw refused("this root has expired");
    const name = `${targets.version}.targets.json`;
    const served = parseFile(name, files.get(name) ?? new Uint8Array());
    checkSignatures(served, "targets", root, verifyRoleSignature);
    return root;
  } catch (thrown) {
    if (thrown instanceof Malformed) throw refused(thrown.message);
    throw thrown;
  }
}

function signed(file: SignedRole, root: RootRole, whose: string): void {
  try {
    checkSignatures(file, "root", root, verifyRoleSignature);
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw refused(`the new root is not signed as ${whose} demands: ${cause.message}`);
  }
}

function readTargets({ root }: Repository, file: Uint8Array, now: Date): TargetsRole {
  try {
    const read = parseFile("the new targets", file);
    checkSignatures(read, "targets", root, verifyRoleSignature);
    const targets = parseTargets(read.signed);
    if (targets.expires <= now) throw refused("these targets have expired");
    return targets;
  } catch (thrown) {
    if (thrown instanceof Malformed) throw refused(thrown.message);
    throw thrown;
  }
}

/** What is not there yet, by path. @throws {Failure} unless every target is there or comes along */
function newFiles(
  repository: Repository,
  { targets }: TargetsRole,
  { files }: Publication,
): ReadonlyMap<string, Uint8Array> {
  const given = new Map(
    files.map(({ name, content }) => [`${encodeHex(sha256(content))}.${name}`, content]),
  );
  const fresh = new Map<string, Uint8Array>();
  for (const target of targets) {
    const path = targetPath(target);
    if (repository.files.has(path)) continue;
    const content = given.get(path.slice("targets/".length));
    if (content?.length !== target.length) {
      throw refused(`the targets name ${target.name}, which is not there and did not come along`);
    }
    fresh.set(path, content);
  }
  return fresh;
}

function refused(message: string): Failure {
  return new Failure("operation-refused", message);
}
