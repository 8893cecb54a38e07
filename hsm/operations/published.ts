/**
 * What clients are given to trust, as it is served now: read over the bus, and believed only along signatures that begin with the
 * home's first root. A service that lies cannot have a ceremony sign what it made up.
 */
import { hash, verify } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeUtf8, encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import * as tuf from "../../core/formats/tuf.ts";
import { Failure } from "../../events/failure.ts";
import { readTrustFile } from "../../events/trust.ts";
import { VaultRefused } from "../errors.ts";
import { keyObject } from "../public-key.ts";
import type { OperatorAsk } from "./conduct.ts";

/** The trust that is published. */
export interface Published {
  readonly root: tuf.RootRole;
  readonly targets: tuf.TargetsRole;
  /** The content of a target. @throws {VaultRefused} if it is not what the targets say */
  readonly read: (name: string) => Promise<Uint8Array>;
}

/** As TUF clients verify. */
export const verifyRole: tuf.VerifyTufSignature = (spki, data, signature) =>
  verify("sha256", data, keyObject(spki), signature);

/** Reads it. @throws {VaultRefused} or {Malformed} if it does not verify. @throws {Failure} */
export async function readPublished(home: string, ask: OperatorAsk): Promise<Published> {
  const get = async (path: string) => (await ask(readTrustFile, { path })).content;
  const root = await readRoot(home, get);
  const role = async (name: tuf.RoleName, path: string) => {
    const file = tuf.parseSignedRole(decodeUtf8(await get(path)));
    tuf.checkSignatures(file, name, root, verifyRole);
    return file.signed;
  };
  const timestamp = tuf.parseTimestamp(await role("timestamp", "timestamp.json"));
  const snapshot = tuf.parseSnapshot(
    await role("snapshot", `${timestamp.snapshot.version}.snapshot.json`),
  );
  const { version } = snapshot.targets;
  const targets = tuf.parseTargets(await role("targets", `${version}.targets.json`));
  if (targets.version !== version) throw new VaultRefused("the targets are of another version");
  return {
    root,
    targets,
    async read(name) {
      const target = targets.targets.find((one) => one.name === name);
      if (!target) throw new VaultRefused(`the published targets have no ${name}`);
      const content = await get(`targets/${encodeHex(target.sha256)}.${name}`);
      if (!equalBytes(hash("sha256", content, "buffer"), target.sha256)) {
        throw new VaultRefused(`the published ${name} is not what the targets say`);
      }
      return content;
    },
  };
}

async function readRoot(
  home: string,
  get: (path: string) => Promise<Uint8Array>,
): Promise<tuf.RootRole> {
  const path = join(home, "trust", "1.root.json");
  const text = await readFile(path, "utf8").catch(() => {
    throw new VaultRefused(`${path} is missing; restore it from a backup`);
  });
  let root = checkedRoot(text, null);
  for (;;) {
    const next = await get(`${root.version + 1}.root.json`).catch((thrown: unknown) => {
      if (Failure.from(thrown).code === "not-found") return null;
      throw thrown;
    });
    if (next === null) return root;
    root = checkedRoot(decodeUtf8(next), root);
  }
}

/** Signed by the one before it and by itself (TUF 1.0.31 §5.3). */
function checkedRoot(text: string, before: tuf.RootRole | null): tuf.RootRole {
  const file = tuf.parseSignedRole(text);
  const root = tuf.parseRoot(file.signed);
  if (before !== null) tuf.checkSignatures(file, "root", before, verifyRole);
  tuf.checkSignatures(file, "root", root, verifyRole);
  if (root.version !== (before?.version ?? 0) + 1) {
    throw new VaultRefused(`a root is of version ${root.version}, which is not the next one`);
  }
  return root;
}
