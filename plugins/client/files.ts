/** Reading what the user names and writing what was asked for, so that an output is either whole or not there. */
import { randomUUID } from "node:crypto";
import { type Stats, constants } from "node:fs";
import { type FileHandle, link, lstat, open, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CommandError, environmentError, exitCodes, usageError } from "./terminal.ts";

/** Files up to this size are held in memory; larger ones are streamed. */
export const maxHeldBytes = 64 * 1024 * 1024;

/**
 * The bytes of a regular file of at most `maxBytes`.
 *
 * @param what names it in errors, such as "the bundle".
 * @throws {CommandError} with exit code 3 if it cannot be read, 1 if it is too large.
 */
export async function readBounded(
  path: string,
  what: string,
  maxBytes: number,
): Promise<Uint8Array> {
  await using file = await openFile(path, what);
  // One more than allowed, so that a file that grows meanwhile is noticed.
  const { bytes, whole } = await readUpTo(file, maxBytes);
  if (!whole)
    throw new CommandError(exitCodes.failed, `${what} ${path} is larger than ${maxBytes} bytes`);
  return bytes;
}

/** Opens a regular file. @throws {CommandError} with exit code 3 if it cannot be read, or is no regular file. */
export async function openFile(path: string, what: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    // Without O_NONBLOCK a named pipe would wait for its writer for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw environmentError(`${what} ${path} cannot be read: ${reason(error)}`, error);
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw environmentError(`${what} ${path} is not a file`);
}

/** The bytes up to `maxBytes`, and whether that was the end. */
export async function readUpTo(
  file: FileHandle,
  maxBytes: number,
): Promise<{ bytes: Uint8Array; whole: boolean }> {
  const { size } = await file.stat();
  const bytes = new Uint8Array(Math.min(size, maxBytes) + 1);
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
    if (bytesRead === 0) return { bytes: bytes.subarray(0, length), whole: true };
    length += bytesRead;
  }
  return { bytes: bytes.subarray(0, Math.min(length, maxBytes)), whole: false };
}

/**
 * Refuses an output path before any work is done: what exists is not overwritten.
 *
 * @throws {CommandError} with exit code 3, or 2 if it is the file that is read.
 */
export async function checkOutput(path: string, input: string): Promise<void> {
  const existing = await look(path);
  if (existing !== null) {
    const read = await stat(input);
    if (existing.dev === read.dev && existing.ino === read.ino) {
      throw usageError(`${path} is the file to be signed; name another output`);
    }
    throw environmentError(
      existing.isDirectory()
        ? `${path} is a directory; name a file`
        : `${path} exists already; remove it or name another output`,
    );
  }
  const folder = dirname(path);
  const parent = await stat(folder).catch(() => null);
  if (parent?.isDirectory() !== true) {
    throw environmentError(`${folder} is not a directory; make it first`);
  }
}

/** Writes a new file: all of it or nothing. @throws {CommandError} with exit code 3 */
export async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    await writeDraft(draft, bytes);
    await publish(draft, path);
  } catch (error) {
    throw environmentError(`${path} cannot be written: ${reason(error)}`, error);
  } finally {
    await unlink(draft).catch(() => undefined);
  }
}

/** Why a file operation failed, in words, without the path. */
function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
  return reasons[code] ?? code;
}

const reasons: Readonly<{ [code: string]: string }> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of the path is not a directory",
  EEXIST: "it exists already",
  ENOSPC: "no space is left",
  EROFS: "the file system is read-only",
  ENXIO: "it is not a file",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "too many symbolic links",
};

async function look(path: string): Promise<Stats | null> {
  try {
    // Not following a link: one that leads elsewhere must not be written through.
    const own = await lstat(path);
    return own.isSymbolicLink() ? await stat(path).catch(() => own) : own;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw environmentError(`${path} cannot be written: ${reason(error)}`, error);
  }
}

async function writeDraft(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, "wx", 0o644);
  await file.writeFile(bytes);
  await file.sync();
}

/** A hard link never replaces what appeared meanwhile; where there are none, a rename has to do. */
async function publish(draft: string, path: string): Promise<void> {
  try {
    await link(draft, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP") throw error;
    await rename(draft, path);
  }
}
