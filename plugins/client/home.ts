/** The instance the CLI talks about: `CHANCERY_HOME`, or `.chancery` where the command is called. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { decodeUtf8 } from "../../core/formats/encoding.ts";
import { parseJsonBytes } from "../../core/formats/json.ts";
import { Malformed } from "../../core/formats/malformed.ts";
import { type TrustedRoot, parseTrustedRoot } from "../../core/formats/trusted-root.ts";
import { readBounded } from "./files.ts";
import { type Terminal, environmentError } from "./terminal.ts";

/** What the CLI needs to know of an instance. */
export interface Instance {
  readonly id: string;
  readonly origin: string;
  readonly treeId: string;
  readonly createdAt: string;
}

const maxTrustedRootBytes = 1024 * 1024;
const maxInstanceBytes = 65_536;
const maxAuthorityBytes = 65_536;

/** Absolute path of the home. */
export function homeOf({ environment, folder }: Terminal): string {
  return resolve(folder, environment["CHANCERY_HOME"] || ".chancery");
}

/**
 * Reads what the home says of its instance. One whose origin is https is believed the CA that genesis made for it, besides the
 * system's.
 *
 * @throws {CommandError} with exit code 3 if no instance lives there.
 */
export async function readInstance(terminal: Terminal): Promise<Instance> {
  const home = homeOf(terminal);
  const path = join(home, "instance.json");
  const bytes = await readBounded(path, "the instance's description", maxInstanceBytes).catch(
    (cause: unknown) => {
      throw environmentError(
        `no Chancery instance lives at ${home}; make one with "npm start", or set CHANCERY_HOME`,
        cause,
      );
    },
  );
  const instance = parseDescription(path, bytes);
  if (instance.origin.startsWith("https:")) await trustOwnAuthority(home);
  return instance;
}

function parseDescription(path: string, bytes: Uint8Array): Instance {
  try {
    return parseInstance(bytes);
  } catch (cause) {
    throw environmentError(`${path} is damaged or of another version`, cause);
  }
}

/** An operator whose certificate comes from elsewhere may have removed the file; the system's authorities are enough then. */
async function trustOwnAuthority(home: string): Promise<void> {
  const path = join(home, "trust", "tls", "ca.pem");
  if (!existsSync(path)) return;
  const authority = decodeUtf8(await readBounded(path, "the CA of the home", maxAuthorityBytes));
  const { getCACertificates, setDefaultCACertificates } = await import("node:tls");
  try {
    setDefaultCACertificates([...getCACertificates("default"), authority]);
  } catch (cause) {
    throw environmentError(`${path} is not a certificate (PEM)`, cause);
  }
}

/**
 * Whom to believe: from `--trusted-root`, or from the home. Never from the service that is being checked.
 *
 * @throws {CommandError} with exit code 3 if the file cannot be read or is not a trusted root.
 */
export async function readTrustedRoot(
  terminal: Terminal,
  given: string | undefined,
): Promise<TrustedRoot> {
  const path =
    given === undefined
      ? join(homeOf(terminal), "trust", "trusted_root.json")
      : resolve(terminal.folder, given);
  const hint =
    given === undefined ? '; give one with --trusted-root, or run "npm start" first' : "";
  let bytes: Uint8Array;
  try {
    bytes = await readBounded(path, "the trusted root", maxTrustedRootBytes);
  } catch (cause) {
    throw environmentError(`${cause instanceof Error ? cause.message : path}${hint}`, cause);
  }
  try {
    return parseTrustedRoot(decodeUtf8(bytes));
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw environmentError(`${path} is not a trusted root: ${cause.message}`, cause);
  }
}

function parseInstance(bytes: Uint8Array): Instance {
  const json = parseJsonBytes(bytes);
  if (json === null || typeof json !== "object") throw new Malformed("instance");
  const { version, id, origin, treeId, createdAt } = json as { readonly [name: string]: unknown };
  if (
    version !== 1 ||
    typeof id !== "string" ||
    typeof origin !== "string" ||
    !URL.canParse(origin) ||
    typeof treeId !== "string" ||
    typeof createdAt !== "string"
  ) {
    throw new Malformed("instance");
  }
  return { id, origin, treeId, createdAt };
}
