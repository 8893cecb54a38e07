/**
 * The next TUF root, as a ceremony left it, given to the clients of a live instance. No token is opened: the root carries the signatures
 * by which it is believed, and it is held against what is served before it is handed over. Asked for again, it comes to the same.
 */
import { readFile } from "node:fs/promises";
import { decodeUtf8, encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import * as tuf from "../../core/formats/tuf.ts";
import { publishRoot, readTrustFile } from "../../events/trust.ts";
import { checkRoot } from "../ceremony/tuf-check.ts";
import { VaultRefused } from "../errors.ts";
import type { OperationRequest } from "./conduct.ts";
import { readPublished } from "./published.ts";

/** What came of it. */
export interface RootPublication {
  readonly version: number;
  /** True if clients had it already. */
  readonly wasDone: boolean;
}

/** Publishes the root in the file at `path`. @throws {VaultRefused} with one sentence @throws {Failure} of an ask */
export async function publishNextRoot(
  { home, ask, report }: Pick<OperationRequest, "home" | "ask" | "report">,
  path: string,
): Promise<RootPublication> {
  const text = await readFile(path, "utf8").catch(() => {
    throw new VaultRefused(`there is no TUF root at ${path}`);
  });
  const { root: before } = await readPublished(home, ask);
  const { version } = read(path, () => tuf.parseRoot(tuf.parseSignedRole(text).signed));
  if (version <= before.version) {
    const { content } = await ask(readTrustFile, { path: `${version}.root.json` });
    if (version === before.version && decodeUtf8(content) === text) {
      return { version, wasDone: true };
    }
    throw new VaultRefused(
      `${path} is of version ${version}, but clients have version ${before.version} already: no root takes another's place`,
    );
  }
  const root = read(path, () => checkRoot(text, before));
  for (const change of changesOf(before, root)) report(change);
  const file = encodeUtf8(text);
  await ask(publishRoot, { root: file });
  const published = await readPublished(home, ask);
  const { content } = await ask(readTrustFile, { path: `${version}.root.json` });
  if (published.root.version !== version || !equalBytes(content, file)) {
    throw new VaultRefused(`a root of version ${published.root.version} is served instead`);
  }
  return { version, wasDone: false };
}

function read(path: string, parse: () => tuf.RootRole): tuf.RootRole {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new VaultRefused(`${path} is not the next root: ${cause.message}`);
  }
}

/** What an operator is told before clients are. */
function changesOf(before: tuf.RootRole, root: tuf.RootRole): readonly string[] {
  const [from, to] = [before.roles.root, root.roles.root];
  const day = (date: Date) => date.toISOString().slice(0, 10);
  return [
    `root ${before.version} becomes ${root.version}`,
    ...from.keyids.filter((id) => !to.keyids.includes(id)).map((id) => `the key ${id} leaves`),
    ...to.keyids.filter((id) => !from.keyids.includes(id)).map((id) => `the key ${id} joins`),
    `signatures demanded: ${to.threshold} of ${to.keyids.length}, before ${from.threshold} of ${from.keyids.length}`,
    `it expires on ${day(root.expires)}, the one before it on ${day(before.expires)}`,
  ];
}
