/** What one process does to a home at a time, and no second one beside it. */
import { DatabaseSync } from "node:sqlite";
import { VaultRefused } from "./errors.ts";

/**
 * Takes the lock file at `path`, in a directory that exists, until it is disposed of. Held by an open transaction, so that a killed
 * process does not hold it.
 *
 * @throws {VaultRefused} saying that another process `does` it.
 */
export function takeLock(path: string, does: string): Disposable {
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    lock.close();
    throw new VaultRefused(`another process ${does}: it holds ${path}`, { cause });
  }
  return { [Symbol.dispose]: () => lock.close() };
}
