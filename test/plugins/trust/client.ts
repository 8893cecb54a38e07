/** A TUF client of one screen: it starts from version 1 of the root and believes nothing else (TUF 1.0.31 §5). */
import { decodeUtf8, encodeHex, equalBytes } from "../../../core/formats/encoding.ts";
import { sha256 } from "../../../core/crypto/hash.ts";
import * as tuf from "../../../core/formats/tuf.ts";
import { Failure } from "../../../events/failure.ts";
import { readTrustFile } from "../../../events/trust.ts";
import { verifyRoleSignature } from "../../../plugins/trust/repository.ts";
import type { TestInstallation } from "../../support/boot.ts";

/** What a client ends up with. */
export interface Refreshed {
  readonly root: tuf.RootRole;
  readonly timestamp: tuf.TimestampRole;
  readonly snapshot: tuf.SnapshotRole;
  readonly targets: { readonly [name: string]: Uint8Array };
}

/** Walks the whole repository at `now`. @throws if anything is not as the specification wants it. */
export async function refresh(house: TestInstallation, now: Date): Promise<Refreshed> {
  const read = async (path: string) => (await house.ask(readTrustFile, { path })).content;
  let bytes = await read("1.root.json");
  let root = tuf.parseRoot(parse(bytes).signed);
  for (let next = 2; ; next++) {
    const newer = await read(`${next}.root.json`).catch(absent);
    if (newer === null) break;
    tuf.checkSignatures(parse(newer), "root", root, verifyRoleSignature);
    bytes = newer;
    root = tuf.parseRoot(parse(newer).signed);
    tuf.checkSignatures(parse(newer), "root", root, verifyRoleSignature);
  }
  fresh(root.expires, now);

  const checked = (content: Uint8Array, role: tuf.RoleName) => {
    const file = parse(content);
    tuf.checkSignatures(file, role, root, verifyRoleSignature);
    return file.signed;
  };
  const timestamp = tuf.parseTimestamp(checked(await read("timestamp.json"), "timestamp"));
  fresh(timestamp.expires, now);
  const snapshotFile = await read(`${timestamp.snapshot.version}.snapshot.json`);
  matches(snapshotFile, timestamp.snapshot);
  const snapshot = tuf.parseSnapshot(checked(snapshotFile, "snapshot"));
  same(snapshot.version, timestamp.snapshot.version);
  fresh(snapshot.expires, now);
  const targetsFile = await read(`${snapshot.targets.version}.targets.json`);
  matches(targetsFile, snapshot.targets);
  const { targets, expires, version } = tuf.parseTargets(checked(targetsFile, "targets"));
  same(version, snapshot.targets.version);
  fresh(expires, now);

  const contents: [string, Uint8Array][] = [];
  for (const { name, length, sha256: hash } of targets) {
    const content = await read(`targets/${encodeHex(hash)}.${name}`);
    matches(content, { version: 0, length, sha256: hash });
    contents.push([name, content]);
  }
  return { root, timestamp, snapshot, targets: Object.fromEntries(contents) };
}

function parse(content: Uint8Array): tuf.SignedRole {
  return tuf.parseSignedRole(decodeUtf8(content));
}

function absent(thrown: unknown): null {
  if (thrown instanceof Failure && thrown.code === "not-found") return null;
  throw thrown;
}

function fresh(expires: Date, now: Date): void {
  if (expires <= now) throw new Error(`expired on ${expires.toISOString()}`);
}

function same(a: number, b: number): void {
  if (a !== b) throw new Error(`version ${a} where ${b} was announced`);
}

function matches(content: Uint8Array, meta: tuf.FileMeta): void {
  if (meta.length !== content.length) throw new Error("another length than announced");
  if (meta.sha256 === undefined || !equalBytes(sha256(content), meta.sha256)) {
    throw new Error("another hash than announced");
  }
}
