/** `chancery log mirror`: follows any log in tiles (c2sp.org/tlog-tiles v1.0.0) into a folder that can itself be served as one. */
import { mkdir, readFile, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { PublicKey } from "../../core/crypto/keys.ts";
import { durableWrite } from "../../core/durable.ts";
import { decodeUtf8, encodeBase64, encodeUtf8, equalBytes } from "../../core/formats/encoding.ts";
import { emptyRoot } from "../../core/formats/merkle.ts";
import { type Arguments, parseArguments, required } from "./arguments.ts";
import { readBounded } from "./files.ts";
import { type Copied, type Copy, copyLog, LogForked, type Source } from "./mirror/copy.ts";
import { readNoteKey, type VerifiedCheckpoint, verifyNote } from "./mirror/note-key.ts";
import { edgeOf, levelsOf, rootFromEdge, tilePath } from "./mirror/tree.ts";
import { request } from "./remote.ts";
import {
  CommandError,
  environmentError,
  type ExitCode,
  exitCodes,
  type Terminal,
  usageError,
} from "./terminal.ts";
import { NotVerified } from "./verify/not-verified.ts";

const maxKeyBytes = 65_536;
/** The newest checkpoint to which the folder is complete, and one to which it is not yet. */
const heldName = "checkpoint";
const pendingName = "checkpoint.pending";
const longestPauseSeconds = 86_400;

/** Copies what is new, once or until it is ended; ends with 1 if the log shows anything it should not. */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const parsed = parseArguments(args, {
    operands: ["URL", "FOLDER"],
    values: ["key", "origin", "follow"],
    switches: ["deep", "json"],
  });
  const mirror = await mirrorOf(parsed, terminal);
  const pauseSeconds = pauseIn(parsed.value("follow"));
  for (let deep = parsed.has("deep"); ; deep = false) {
    try {
      const told = await pass(mirror, deep);
      terminal.print(parsed.has("json") ? JSON.stringify(told) : sentenceOf(told));
    } catch (thrown) {
      const passes = thrown instanceof CommandError && thrown.exitCode === exitCodes.environment;
      if (pauseSeconds === null || !passes) throw thrown;
      terminal.complain(`chancery log mirror: ${thrown.message}`);
    }
    if (pauseSeconds === null) return exitCodes.ok;
    await sleep(pauseSeconds * 1_000);
  }
}

interface Mirror {
  readonly source: Source;
  readonly copy: Copy;
  readonly key: PublicKey;
  readonly origin: string | undefined;
}

interface Told extends Copied {
  readonly origin: string;
  readonly size: string;
  readonly root: string;
  /** Entries that were held before. */
  readonly before: string;
  /** True if the log shows an older tree than is held, one it goes on from. */
  readonly behind: boolean;
}

async function mirrorOf(parsed: Arguments, terminal: Terminal): Promise<Mirror> {
  const [url = "", folder = ""] = parsed.operands;
  const key = required(parsed, "key");
  const text = /^[^/\s]+\+[0-9a-f]{8}\+/.test(key)
    ? key
    : decodeUtf8(await readBounded(resolve(terminal.folder, key), "the key", maxKeyBytes));
  return {
    source: httpSource(url),
    copy: folderCopy(resolve(terminal.folder, folder)),
    key: readNoteKey(text),
    origin: parsed.value("origin"),
  };
}

async function pass({ source, copy, key, origin }: Mirror, deep: boolean): Promise<Told> {
  const held = await readKept(copy, heldName, key);
  const pending = await readKept(copy, pendingName, key);
  const bytes = await source.read("checkpoint");
  if (bytes === null) throw environmentError("the log shows no checkpoint");
  const checkpoint = verifyNote(decodeUtf8(bytes), key);
  const expected = origin ?? held?.origin ?? pending?.origin ?? checkpoint.origin;
  if (checkpoint.origin !== expected) {
    const shown = checkpoint.origin.replace(/\p{Cc}/gu, " ").slice(0, 200);
    throw new NotVerified("log-entry", `the checkpoint is of "${shown}", not of "${expected}"`);
  }
  const before = held?.size ?? 0n;
  const told = (at: VerifiedCheckpoint, done: Copied, behind: boolean): Told => ({
    origin: at.origin,
    size: String(at.size),
    root: encodeBase64(at.root),
    before: String(before),
    behind,
    ...done,
  });
  const nothing = { fetched: 0, healed: 0 };
  if (held !== null && checkpoint.size <= held.size) {
    await requireHeld(copy, held, checkpoint);
    if (checkpoint.size < held.size || !deep) {
      return told(held, nothing, checkpoint.size < held.size);
    }
  } else if (pending !== null && checkpoint.size < pending.size) {
    return told(held ?? checkpoint, nothing, true);
  }
  const done = await copyAll({ source, copy, checkpoint, held, pending, deep });
  return told(checkpoint, done, false);
}

async function copyAll(asked: Parameters<typeof copyLog>[0]): Promise<Copied> {
  const { copy, checkpoint } = asked;
  const keep = async (name: string) => await copy.write(name, encodeUtf8(checkpoint.note));
  try {
    const done = await copyLog({ ...asked, believed: async () => await keep(pendingName) });
    // Killed before this line, the next pass finds every tile and only this to do.
    await keep(heldName);
    await copy.remove(pendingName);
    return done;
  } catch (thrown) {
    if (thrown instanceof LogForked) await keep(`forked-${checkpoint.size}.checkpoint`);
    throw thrown;
  }
}

/** A tree that is not larger must be a prefix of the one that is held. @throws {NotVerified} */
async function requireHeld(
  copy: Copy,
  held: VerifiedCheckpoint,
  checkpoint: VerifiedCheckpoint,
): Promise<void> {
  const { size } = checkpoint;
  const root = size === held.size ? held.root : await rootIn(copy, held, size);
  if (equalBytes(root, checkpoint.root)) return;
  await copy.write(`forked-${size}.checkpoint`, encodeUtf8(checkpoint.note));
  throw new NotVerified(
    "log-entry",
    `the log shows a tree of ${size} entries that is no part of the one of ${held.size} in the folder: the log is forked, or the folder is damaged, which --deep tells once the log shows its newest tree`,
  );
}

/** The root of the first entries of the tree that is held. */
async function rootIn(copy: Copy, held: VerifiedCheckpoint, size: bigint): Promise<Uint8Array> {
  const tiles: (Uint8Array | null)[] = [];
  for (let level = 0; level < levelsOf(size); level++) {
    const { index, width } = edgeOf(level, size);
    const now = edgeOf(level, held.size);
    const path = tilePath(level, index, now.index === index ? now.width : undefined);
    tiles.push(width === 0 ? null : await copy.read(path));
  }
  return size === 0n ? emptyRoot() : rootFromEdge(size, tiles);
}

async function readKept(
  copy: Copy,
  name: string,
  key: PublicKey,
): Promise<VerifiedCheckpoint | null> {
  const bytes = await copy.read(name);
  return bytes === null ? null : verifyNote(decodeUtf8(bytes), key);
}

function httpSource(url: string): Source {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw usageError("URL is where the log's tiles are, such as https://log.example/logs/rekor");
  }
  const base = url.replace(/\/+$/, "");
  return {
    async read(path) {
      const what = `the log's ${path}`;
      const asked = { method: "GET", url: `${base}/${path}`, what, accept: [200, 404] } as const;
      const { status, body } = await request(asked);
      return status === 404 ? null : body;
    },
  };
}

function folderCopy(folder: string): Copy {
  return {
    async read(path) {
      return await readFile(join(folder, path)).catch((thrown: NodeJS.ErrnoException) => {
        if (thrown.code === "ENOENT") return null;
        throw environmentError(`${join(folder, path)} cannot be read: ${thrown.code}`, thrown);
      });
    },
    async write(path, bytes) {
      const file = join(folder, path);
      try {
        await mkdir(dirname(file), { recursive: true });
        await durableWrite(file, bytes);
      } catch (thrown) {
        const { code = "unknown" } = thrown as NodeJS.ErrnoException; // Node's file errors are of this type
        throw environmentError(`${file} cannot be written: ${code}`, thrown);
      }
    },
    async remove(path) {
      await unlink(join(folder, path)).catch(() => undefined);
    },
  };
}

function pauseIn(text: string | undefined): number | null {
  if (text === undefined) return null;
  const seconds = /^[1-9]\d{0,5}$/.test(text) ? Number(text) : 0;
  if (seconds > 0 && seconds <= longestPauseSeconds) return seconds;
  throw usageError(`--follow is a number of seconds up to ${longestPauseSeconds}`);
}

function sentenceOf({ origin, size, before, behind, fetched, healed }: Told): string {
  const [shown] = [origin.replace(/\p{Cc}/gu, " ")];
  if (behind) return `${shown}: the log shows an older tree; the folder has ${size} entries`;
  const mended = healed > 0 ? `, ${healed} of them damaged or lost before` : "";
  return `${shown}: ${size} entries, ${before} held before; ${fetched} files fetched and verified${mended}`;
}
