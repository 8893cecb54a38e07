/** Files that survive a power cut, written whole or not at all. */
import { randomUUID } from "node:crypto";
import { open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Replaces the file at `path` by `bytes`. Resolves once content, name and mode are on the disk; a crash at any instant leaves the old
 * file or the new one. The directory must exist. Concurrent writers do not mix: the last rename wins.
 */
export async function durableWrite(
  path: string,
  bytes: Uint8Array | string,
  mode = 0o644,
): Promise<void> {
  const directory = dirname(path);
  // A name of its own in the same directory, so that rename is atomic and a leftover is recognisable.
  const temporary = join(directory, `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    await using file = await open(temporary, "wx", mode);
    await file.writeFile(bytes);
    // The umask may have taken bits away; secrets and public files both state their mode exactly.
    await file.chmod(mode);
    await file.sync();
    await rename(temporary, path);
  } catch (thrown) {
    await unlink(temporary).catch(() => undefined);
    throw thrown;
  }
  await syncPath(directory);
}

/** Makes what is in a file or a directory's list of names durable. */
export async function syncPath(path: string): Promise<void> {
  await using handle = await open(path, "r");
  await handle.sync();
}
