/**
 * What clients are given to trust, as it is served now: read over the bus, and believed only along signatures that begin with the
 * home's first root. A service that lies cannot have a ceremony sign what it made up.
 */
import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeUtf8, encodeHex, equalBytes } from "../../core/formats/encoding.ts";
import * as tuf from "../../core/formats/tuf.ts";
import { Failure } from "../../events/failure.ts";
import { readTrustFile } from "../../events/trust.ts";
import { checkRoot, verifyRole } from "../ceremony/tuf-check.ts";
import { VaultRefused } from "../errors.ts";
import type { OperatorAsk } from "./conduct.ts";

/** The trust that is published. */
export interface Published {
  readonly root: tuf.RootRole;
  readonly targets: tuf.TargetsRole;
  /** The content of a target. @throws {VaultRefused} if it is not what the targets say */
  readonly read: (name: string) => Promise<Uint8Array>;
}

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

/** The newest root, believed along every one from the home's first. */
async function readRoot(
  home: string,
  get: (path: string) => Promise<Uint8Array>,
): Promise<tuf.RootRole> {
  const path = join(home, "trust", "1.root.json");
  const text = await readFile(path, "utf8").catch(() => {
    throw new VaultRefused(`${path} is missing; restore it from a backup`);
  });
  let root = checkRoot(text, null);
  for (;;) {
    const next = await get(`${root.version + 1}.root.json`).catch((thrown: unknown) => {
      if (Failure.from(thrown).code === "not-found") return null;
      throw thrown;
    });
    if (next === null) return root;
    root = checkRoot(decodeUtf8(next), root);
  }
}
