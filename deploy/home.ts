/** `CHANCERY_HOME`: where everything of one instance lies, and which of its ports and names are fixed. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { type Instance, instance } from "../config/schema.ts";
import { Refusal } from "./refusal.ts";
import type { Settings } from "./settings.ts";

/** Port of the HTTP origin unless `CHANCERY_PORT` says otherwise at genesis. */
export const defaultPort = 8420;
/** Port of the TLS origin unless `CHANCERY_TLS_PORT` says otherwise at genesis. */
export const defaultTlsPort = 8443;

/** Folders of a home; all are mode 0700. */
export const homeFolders = [
  "secrets",
  "secrets/nkeys",
  "secrets/pairs",
  "secrets/tls",
  "tokens",
  "tokens/online",
  "tokens/offline",
  "nats",
  "data",
  "vault",
  "trust",
  "trust/tls",
  "trust/tuf",
  "trust/tuf/targets",
  "ceremony",
  "run",
  "journal",
] as const;

/**
 * The instance that lives at the home, or null if there is none yet.
 *
 * @throws {Refusal} if something else lies there, or the instance is bound to other ports than asked for.
 */
export async function readInstance(settings: Settings): Promise<Instance | null> {
  const content = await list(settings.home);
  if (content === null || content.length === 0) return null;
  if (!content.includes("instance.json")) {
    throw new Refusal(
      `${settings.home} holds something that is not a Chancery home; point CHANCERY_HOME at an empty or new folder`,
    );
  }
  const found = parse(settings.home, await readFile(join(settings.home, "instance.json"), "utf8"));
  refuseOtherPort("CHANCERY_PORT", settings.port, found.port, settings.home);
  refuseOtherPort("CHANCERY_TLS_PORT", settings.tlsPort, found.tlsPort, settings.home);
  if (settings.publicUrl !== undefined && settings.publicUrl !== found.origin) {
    throw new Refusal(
      `${settings.home} publishes ${found.origin}, which is fixed since its genesis; unset CHANCERY_PUBLIC_URL or use another CHANCERY_HOME`,
    );
  }
  return found;
}

async function list(folder: string): Promise<string[] | null> {
  try {
    return await readdir(folder);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return null;
    if (code === "ENOTDIR")
      throw new Refusal(`${folder} is a file; point CHANCERY_HOME at a folder`);
    throw new Refusal(
      `${folder} cannot be read (${code}); point CHANCERY_HOME at a folder of your own`,
    );
  }
}

function parse(home: string, text: string): Instance {
  try {
    return v.parse(instance, JSON.parse(text));
  } catch {
    throw new Refusal(
      `${join(home, "instance.json")} is not of a version this Chancery knows; use the release that made the home`,
    );
  }
}

function refuseOtherPort(
  name: string,
  asked: number | undefined,
  fixed: number,
  home: string,
): void {
  if (asked === undefined || asked === fixed) return;
  throw new Refusal(
    `${home} is bound to port ${fixed} since its genesis, not ${asked}: start it with ${name}=${fixed}, or make a new instance with another CHANCERY_HOME`,
  );
}
