/**
 * A token that `chancery login --keep` keeps until it ends: in the user's runtime folder, which lives in memory and goes with the
 * session; where there is none, in the cache folder. Only its owner can read it.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeUtf8 } from "../../core/formats/encoding.ts";
import { environmentError, type Terminal } from "./terminal.ts";

/** Keeps a token for an issuer; answers where. */
export async function keepToken(
  issuer: string,
  token: string,
  terminal: Terminal,
): Promise<string> {
  const path = pathOf(issuer, terminal);
  if (path === null) throw environmentError("there is no folder to keep a token in; set HOME");
  const draft = `${path}.${process.pid}`;
  await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
  await writeFile(draft, `${token}\n`, { mode: 0o600, flag: "wx" });
  await rename(draft, path);
  return path;
}

/** The token kept for an issuer; null if there is none. Whether it is still good is for the caller to see. */
export async function readKeptToken(issuer: string, terminal: Terminal): Promise<string | null> {
  const path = pathOf(issuer, terminal);
  if (path === null) return null;
  return await readFile(path, "utf8").catch(() => null);
}

/** Forgets the token of an issuer. */
export async function forgetToken(issuer: string, terminal: Terminal): Promise<void> {
  const path = pathOf(issuer, terminal);
  if (path !== null) await rm(path, { force: true });
}

function pathOf(issuer: string, { environment }: Terminal): string | null {
  const { XDG_RUNTIME_DIR: runtime, XDG_CACHE_HOME: cache, HOME: home } = environment;
  const folder = runtime || cache || (home && join(home, ".cache"));
  if (!folder) return null;
  const name = createHash("sha256").update(encodeUtf8(issuer)).digest("hex").slice(0, 32);
  return join(folder, "chancery", `id-token-${name}`);
}
