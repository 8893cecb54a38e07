/**
 * The two roles that are signed online. What is published is what the store holds: a version number is reserved durably before it is
 * signed and never used again, so a crash at any point costs a number and nothing else.
 */
import { sha256 } from "../../core/crypto/hash.ts";
import {
  decodeHex,
  encodeHex,
  encodeUtf8,
  equalBytes,
  uintBytes,
  uintFrom,
} from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import {
  checkSignatures,
  type FileMeta,
  formatSignedRole,
  parseSnapshot,
  parseTimestamp,
  type RootRole,
  type SnapshotRole,
  snapshotRole,
  type TimestampRole,
  timestampRole,
  tufKey,
} from "../../core/formats/tuf.ts";
import type { Store } from "../../core/plugin.ts";
import { Failure } from "../../events/failure.ts";
import { describeKey, sign } from "../../events/hsm.ts";
import type { TrustContext } from "./manifest.ts";
import { parseFile, type Repository, verifyRoleSignature } from "./repository.ts";

/** A snapshot and the timestamp that points to it, as published. */
export interface Online {
  readonly snapshot: SnapshotRole;
  readonly snapshotFile: Uint8Array;
  readonly timestamp: TimestampRole;
  readonly timestampFile: Uint8Array;
}

type Role = "snapshot" | "timestamp";

const timestampPath = encodeUtf8("timestamp.json");

/** A snapshot's file name, and its key in the store. */
function snapshotPath(version: number): string {
  return `${version}.snapshot.json`;
}

/** What the store holds, or null if there is nothing or it no longer fits the repository and has to be signed again. */
export async function readOnline(store: Store, repository: Repository): Promise<Online | null> {
  const timestampFile = await store.get("files", timestampPath);
  if (timestampFile === null) return null;
  try {
    const timestampRead = parseFile("timestamp.json", timestampFile);
    checkSignatures(timestampRead, "timestamp", repository.root, verifyRoleSignature);
    const timestamp = parseTimestamp(timestampRead.signed);
    const path = snapshotPath(timestamp.snapshot.version);
    const snapshotFile = await store.get("files", encodeUtf8(path));
    if (snapshotFile === null) return null;
    const snapshotRead = parseFile(path, snapshotFile);
    checkSignatures(snapshotRead, "snapshot", repository.root, verifyRoleSignature);
    const snapshot = parseSnapshot(snapshotRead.signed);
    return { snapshot, snapshotFile, timestamp, timestampFile };
  } catch (cause) {
    // A new root with other keys, for instance; whatever it is, signing anew mends it.
    if (cause instanceof Malformed) return null;
    throw cause;
  }
}

/** Which roles are due at `now`: half of their life is over, or what they point to has changed. */
export function due(
  online: Online | null,
  {
    repository,
    config,
    now,
  }: { repository: Repository; config: TrustContext["config"]; now: Date },
): readonly Role[] {
  if (online === null) return ["snapshot", "timestamp"];
  const old = (expires: Date, lifetimeSeconds: number) =>
    expires.getTime() - now.getTime() <= lifetimeSeconds * 500;
  const { snapshot, snapshotFile, timestamp } = online;
  const named = timestamp.snapshot.sha256;
  const changed =
    !sameMeta(snapshot.targets, targetsMeta(repository)) ||
    named === undefined ||
    !equalBytes(named, sha256(snapshotFile));
  if (changed || old(snapshot.expires, config.snapshotLifetimeSeconds)) {
    return ["snapshot", "timestamp"];
  }
  return old(timestamp.expires, config.timestampLifetimeSeconds) ? ["timestamp"] : [];
}

/**
 * Signs the roles that are due, stores them and gives what is to be published.
 *
 * @throws {Failure} as `sign` and `describeKey` do, and purpose-refused if a key is not the role's.
 */
export async function renew(
  context: TrustContext,
  { store, repository }: { readonly store: Store; readonly repository: Repository },
  { online, roles }: { readonly online: Online | null; readonly roles: readonly Role[] },
): Promise<Online> {
  const { config, clock } = context;
  // Asked first: while the vault is away no version is used up.
  const signRole = await signer(context, repository.root, roles);
  const version = await reserve(store, roles);
  const expires = (lifetimeSeconds: number) =>
    new Date(Math.trunc(clock.now().getTime() / 1_000 + lifetimeSeconds) * 1_000);

  let snapshot = online?.snapshot;
  let snapshotFile = online?.snapshotFile;
  if (snapshot === undefined || snapshotFile === undefined || roles.includes("snapshot")) {
    snapshot = {
      version: version("snapshot"),
      expires: expires(config.snapshotLifetimeSeconds),
      targets: targetsMeta(repository),
    };
    snapshotFile = await signRole("snapshot", snapshotRole(snapshot));
  }
  const timestamp = {
    version: version("timestamp"),
    expires: expires(config.timestampLifetimeSeconds),
    snapshot: fileMeta(snapshot.version, snapshotFile),
  };
  const timestampFile = await signRole("timestamp", timestampRole(timestamp));
  await store.commit({
    writes: [
      { table: "files", key: encodeUtf8(snapshotPath(snapshot.version)), value: snapshotFile },
      { table: "files", key: timestampPath, value: timestampFile },
    ],
  });
  return { snapshot, snapshotFile, timestamp, timestampFile };
}

/** Takes the next version of each role, durably. */
async function reserve(store: Store, roles: readonly Role[]): Promise<(role: Role) => number> {
  const next = new Map<Role, number>();
  for (const role of roles) {
    const last = await store.get("versions", encodeUtf8(role));
    next.set(role, last === null ? 1 : Number(uintFrom(last)) + 1);
  }
  const writes = [...next].map(([role, version]) => ({
    table: "versions",
    key: encodeUtf8(role),
    value: uintBytes(version, 8),
  }));
  await store.commit({ writes });
  return (role) => {
    const version = next.get(role);
    if (version === undefined) throw new Malformed(`trust: no version of ${role} was reserved`);
    return version;
  };
}

/** @throws {Failure} operation-refused unless the vault's key alone may sign each role under this root */
export async function requireOnlineKeys(
  { ask, config }: TrustContext,
  root: RootRole,
): Promise<void> {
  const keys = { snapshot: config.snapshotKey, timestamp: config.timestampKey };
  for (const role of ["snapshot", "timestamp"] as const) {
    const { keyid } = tufKey((await ask(describeKey, { key: keys[role] })).publicKey);
    const { keyids, threshold } = root.roles[role];
    if (keyids.includes(keyid) && threshold === 1) continue;
    throw new Failure(
      "operation-refused",
      `under this root the vault's key "${keys[role]}" could not sign the ${role} alone`,
    );
  }
}

/** Signs roles, and has made sure that the vault's keys are those that the root names for them. */
async function signer({ ask, config }: TrustContext, root: RootRole, roles: readonly Role[]) {
  const keys = { snapshot: config.snapshotKey, timestamp: config.timestampKey };
  const keyids = new Map<Role, string>();
  for (const role of roles) {
    const { keyid } = tufKey((await ask(describeKey, { key: keys[role] })).publicKey);
    if (!root.roles[role].keyids.includes(keyid)) {
      throw new Failure(
        "purpose-refused",
        `the root does not name key "${keys[role]}" for ${role}`,
      );
    }
    keyids.set(role, keyid);
  }
  return async (role: Role, signed: ReturnType<typeof snapshotRole>): Promise<Uint8Array> => {
    const signable = { purpose: "tufRole", role: JSON.stringify(signed) } as const;
    const answer = await ask(sign, { key: keys[role], signable });
    const [signature] = answer.signatures;
    if (signature === undefined) throw new Failure("internal", "the vault gave no signature");
    const signatures = [{ keyid: keyids.get(role) ?? "", sig: encodeHex(signature) }];
    checkSignatures({ signed, signatures }, role, root, verifyRoleSignature);
    return encodeUtf8(formatSignedRole(signed, signatures));
  };
}

function targetsMeta({ targets, files }: Repository): FileMeta {
  const file = files.get(`${targets.version}.targets.json`);
  if (file === undefined) throw new Malformed("trust: the repository has no targets metadata");
  return fileMeta(targets.version, file);
}

function fileMeta(version: number, file: Uint8Array): FileMeta & { readonly sha256: Uint8Array } {
  return { version, length: file.length, sha256: sha256(file) };
}

function sameMeta(a: FileMeta, b: FileMeta): boolean {
  const digest = (meta: FileMeta) => meta.sha256 ?? decodeHex("");
  return a.version === b.version && equalBytes(digest(a), digest(b));
}
