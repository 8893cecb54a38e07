/**
 * The repository's files in the room's store, where whichever process has its turn finds them: the folder on another machine is a copy
 * of some time ago. The store has them before the folder does, all of a publication in one commit.
 */
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { durableWrite } from "../../core/durable.ts";
import { concat, decodeUtf8, encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import type { Reader, Write } from "../../core/storage.ts";

/** Content by path, as in `Repository.files`. */
type Files = ReadonlyMap<string, Uint8Array>;

/** Keys are `repository/PART/PATH`: a target file may be larger than a value of the store. */
const prefix = "repository/";
const beyond = "repository0";
const keyPattern =
  /^repository\/(\d\d)\/([1-9]\d{0,5}\.(?:root|targets)\.json|targets\/[0-9a-f]{64}\.[A-Za-z0-9_][A-Za-z0-9._-]{0,99})$/;
const partBytes = 4 * 1024 * 1024;
const pageSize = 4;

/** Whether a row of the table `files` is one of these, and not a role that was signed online. */
export function isShared(key: string): boolean {
  return key.startsWith(prefix);
}

/** What the store has. */
export async function readShared(store: Pick<Reader, "scan">): Promise<Files> {
  const parts = new Map<string, Uint8Array[]>();
  let from = encodeUtf8(prefix);
  for (;;) {
    const rows = await store.scan("files", { from, to: encodeUtf8(beyond), limit: pageSize });
    for (const { key, value } of rows) {
      const [, , path] = keyPattern.exec(decodeUtf8(key)) ?? [];
      if (path === undefined) throw new Malformed("trust: the store holds a file of no repository");
      parts.set(path, [...(parts.get(path) ?? []), value]);
      from = concat(key, new Uint8Array(1));
    }
    if (rows.length < pageSize) break;
  }
  return new Map([...parts].map(([path, values]) => [path, concat(...values)]));
}

/** Writes into the folder what is not in it. A kill on the way leaves a repository of before: target files first, metadata last. */
export async function writeMissing(directory: string, shared: Files): Promise<void> {
  const isMetadata = (path: string) => path.endsWith(".targets.json");
  const isTarget = (path: string) => path.startsWith("targets/");
  const order = (path: string) => (isTarget(path) ? 0 : isMetadata(path) ? 2 : 1);
  const version = (path: string) => (isTarget(path) ? 0 : Number.parseInt(path, 10));
  const paths = [...shared.keys()].toSorted(
    (a, b) => order(a) - order(b) || version(a) - version(b),
  );
  for (const path of paths) {
    const file = join(directory, path);
    if ((await readFile(file).catch(() => null)) !== null) continue;
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await durableWrite(file, shared.get(path) ?? new Uint8Array());
  }
}

/** The rows that make the store have these files too. @throws {Malformed} if it has another one of the same name */
export function rowsToShare(files: Files, shared: Files): readonly Write[] {
  return [...files].flatMap(([path, content]) => {
    const known = shared.get(path);
    if (known === undefined) return rowsOf(path, content);
    if (equalBytes(known, content)) return [];
    throw new Malformed(`trust: ${path} is not the one that was published: the store has another`);
  });
}

function rowsOf(path: string, content: Uint8Array): readonly Write[] {
  const count = Math.max(1, Math.ceil(content.length / partBytes));
  return Array.from({ length: count }, (_, part) => ({
    table: "files",
    key: encodeUtf8(`${prefix}${String(part).padStart(2, "0")}/${path}`),
    value: content.subarray(part * partBytes, (part + 1) * partBytes),
  }));
}
